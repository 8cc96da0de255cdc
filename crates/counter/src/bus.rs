//! `Bus` is the gateway as the page uses it: the office's procedures, the health of their agencies, and
//! inquiries.

mod answered;
mod health;
mod known;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use chapar_client::{AskProcedureRequest, CallError, CallMetadata, Client, Procedure};
use chapar_model::{ClerkId, RequestId};

pub(crate) use answered::{Answered, AnsweredPart, Unshown};
pub(crate) use health::Health;
pub(crate) use known::Known;

use crate::inquiries::Asked;
use health::HealthCache;
use known::KnownCache;

/// The time of an inquiry, all parts included. On a poor line the first call of a day takes some 5 s to
/// connect.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The gateway.
pub(crate) struct Bus {
    client: Client,
    known: KnownCache,
    health: HealthCache,
}

impl Bus {
    /// Connects at the first question.
    ///
    /// # Errors
    /// If a file of the configuration cannot be used.
    pub(crate) fn new(config: chapar_client::Config) -> Result<Self, CallError> {
        Ok(Self {
            client: Client::new(config)?,
            known: KnownCache::default(),
            health: HealthCache::default(),
        })
    }

    /// The office's procedures and types.
    ///
    /// # Errors
    /// [`CallError`].
    pub(crate) async fn known(&self) -> Result<Arc<Known>, Arc<CallError>> {
        self.known.get(&self.client).await
    }

    /// The health of all services of these procedures, by the service's name.
    pub(crate) async fn health(&self, procedures: &[Procedure]) -> HashMap<String, Health> {
        let services: BTreeSet<&str> = procedures.iter().flat_map(services).collect();
        self.health.of(&self.client, services).await
    }

    /// Asks a procedure, as this clerk, and waits for all parts.
    ///
    /// # Errors
    /// [`CallError`] if the inquiry as a whole was refused or not made. A part that was refused is no error.
    pub(crate) async fn ask(
        &self,
        id: RequestId,
        clerk: &ClerkId,
        asked: &Asked,
        language: &str,
    ) -> Result<Answered, Arc<CallError>> {
        let known = self.known().await?;
        // A procedure that is gone since its form was shown is refused by the gateway, in its words.
        let gone = Procedure { id: asked.procedure.clone(), ..Procedure::default() };
        let procedure = known.procedure(&asked.procedure).unwrap_or(&gone);
        let metadata = CallMetadata {
            case: asked.case.clone(),
            // From the session, never from the form.
            clerk: Some(clerk.clone()),
            request_id: Some(id),
            timeout: Some(TIMEOUT),
            language: Some(language.to_owned()),
            ..CallMetadata::default()
        };
        let request = AskProcedureRequest {
            procedure: asked.procedure.clone(),
            subject: asked.subject.clone(),
            inputs: asked.inputs.clone().into_iter().collect(),
            json: false,
        };
        let mut answers = self.client.ask_procedure(request, metadata).await?;
        let mut answered = Answered::none_yet(procedure, |method| known.output(method));
        while let Some(answer) = answers.next().await? {
            answered.take(answer);
        }
        Ok(answered)
    }
}

/// The services that a procedure asks.
pub(crate) fn services(procedure: &Procedure) -> impl Iterator<Item = &str> {
    procedure.parts.iter().filter_map(|part| part.method.split('/').next())
}

//! `Bus` is the gateway as the page uses it: the office's procedures, the types of their answers, the health
//! of their agencies, and inquiries. What rarely changes is asked again after a minute, or ten seconds for
//! health.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use chapar_client::{
    AskProcedureRequest, CallError, CallMetadata, CallSpec, Client, PartEnd, Procedure, part_answer,
};
use chapar_model::{ClerkId, RequestId};
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use tokio::sync::Mutex;

use crate::inquiries::Asked;

/// How long procedures and types are used before they are asked again.
const FRESH_FOR: Duration = Duration::from_secs(60);
/// The same for the health of agencies.
const HEALTH_FRESH_FOR: Duration = Duration::from_secs(10);
/// The time of an inquiry, all parts included. On a poor line the first call of a day takes some 5 s to
/// connect.
const TIMEOUT: Duration = Duration::from_secs(30);
const HEALTH_TIMEOUT: Duration = Duration::from_secs(2);

/// What the gateway has answered.
#[derive(Debug)]
pub(crate) struct Answered {
    /// In the order of the procedure.
    pub(crate) parts: Vec<AnsweredPart>,
}

/// One part of it.
#[derive(Debug)]
pub(crate) struct AnsweredPart {
    pub(crate) id: String,
    pub(crate) messages: Vec<DynamicMessage>,
    /// None if the stream ended before the part did.
    pub(crate) end: Option<PartEnd>,
    pub(crate) output: Option<MessageDescriptor>,
}

impl Answered {
    /// How many parts were answered.
    pub(crate) fn answered(&self) -> usize {
        let is_answered = |part: &&AnsweredPart| {
            part.end.as_ref().is_some_and(|end| end.refusal.is_none() && end.waits_for.is_empty())
        };
        self.parts.iter().filter(is_answered).count()
    }
}

/// What is known of the gateway for a while.
#[derive(Clone)]
struct Known {
    at: Instant,
    procedures: Vec<Procedure>,
    pool: DescriptorPool,
}

/// The gateway.
pub(crate) struct Bus {
    client: Client,
    known: Mutex<Option<Known>>,
    /// Whether a service answers, by its name.
    health: Mutex<HashMap<String, (Instant, bool)>>,
}

/// `grpc.health.v1.HealthCheckRequest` and its answer, the fields that are used.
#[derive(Clone, PartialEq, Message)]
struct HealthRequest {
    #[prost(string, tag = "1")]
    service: String,
}

#[derive(Clone, PartialEq, Message)]
struct HealthAnswer {
    #[prost(int32, tag = "1")]
    status: i32,
}

const SERVING: i32 = 1;

impl Bus {
    /// Connects at the first question.
    ///
    /// # Errors
    /// If a file of the configuration cannot be used.
    pub(crate) fn new(config: chapar_client::Config) -> Result<Self, CallError> {
        Ok(Self { client: Client::new(config)?, known: Mutex::default(), health: Mutex::default() })
    }

    /// The office's procedures.
    ///
    /// # Errors
    /// [`CallError`].
    pub(crate) async fn procedures(&self) -> Result<Vec<Procedure>, CallError> {
        Ok(self.known().await?.procedures)
    }

    /// One of them; nothing if there is no such, or it is not the office's.
    ///
    /// # Errors
    /// [`CallError`].
    pub(crate) async fn procedure(&self, id: &str) -> Result<Option<Procedure>, CallError> {
        Ok(self.procedures().await?.into_iter().find(|procedure| procedure.id == id))
    }

    async fn known(&self) -> Result<Known, CallError> {
        // Whoever comes while it is asked waits for that answer.
        let mut known = self.known.lock().await;
        if let Some(known) = known.as_ref().filter(|known| known.at.elapsed() < FRESH_FOR) {
            return Ok(known.clone());
        }
        let procedures = self.client.procedures().await?;
        let pool = self.client.all_descriptors().await?;
        let fresh = Known { at: Instant::now(), procedures, pool };
        *known = Some(fresh.clone());
        Ok(fresh)
    }

    /// Whether all agencies of a procedure answer, as the gateway's health service says. What it does not say
    /// in time counts as well: the badge warns, and decides nothing.
    pub(crate) async fn agencies_answer(&self, procedure: &Procedure) -> bool {
        let services: std::collections::BTreeSet<&str> =
            procedure.parts.iter().filter_map(|part| part.method.split('/').next()).collect();
        let mut health = self.health.lock().await;
        let mut all = true;
        for service in services {
            let known = health.get(service).filter(|(at, _)| at.elapsed() < HEALTH_FRESH_FOR);
            let serves = match known {
                Some((_, serves)) => *serves,
                None => self.serves(service).await.unwrap_or(true),
            };
            health.entry(service.to_owned()).or_insert((Instant::now(), serves));
            all &= serves;
        }
        health.retain(|_, (at, _)| at.elapsed() < HEALTH_FRESH_FOR);
        all
    }

    async fn serves(&self, service: &str) -> Option<bool> {
        let method = "grpc.health.v1.Health/Check".parse().ok()?;
        let metadata = CallMetadata { timeout: Some(HEALTH_TIMEOUT), ..CallMetadata::default() };
        let request = HealthRequest { service: service.to_owned() }.encode_to_vec();
        let answer = self.client.call(&CallSpec { method, metadata }, request.into()).await.ok()?;
        let answer = HealthAnswer::decode(answer.message()?.clone()).ok()?;
        Some(answer.status == SERVING)
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
    ) -> Result<Answered, CallError> {
        let Known { procedures, pool, .. } = self.known().await?;
        let procedure = procedures.into_iter().find(|procedure| procedure.id == asked.procedure);
        let parts = procedure.map(|procedure| procedure.parts).unwrap_or_default();
        let mut answered = Answered {
            parts: parts
                .iter()
                .map(|part| AnsweredPart {
                    id: part.id.clone(),
                    messages: Vec::new(),
                    end: None,
                    output: output_of(&pool, &part.method),
                })
                .collect(),
        };
        let metadata = CallMetadata {
            case: asked.case.clone(),
            // From the session, never from the form.
            clerk: Some(clerk.clone()),
            request_id: Some(id),
            timeout: Some(TIMEOUT),
            language: Some(language.to_owned()),
            ..CallMetadata::default()
        };
        let inputs: BTreeMap<String, String> = asked.inputs.clone();
        let request = AskProcedureRequest {
            procedure: asked.procedure.clone(),
            subject: asked.subject.clone(),
            inputs: inputs.into_iter().collect(),
            json: false,
        };
        let mut answers = self.client.ask_procedure(request, metadata).await?;
        while let Some(answer) = answers.next().await? {
            // A part that this page does not know of was added since it asked; a fresh list has it.
            let Some(part) = answered.parts.get_mut(answer.part as usize) else { continue };
            if let Some(part_answer::Answer::Message(message)) = answer.answer
                && let Some(output) = &part.output
                && let Ok(message) = DynamicMessage::decode(output.clone(), message.as_slice())
            {
                part.messages.push(message);
            }
            part.end = answer.end.or(part.end.take());
        }
        Ok(answered)
    }
}

fn output_of(pool: &DescriptorPool, path: &str) -> Option<MessageDescriptor> {
    let (service, method) = path.split_once('/')?;
    let service = pool.get_service_by_name(service)?;
    let method = service.methods().find(|known| known.name() == method)?;
    Some(method.output())
}

//! What rarely changes and is asked again after a minute: the office's procedures, and the types of their
//! answers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chapar_client::{CallError, Client, Procedure};
use prost_reflect::{DescriptorPool, MessageDescriptor};

const FRESH_FOR: Duration = Duration::from_secs(60);
/// How long a failure is the answer: those who waited for one attempt do not make one each, one after the
/// other.
const FAILURE_FRESH_FOR: Duration = Duration::from_secs(3);

/// The office's procedures and the contracts' types.
pub(crate) struct Known {
    pub(crate) procedures: Vec<Procedure>,
    pool: DescriptorPool,
}

impl Known {
    pub(crate) fn procedure(&self, id: &str) -> Option<&Procedure> {
        self.procedures.iter().find(|procedure| procedure.id == id)
    }

    /// The type that a method (`package.Service/Method`) answers.
    pub(super) fn output(&self, method: &str) -> Option<MessageDescriptor> {
        let (service, method) = method.split_once('/')?;
        let service = self.pool.get_service_by_name(service)?;
        let method = service.methods().find(|known| known.name() == method)?;
        Some(method.output())
    }
}

type Outcome = Result<Arc<Known>, Arc<CallError>>;

/// The last outcome of asking.
#[derive(Default)]
pub(super) struct KnownCache(tokio::sync::Mutex<Option<(Instant, Outcome)>>);

impl KnownCache {
    /// What is known. Whoever comes while it is asked waits for that attempt, and shares its outcome.
    ///
    /// # Errors
    /// [`CallError`] of the last attempt.
    pub(super) async fn get(&self, client: &Client) -> Outcome {
        let mut last = self.0.lock().await;
        if let Some((at, outcome)) = last.as_ref() {
            let fresh_for = if outcome.is_ok() { FRESH_FOR } else { FAILURE_FRESH_FOR };
            if at.elapsed() < fresh_for {
                return outcome.clone();
            }
        }
        let outcome = ask(client).await.map(Arc::new).map_err(Arc::new);
        *last = Some((Instant::now(), outcome.clone()));
        outcome
    }
}

async fn ask(client: &Client) -> Result<Known, CallError> {
    let procedures = client.procedures().await?;
    let pool = client.all_descriptors().await?;
    Ok(Known { procedures, pool })
}

//! The pipeline is the life of one call as one function. Each step takes the value that the previous step
//! returns, so a step that is skipped or moved does not compile. What is the same for every request (span,
//! metrics, load shedding, identity) is in `stack`.

mod absent;
mod admit;
mod call;
mod carried;
mod check;
mod exchange;
mod forward;
mod head;
mod judge;
mod messages;
mod minimise;
mod permit;
mod policy;
mod quota;
mod read;
mod record;
mod release;
mod requests;
mod route;
mod rows;

use std::time::Instant;

use chapar_evidence::Log;
use chapar_model::{Clock, Reason};
use http::Response;
use tokio_util::task::TaskTracker;
use tonic::body::Body;

use crate::attempts::Attempts;
use crate::refusal::Refusal;
use messages::Minimised;
use record::refusals::Refusals;
use record::{OpenRecord, REFUSAL_WAIT, disclosure};

pub(crate) use call::{Call, Grounds};
pub(crate) use policy::Policy;

/// `Pipeline` holds what the steps need besides the policy. All calls share it.
#[derive(Clone)]
pub(crate) struct Pipeline {
    pub(crate) log: Log,
    pub(crate) clock: Clock,
    pub(crate) max_message: usize,
    pub(crate) attempts: Attempts,
    pub(crate) refusals: Refusals,
    /// Tasks of the streams in flight. Each outlives the function that began it, so draining waits for them
    /// here.
    pub(crate) streams: TaskTracker,
}

impl Pipeline {
    /// `attempts_key` is the HMAC key of the request ids that are remembered.
    pub(crate) fn new(log: Log, clock: Clock, max_message: usize, attempts_key: &[u8; 32]) -> Self {
        Self {
            log,
            clock,
            max_message,
            attempts: Attempts::new(attempts_key),
            refusals: Refusals::new(),
            streams: TaskTracker::new(),
        }
    }

    /// Answers a call, or refuses it with exactly one reason. Either way the call is recorded before this
    /// returns.
    pub(crate) async fn answer(&self, policy: &Policy, call: Call) -> Result<Response<Body>, Refused> {
        // The slot in the log is reserved first, so that nothing below can end without a place for its
        // record.
        let mut record = OpenRecord::open(&self.log, &self.clock, &self.refusals, &call, &policy.registry)?;
        match self.run(policy, call, &mut record).await {
            Ok(minimised) => {
                // A slow disk is waited for no longer than a slow provider, until the deadline. The record
                // stays, and nothing is released.
                let deadline = minimised.deadline().into();
                let recorded = tokio::time::timeout_at(deadline, disclosure::record(minimised, record)).await;
                let recorded = recorded.map_err(|_| Refusal::from(Reason::DeadlineExceeded))?;
                Ok(release::release(recorded?, &self.streams))
            }
            Err(refusal) => {
                let recorded = tokio::time::timeout(REFUSAL_WAIT, record.refused(refusal.reason())).await;
                Err(Refused {
                    refusal,
                    entry: recorded.ok().flatten().map(|entry| self.log.entry_name(entry)),
                })
            }
        }
    }

    /// Runs the steps that may refuse the call and record the refusal: no byte of the provider's answer has
    /// been released yet.
    async fn run(&self, policy: &Policy, call: Call, record: &mut OpenRecord) -> Result<Minimised, Refusal> {
        let routed = route::route(&policy.registry, call, record)?;
        let permitted = permit::permit(&policy.registry, &self.clock, routed, record)?;
        let deadline = permitted.deadline();
        let is_narrowed = !permitted.permit().rows.is_empty();
        let mut read_at = None;
        let answered = async {
            let admitted = admit::admit(&policy.limiter, &self.attempts, permitted, record).await?;
            let read = read::read(admitted, self.max_message, &self.clock, record).await?;
            let counted = quota::quota(&policy.quotas, read, record)?;
            read_at = Some(Instant::now());
            record.forwarding();
            let forwarded = forward::forward(&policy.upstreams, counted, self.max_message).await?;
            minimise::minimise(forwarded).await
        };
        // One timeout spans all steps: no step has to watch the deadline itself, and a step that is added
        // later cannot forget it.
        match tokio::time::timeout_at(deadline.into(), answered).await {
            Ok(result) => match read_at.filter(|_| is_narrowed) {
                Some(read_at) => absent::cover(result, read_at, deadline).await,
                None => result,
            },
            Err(_) => Err(Reason::DeadlineExceeded.into()),
        }
    }
}

/// A refusal with the coordinates of its record, if it could be recorded.
pub(crate) struct Refused {
    pub(crate) refusal: Refusal,
    pub(crate) entry: Option<String>,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, entry: None }
    }
}

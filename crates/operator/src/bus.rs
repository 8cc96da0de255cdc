//! `Bus` is the gateways of one bus as an operator reaches them. All are asked at once, and one that does not
//! answer delays the others by at most its own time limit.

use std::time::{Duration, Instant};

use chapar_client::{CallError, CallList, CallSummary, Client, Config, Status, TraceFilter, TraceId};
use chapar_model::{Clock, Code};
use chapar_telemetry::Trace;
use jiff::Timestamp;

use crate::trace;

/// The gateways, each with a connection under the operator's identity.
pub struct Bus {
    gateways: Vec<(String, Client)>,
    identity: Config,
    clock: Clock,
}

/// What one gateway answered.
pub struct Answer<T> {
    /// `HOST:PORT`.
    pub gateway: String,
    /// Its answer, or why there is none.
    pub answer: Result<T, CallError>,
}

/// A gateway's state, and when it was seen.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The state.
    pub status: Status,
    /// This machine's time in the middle between question and answer.
    pub at: Timestamp,
    /// From question to answer.
    pub took: Duration,
}

impl Bus {
    /// The bus with these gateways, each with the name in its certificate; all under the identity of the
    /// first.
    ///
    /// # Errors
    /// [`CallError::Config`] naming a file or address that cannot be used.
    pub fn new(first: Config, others: Vec<Config>, clock: Clock) -> Result<Self, CallError> {
        let identity = first.clone();
        let gateways = [first].into_iter().chain(others);
        let gateways = gateways.map(|config| Ok((config.gateway.clone(), Client::new(config)?)));
        Ok(Self { gateways: gateways.collect::<Result<_, CallError>>()?, identity, clock })
    }

    /// The files of the operator's identity.
    pub fn identity(&self) -> &Config {
        &self.identity
    }

    /// The clock of this machine.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The state of each gateway.
    pub async fn status(&self) -> Vec<Answer<Seen>> {
        self.each(|client| async move {
            let asked = self.clock.now();
            let began = Instant::now();
            let status = client.status().await?;
            let took = began.elapsed();
            // A clock that is stepped meanwhile would give any duration, so it is read once.
            let at = asked.checked_add(took / 2).unwrap_or(asked);
            Ok(Seen { status, at, took })
        })
        .await
    }

    /// The calls of each gateway that fit.
    pub async fn traces(&self, filter: &TraceFilter) -> Vec<Answer<CallList>> {
        self.each(|client| client.traces(filter)).await
    }

    /// One trace, by its own id or that of a call in it, from the gateway that keeps it.
    ///
    /// # Errors
    /// NOT_FOUND only if every gateway answers that it keeps none; else why one could not be asked.
    pub async fn find_trace(&self, id: &str) -> Result<Trace, CallError> {
        // A call's id is a UUID with hyphens (RFC 9562 §4), a trace's is hexadecimal alone.
        self.trace(if id.contains('-') { TraceId::Call(id) } else { TraceId::Trace(id) }).await
    }

    async fn trace(&self, id: TraceId<'_>) -> Result<Trace, CallError> {
        let mut problem = None;
        for Answer { answer, .. } in self.each(|client| client.trace(id)).await {
            match answer {
                Ok(trace) => return Ok(trace::from_gateway(trace)),
                // That one gateway keeps none says nothing while another could not be asked.
                Err(error) if problem.is_none() || !is_absent(&error) => problem = Some(error),
                Err(_) => {}
            }
        }
        let none =
            || CallError::Garbled { gateway: "no gateway".to_owned(), problem: "none is named".to_owned() };
        Err(problem.unwrap_or_else(none))
    }

    /// Asks all gateways at once. An answer never comes later than the client's own time limits.
    async fn each<'a, T, F>(&'a self, ask: impl Fn(&'a Client) -> F) -> Vec<Answer<T>>
    where
        F: Future<Output = Result<T, CallError>> + 'a,
    {
        let asked: Vec<F> = self.gateways.iter().map(|(_, client)| ask(client)).collect();
        let answers = futures_util::future::join_all(asked).await;
        let named = self.gateways.iter().zip(answers);
        named.map(|((gateway, _), answer)| Answer { gateway: gateway.clone(), answer }).collect()
    }
}

/// Whether a gateway answered that it keeps no such trace.
pub fn is_absent(error: &CallError) -> bool {
    matches!(error, CallError::Refused(refusal) if refusal.code == Code::NotFound as u8)
}

/// The calls of all gateways together, those that ended last first, at most `limit`.
pub fn newest(answers: &[Answer<CallList>], limit: usize) -> Vec<(&str, &CallSummary)> {
    let of_gateway = |answer: &'_ Answer<CallList>| answer.answer.as_ref().ok().map(|list| list.calls.len());
    let mut calls: Vec<(&str, &CallSummary)> =
        Vec::with_capacity(answers.iter().filter_map(of_gateway).sum());
    for Answer { gateway, answer } in answers {
        calls.extend(answer.iter().flat_map(|list| &list.calls).map(|call| (gateway.as_str(), call)));
    }
    calls.sort_by_key(|(_, call)| std::cmp::Reverse(call.start_us.saturating_add(call.duration_us)));
    calls.truncate(limit);
    calls
}

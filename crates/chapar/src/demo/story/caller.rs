//! `Caller` is a caller in the story: one subsystem with its certificate and its questions, and the answer or
//! the refusal with what the bus says about it. `chapar-client` makes the calls.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::{Duration, Instant};

use chapar_client::{
    AskProcedureRequest, CallError, CallMetadata, CallSpec, Client, Config, PartEnd, json, part_answer,
};
use chapar_contract::Contract;
use prost_reflect::DynamicMessage;

use super::{CASE, CLERK};
use crate::demo::bus::Bus;
use crate::demo::files::key_name;
use crate::demo::registry::SERVER_NAME;
use crate::exit::Failure;

/// A call that takes longer has failed.
const TIMEOUT: Duration = Duration::from_secs(5);

/// One subsystem with its connection, which is made at the first call.
pub(super) struct Caller(Client);

/// One question.
pub(super) struct Asked<'a> {
    /// `package.Service/Method`.
    pub(super) method: &'a str,
    /// Request fields, all texts.
    pub(super) fields: &'a [(&'a str, &'a str)],
    pub(super) purpose: &'static str,
    pub(super) on_behalf_of: Option<&'static str>,
}

/// What came back, with what the bus says about it.
#[derive(Debug)]
pub(super) struct Answer {
    /// One, or all of a stream.
    pub(super) messages: Vec<DynamicMessage>,
    pub(super) call_id: String,
    /// `ORIGIN/INDEX` of the record.
    pub(super) entry: String,
    pub(super) disclosed: Vec<String>,
    pub(super) withheld: Vec<String>,
}

/// A part of a procedure as it came out.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) id: String,
    pub(super) result: Result<Answer, Refused>,
    /// From the beginning of the inquiry to the end of the part.
    pub(super) took: Duration,
}

/// Why nothing came back.
#[derive(Debug)]
pub(super) struct Refused {
    /// The gRPC code as in the documentation, e.g. `PERMISSION_DENIED`.
    pub(super) code: String,
    /// A word of the catalogue; empty if the bus did not answer.
    pub(super) reason: String,
    pub(super) message: String,
    pub(super) retry_after: Option<Duration>,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({})", self.code, self.reason, self.message)
    }
}

impl Caller {
    /// The caller with the certificate of `subsystem`, at the first gateway.
    ///
    /// # Errors
    /// If a key file cannot be read or used.
    pub(super) fn new(bus: &Bus, subsystem: &str) -> Result<Self, Failure> {
        Self::at(bus, bus.gateway, subsystem)
    }

    /// The same at another gateway.
    ///
    /// # Errors
    /// As [`Caller::new`].
    pub(super) fn at(bus: &Bus, gateway: SocketAddr, subsystem: &str) -> Result<Self, Failure> {
        let pki = bus.dir.join("pki");
        let name = key_name(subsystem);
        let client = Client::new(Config {
            gateway: gateway.to_string(),
            server_name: SERVER_NAME.to_owned(),
            cert: pki.join(format!("{name}.crt")),
            key: pki.join(format!("{name}.key")),
            ca: pki.join("ca.crt"),
        })?;
        Ok(Self(client))
    }

    /// Makes one call and reads it to its end.
    pub(super) async fn ask(
        &self,
        contract: Option<&Contract>,
        asked: &Asked<'_>,
    ) -> Result<Answer, Refused> {
        let call = asked.call()?;
        let method = contract
            .and_then(|contract| contract.method(&call.method))
            .ok_or_else(|| Refused::here("INTERNAL", "no such method"))?;
        let request = json::to_request(method.input(), asked.fields)
            .map_err(|error| Refused::here("INTERNAL", error))?;
        let answer = self.0.call(&call, request).await?;
        let mut messages = Vec::new();
        for message in answer.messages {
            let message = DynamicMessage::decode(method.output().clone(), message)
                .map_err(|_| Refused::here("INTERNAL", "the answer is not of the contract's type"))?;
            messages.push(message);
        }
        let ending = answer.ending;
        Ok(Answer {
            messages,
            call_id: ending.call_id().unwrap_or_default(),
            entry: ending.entry().unwrap_or_default(),
            disclosed: ending.disclosed(),
            withheld: ending.withheld(),
        })
    }
}

impl Caller {
    /// Asks a procedure about a citizen, and reads all of its parts to their ends.
    pub(super) async fn inquire(
        &self,
        bus: &Bus,
        procedure: &str,
        subject: &str,
        inputs: &[(&str, &str)],
    ) -> Result<Vec<Part>, Refused> {
        let inputs = inputs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let (procedure, subject) = (procedure.to_owned(), subject.to_owned());
        let request = AskProcedureRequest { procedure: procedure.clone(), subject, inputs, json: false };
        let metadata = CallMetadata {
            case: Some(parse(CASE)?),
            clerk: Some(parse(CLERK)?),
            timeout: Some(TIMEOUT),
            ..CallMetadata::default()
        };
        let known = self.0.procedures().await?.into_iter().find(|known| known.id == procedure);
        let known = known.ok_or_else(|| Refused::here("NOT_FOUND", "no such procedure"))?;
        let started = Instant::now();
        let mut answers = self.0.ask_procedure(request, metadata).await?;
        let mut messages: HashMap<u32, Vec<DynamicMessage>> = HashMap::new();
        let mut parts = Vec::new();
        while let Some(answer) = answers.next().await? {
            let part = known.parts.get(answer.part as usize);
            let part = part.ok_or_else(|| Refused::here("INTERNAL", "an answer to no part"))?;
            if let Some(part_answer::Answer::Message(message)) = answer.answer {
                let output = bus.output(&part.method);
                let message =
                    output.and_then(|output| DynamicMessage::decode(output, message.as_slice()).ok());
                let message =
                    message.ok_or_else(|| Refused::here("INTERNAL", "no answer of the contract"))?;
                messages.entry(answer.part).or_default().push(message);
            }
            if let Some(end) = answer.end {
                let messages = messages.remove(&answer.part).unwrap_or_default();
                parts.push(Part {
                    id: part.id.clone(),
                    result: ended(end, messages),
                    took: started.elapsed(),
                });
            }
        }
        Ok(parts)
    }
}

fn ended(end: PartEnd, messages: Vec<DynamicMessage>) -> Result<Answer, Refused> {
    if !end.waits_for.is_empty() {
        return Err(Refused::here(
            "FAILED_PRECONDITION",
            format_args!("`{}` has no value for it", end.waits_for),
        ));
    }
    let PartEnd { refusal, call_id, entry, disclosed, withheld, .. } = end;
    match refusal {
        None => Ok(Answer { messages, call_id, entry, disclosed, withheld }),
        Some(refusal) => Err(Refused {
            code: format!("code {}", refusal.code),
            reason: refusal.reason,
            message: refusal.message,
            retry_after: refusal.retry_after.and_then(|wait| wait.try_into().ok()),
        }),
    }
}

impl Asked<'_> {
    fn call(&self) -> Result<CallSpec, Refused> {
        let metadata = CallMetadata {
            purpose: Some(parse(self.purpose)?),
            case: Some(parse(CASE)?),
            clerk: Some(parse(CLERK)?),
            on_behalf_of: self.on_behalf_of.map(parse).transpose()?,
            timeout: Some(TIMEOUT),
            ..CallMetadata::default()
        };
        Ok(CallSpec { method: parse(self.method)?, metadata })
    }
}

fn parse<T: FromStr>(text: &str) -> Result<T, Refused> {
    text.parse().map_err(|_| Refused::here("INTERNAL", format_args!("`{text}` cannot be sent")))
}

impl Refused {
    /// A failure on this side of the bus.
    fn here(code: &str, why: impl fmt::Display) -> Self {
        Self { code: code.to_owned(), reason: String::new(), message: why.to_string(), retry_after: None }
    }
}

impl From<CallError> for Refused {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Refused(refusal) => {
                let refusal = *refusal;
                Self {
                    code: refusal.code_name().to_owned(),
                    reason: refusal.reason,
                    message: refusal.message,
                    retry_after: refusal.retry_after,
                }
            }
            // The deadline passed on this side, so there is no reason of the catalogue.
            CallError::Late { .. } => Self::here("DEADLINE_EXCEEDED", "no answer in time"),
            other => Self::here("UNAVAILABLE", other),
        }
    }
}

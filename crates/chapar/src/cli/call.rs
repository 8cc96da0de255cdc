//! This module implements `chapar call`: it makes one call through the bus. The answer goes to standard
//! output as JSON. Standard error says who saw what, and where that is recorded.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chapar_client::json::{Unreadable, disclosed_json, takes, to_json, to_request};
use chapar_client::{CallError, CallMetadata, CallSpec, Ending, Messages, Refusal};
use chapar_model::{CaseNumber, ClerkId, MemberId, Purpose};
use prost_reflect::{MessageDescriptor, MethodDescriptor};
use serde_json::{Value, json};

use super::connect::ConnectArgs;
use super::refusal::{self, span};
use super::result_file::{ForceArgs, ResultFile};
use super::session::Session;
use crate::exit::{Exit, Failure, Outcome};
use crate::out;

/// Call a method
///
/// The command prints the answer as JSON with the contract's field names, and a stream as one document per
/// line. The withheld fields, the time that the call took and its entry in the evidence log go to standard
/// error. A refused call exits with 64 + the gRPC code.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  chapar call CivilRegistry/GetPerson national_id=0012345679 --purpose benefit.eligibility \\\n      \
                        --case 1404-771 --clerk m.karimi --demo DIR --as gov/welfare/benefits\n  \
                        chapar call GetPerson national_id=۰۰۱۲۳۴۵۶۷۹ --gateway gw.example:7443 \\\n      --cert me.crt --key me.key --ca ca.crt"
)]
pub(super) struct Args {
    /// The method; the end of its name is enough where it is unambiguous
    #[arg(value_name = "SERVICE/METHOD")]
    method: String,
    /// The fields of the request; digits may be Persian
    #[arg(value_name = "FIELD=VALUE")]
    fields: Vec<String>,
    /// The purpose of the call: a code of the contract, e.g. `benefit.eligibility`
    #[arg(long, value_name = "CODE")]
    purpose: Option<Purpose>,
    /// The case: your file number
    #[arg(long, value_name = "NUMBER")]
    case: Option<CaseNumber>,
    /// The clerk: the person who asks
    #[arg(long, value_name = "NAME")]
    clerk: Option<ClerkId>,
    /// The member whose delegated right you use
    #[arg(long, value_name = "MEMBER")]
    on_behalf_of: Option<MemberId>,
    /// The deadline of the call, with a unit
    #[arg(long, default_value = "10s", value_name = "TIME", value_parser = duration)]
    timeout: Duration,
    /// The language of refusals besides English, e.g. `fa`
    #[arg(long, value_name = "LANGUAGE")]
    language: Option<String>,
    /// Fetch the receipt of the call and write it to this file
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
    #[command(flatten)]
    force: ForceArgs,
    /// The output
    #[arg(long, value_enum, default_value_t = Output::Data, value_name = "FORMAT")]
    output: Output,
    #[command(flatten)]
    connect: ConnectArgs,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub(super) enum Output {
    /// The answer only
    Data,
    /// One document with the answer or the refusal, and with the facts about the call
    Json,
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let time: jiff::SignedDuration =
        text.parse().map_err(|_| "give a time with a unit, e.g. `500ms` or `3s`".to_owned())?;
    Duration::try_from(time)
        .ok()
        .filter(|time| !time.is_zero())
        .ok_or_else(|| "the time must be more than zero".to_owned())
}

pub(super) async fn run(args: Args) -> Outcome {
    // Before the call: a disclosure cannot be taken back for want of a place for its receipt.
    let receipt = args.receipt.as_deref().map(|file| ResultFile::new(file, args.force)).transpose()?;
    let mut session = Session::open(&args.connect).await?;
    let method = session.method(&args.method).await?;
    let request = match &method.descriptor {
        Some(descriptor) => request(&descriptor.input(), &args.fields)?,
        // The bus shows this identity no such method. The call is made without a message all the same,
        // because the refusal of the bus says why.
        None => Bytes::new(),
    };
    let metadata = CallMetadata {
        purpose: args.purpose,
        case: args.case,
        clerk: args.clerk,
        on_behalf_of: args.on_behalf_of,
        language: args.language,
        timeout: Some(args.timeout),
        ..CallMetadata::default()
    };
    let call = CallSpec { method: method.path, metadata };
    let started = Instant::now();
    let mut printer = Printer { output: args.output, messages: Vec::new() };
    let answered = match session.call(&call, request).await {
        Ok(messages) => printer.messages(messages, method.descriptor.as_ref()).await,
        Err(error) => Err(error.into()),
    };
    let elapsed = started.elapsed();
    match answered {
        Ok(ending) => {
            printer.ending(&ending, elapsed);
            if let Some(file) = receipt {
                let entry = ending.entry().ok_or_else(|| {
                    Failure::new(
                        Exit::Finding,
                        "the call has no entry in the evidence log, so there is no receipt",
                    )
                })?;
                file.write(&session.receipt(&entry).await?)?;
                out::say(format_args!("receipt   {}", file.path().display()));
            }
            Ok(Exit::Ok)
        }
        Err(Unanswered::Refused(refusal)) => {
            printer.refused(&refusal, elapsed);
            Ok(Exit::Refused(refusal.code))
        }
        Err(Unanswered::Failed(failure)) => Err(failure),
    }
}

/// The request that the arguments after the method make. No error shows a value: what stands there may be a
/// citizen's.
pub(super) fn request(descriptor: &MessageDescriptor, arguments: &[String]) -> Result<Bytes, Failure> {
    let mut pairs = Vec::new();
    for argument in arguments {
        let pair = argument.split_once('=').ok_or_else(|| {
            Failure::usage(format_args!(
                "an argument after the method is `field=value`; {}",
                takes(descriptor)
            ))
        })?;
        pairs.push(pair);
    }
    to_request(descriptor, &pairs).map_err(Failure::usage)
}

/// Why there is no whole answer to print.
enum Unanswered {
    /// The bus or the agency said no, or the deadline passed: an outcome of the call.
    Refused(Box<Refusal>),
    /// Anything else.
    Failed(Failure),
}

impl From<CallError> for Unanswered {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Refused(refusal) => Self::Refused(refusal),
            CallError::Late { call_id } => {
                Self::Refused(Box::new(refusal::late(call_id, "the gateway did not answer within --timeout")))
            }
            error => Self::Failed(error.into()),
        }
    }
}

impl From<Failure> for Unanswered {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Prints an answer as it comes, or keeps it for the one document at the end.
struct Printer {
    output: Output,
    messages: Vec<Value>,
}

impl Printer {
    /// Reads the answer to its end. A stream's messages are printed as they come; a single message waits for
    /// the trailers, which say what was withheld.
    async fn messages(
        &mut self,
        mut messages: Messages,
        method: Option<&MethodDescriptor>,
    ) -> Result<Ending, Unanswered> {
        let unreadable = |error: Unreadable| Failure::new(Exit::Finding, error);
        let stream = method.is_some_and(MethodDescriptor::is_server_streaming);
        let mut last: Option<(MessageDescriptor, Bytes)> = None;
        while let Some(message) = messages.next().await? {
            let undescribed = || {
                Failure::new(
                    Exit::Finding,
                    "the call was answered, but the answer's type is not known: give `--descriptors FILE`",
                )
            };
            let output = method.ok_or_else(undescribed)?.output();
            // A stream is printed as it comes. What was withheld is known only at its end, so fields with
            // default values are left out.
            if stream {
                self.message(to_json(&output, message).map_err(unreadable)?);
            } else {
                last = Some((output, message));
            }
        }
        let ending = messages.ending().await?;
        if let Some((output, message)) = last {
            self.message(disclosed_json(&output, message, &ending.withheld()).map_err(unreadable)?);
        }
        Ok(ending)
    }

    fn message(&mut self, message: Value) {
        match self.output {
            Output::Data => out::data(message),
            Output::Json => self.messages.push(message),
        }
    }

    fn ending(&mut self, ending: &Ending, elapsed: Duration) {
        let disclosed = ending.disclosed();
        let withheld = ending.withheld();
        if self.output == Output::Json {
            out::data(json!({
                "outcome": "OK",
                "call_id": ending.call_id(),
                "entry": ending.entry(),
                "elapsed_ms": millis(elapsed),
                "disclosed": disclosed,
                "withheld": withheld,
                "messages": std::mem::take(&mut self.messages),
            }));
            return;
        }
        let of = disclosed.len() + withheld.len();
        out::say(format_args!("answered  in {}, {} of {of} fields", span(elapsed), disclosed.len()));
        if !withheld.is_empty() {
            out::say(format_args!("withheld  {}", withheld.join(", ")));
        }
        for (label, value) in [("entry", ending.entry()), ("call", ending.call_id())] {
            if let Some(value) = value {
                out::say(format_args!("{label:<9} {value}"));
            }
        }
    }

    fn refused(&mut self, refusal: &Refusal, elapsed: Duration) {
        // A server that is no bus gives no reason of the catalogue, so its gRPC status stands for it.
        let outcome = if refusal.reason.is_empty() { refusal.code_name() } else { refusal.reason.as_str() };
        match self.output {
            Output::Data => out::say(refusal::text(refusal)),
            Output::Json => out::data(json!({
                "outcome": outcome,
                "call_id": refusal.call_id,
                "entry": refusal.entry,
                "elapsed_ms": millis(elapsed),
                "messages": std::mem::take(&mut self.messages),
                "refusal": refusal::document(refusal),
            })),
        }
    }
}

/// Milliseconds with three decimals.
fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_mistake_in_the_fields_is_told_with_what_the_message_takes_and_without_the_value() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto/civil");
        let contract = chapar_contract::Contract::load(&folder).unwrap();
        let descriptor = contract.pool().get_message_by_name("civil.v1.GetPersonRequest").unwrap();
        for wrong in ["0013542419", "national=0013542419", "national_id.x=0013542419"] {
            let failure = request(&descriptor, &[wrong.to_owned()]).unwrap_err();
            let told = failure.report.to_string();
            assert!(told.contains("national_id") && !told.contains("0013542419"), "{told}");
            assert_eq!(failure.exit, Exit::Usage);
        }
        let twice = ["national_id=1", "national_id=2"].map(str::to_owned);
        let told = request(&descriptor, &twice).unwrap_err().report.to_string();
        assert_eq!(told, "`national_id` is given twice");
    }
}

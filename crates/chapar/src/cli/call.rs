//! `chapar call`: one call through the bus. The answer goes to standard output as JSON; who saw what, and
//! where that is recorded, to standard error.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use chapar_model::{CaseNumber, ClerkId, MemberId, Purpose};
use prost::Message as _;
use prost_reflect::{DynamicMessage, MethodDescriptor};
use serde_json::{Value, json};

use super::connect::ConnectArgs;
use super::exchange::{Answers, CallError, Ending, Metadata, decode};
use super::refusal::{Refusal, span};
use super::session::Session;
use super::{Exit, Failure, Outcome, answer, fields, out};

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
    /// The output
    #[arg(long, value_enum, default_value_t = Output::Data, value_name = "FORMAT")]
    output: Output,
    #[command(flatten)]
    connect: ConnectArgs,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
enum Output {
    /// The answer only
    Data,
    /// One document with the answer or the refusal, and with the facts about the call
    Json,
}

fn duration(text: &str) -> Result<Duration, String> {
    let time: jiff::SignedDuration =
        text.parse().map_err(|_| "give a time with a unit, e.g. `500ms` or `3s`".to_owned())?;
    Duration::try_from(time)
        .ok()
        .filter(|time| !time.is_zero())
        .ok_or_else(|| "the time must be more than zero".to_owned())
}

pub(super) async fn run(args: Args) -> Outcome {
    let mut session = Session::open(&args.connect).await?;
    let method = session.method(&args.method).await?;
    let request = match &method.descriptor {
        Some(descriptor) => fields::message(&descriptor.input(), &args.fields)?.encode_to_vec(),
        // The bus shows this identity no such method and will say why; there is nothing to encode by.
        None => Vec::new(),
    };
    let metadata = Metadata {
        purpose: args.purpose,
        case: args.case,
        clerk: args.clerk,
        on_behalf_of: args.on_behalf_of,
        language: args.language,
        timeout: args.timeout,
    };
    let started = Instant::now();
    let mut printer = Printer { output: args.output, messages: Vec::new() };
    let answered = match session.call(&method.path, request, &metadata).await {
        Ok(answers) => printer.messages(answers, method.descriptor.as_ref()).await,
        Err(error) => Err(error),
    };
    let elapsed = started.elapsed();
    match answered {
        Ok(ending) => {
            printer.ending(&ending, elapsed);
            if let Some(file) = &args.receipt {
                let entry = ending.entry.ok_or_else(|| {
                    Failure::new(
                        Exit::Finding,
                        "the call has no entry in the evidence log, so there is no receipt",
                    )
                })?;
                super::evidence::save(&session.receipt(&entry).await?, Some(file))?;
                out::say(format_args!("receipt   {}", file.display()));
            }
            Ok(Exit::Ok)
        }
        Err(CallError::Refused(refusal)) => {
            printer.refused(&refusal, elapsed);
            Ok(Exit::Refused(refusal.number))
        }
        Err(CallError::Failed(failure)) => Err(failure),
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
        mut answers: Answers,
        method: Option<&MethodDescriptor>,
    ) -> Result<Ending, CallError> {
        let stream = method.is_some_and(MethodDescriptor::is_server_streaming);
        let mut last: Option<DynamicMessage> = None;
        while let Some(bytes) = answers.next().await? {
            let undescribed = || {
                CallError::Failed(Failure::new(
                    Exit::Finding,
                    "the call was answered, but the answer's type is not known: give `--descriptors FILE`",
                ))
            };
            let message = decode(method.ok_or_else(undescribed)?, bytes).map_err(CallError::Failed)?;
            if stream {
                self.message(answer::set_fields(&message).map_err(CallError::Failed)?);
            } else {
                last = Some(message);
            }
        }
        let ending = answers.ending().await?;
        if let Some(message) = last {
            self.message(answer::disclosed_fields(&message, &ending.withheld).map_err(CallError::Failed)?);
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
        if self.output == Output::Json {
            out::data(json!({
                "outcome": "OK",
                "call_id": ending.call_id,
                "entry": ending.entry,
                "elapsed_ms": millis(elapsed),
                "disclosed": ending.disclosed,
                "withheld": ending.withheld,
                "messages": std::mem::take(&mut self.messages),
            }));
            return;
        }
        let of = ending.disclosed.len() + ending.withheld.len();
        out::say(format_args!("answered  in {}, {} of {of} fields", span(elapsed), ending.disclosed.len()));
        if !ending.withheld.is_empty() {
            out::say(format_args!("withheld  {}", ending.withheld.join(", ")));
        }
        for (label, value) in [("entry", &ending.entry), ("call", &ending.call_id)] {
            if let Some(value) = value {
                out::say(format_args!("{label:<9} {value}"));
            }
        }
    }

    fn refused(&mut self, refusal: &Refusal, elapsed: Duration) {
        match self.output {
            Output::Data => out::say(refusal.text()),
            Output::Json => out::data(json!({
                "outcome": if refusal.reason.is_empty() { &refusal.code } else { &refusal.reason },
                "call_id": refusal.call_id,
                "entry": refusal.entry,
                "elapsed_ms": millis(elapsed),
                "messages": std::mem::take(&mut self.messages),
                "refusal": refusal,
            })),
        }
    }
}

fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

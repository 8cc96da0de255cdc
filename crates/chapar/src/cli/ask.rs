//! This module implements `chapar ask`: it asks a procedure of the registry about one citizen, in one call.
//! The answers go to standard output as JSON, part by part; what became of each part goes to standard error.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chapar_client::json::disclosed_json;
use chapar_client::{
    AskProcedureRequest, CallMetadata, PartAnswer, PartEnd, PartRefusal, Procedure, part_answer,
};
use chapar_model::{CaseNumber, ClerkId, RequestId};
use prost_reflect::{DescriptorPool, MessageDescriptor};
use serde_json::{Value, json};

use super::call::{Output, duration};
use super::connect::ConnectArgs;
use super::refusal::span;
use super::rights::table;
use super::session::Session;
use crate::exit::{Exit, Failure, Outcome};
use crate::out;

/// Ask a procedure: all that it needs to know of a citizen, in one call
///
/// A procedure is a list of methods in the registry, such as all that a farm loan needs. Each part is a call
/// of its own, with its own right and its own record; a part that is refused holds up no other. The answers
/// are printed as JSON, a line for each part. Without a procedure, the command lists those that you may ask.
/// The command exits with 1 if a part was not answered.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  chapar ask --demo DIR --as office/khorramabad-12/counter\n  \
                  chapar ask farm-loan 4060014060 iban=IR… --case 1404-771 --clerk z.karimi --demo DIR --as office/khorramabad-12/counter")]
pub(super) struct Args {
    /// The procedure
    #[arg(value_name = "PROCEDURE", requires = "subject")]
    procedure: Option<String>,
    /// The citizen's national id; digits may be Persian
    #[arg(value_name = "NATIONAL_ID")]
    subject: Option<String>,
    /// What the procedure asks for besides
    #[arg(value_name = "INPUT=VALUE")]
    inputs: Vec<String>,
    /// The case: your file number
    #[arg(long, value_name = "NUMBER")]
    case: Option<CaseNumber>,
    /// The clerk: the person who asks
    #[arg(long, value_name = "NAME")]
    clerk: Option<ClerkId>,
    /// The idempotency key, a UUID: the same inquiry under the same key counts once
    #[arg(long, value_name = "UUID")]
    request_id: Option<RequestId>,
    /// The deadline of the inquiry, with a unit
    #[arg(long, default_value = "20s", value_name = "TIME", value_parser = duration)]
    timeout: Duration,
    /// The language of refusals besides English, e.g. `fa`
    #[arg(long, value_name = "LANGUAGE")]
    language: Option<String>,
    /// The output
    #[arg(long, value_enum, default_value_t = Output::Data, value_name = "FORMAT")]
    output: Output,
    #[command(flatten)]
    connect: ConnectArgs,
}

pub(super) async fn run(args: Args) -> Outcome {
    let mut session = Session::open(&args.connect).await?;
    let procedures = session.procedures().await?;
    let (Some(wanted), Some(subject)) = (args.procedure, args.subject) else {
        list(&procedures, args.output);
        return Ok(Exit::Ok);
    };
    let Some(procedure) = procedures.into_iter().find(|procedure| procedure.id == wanted) else {
        let sentence = format!("you may ask no procedure `{wanted}`; `chapar ask` lists yours");
        return Err(Failure::new(Exit::Finding, sentence));
    };
    let metadata = CallMetadata {
        case: args.case,
        clerk: args.clerk,
        request_id: args.request_id,
        timeout: Some(args.timeout),
        language: args.language,
        ..CallMetadata::default()
    };
    let pool = session.pool().await?;
    let inputs = inputs(&args.inputs)?;
    let request = AskProcedureRequest { procedure: procedure.id.clone(), subject, inputs, json: false };
    let started = Instant::now();
    let mut answers = session.ask(request, metadata).await?;
    let mut report = Report::of(procedure, pool, args.output);
    while let Some(answer) = answers.next().await? {
        report.take(answer)?;
    }
    Ok(report.end(started.elapsed()))
}

/// `INPUT=VALUE` arguments. No error shows a value: it may be a citizen's.
fn inputs(arguments: &[String]) -> Result<HashMap<String, String>, Failure> {
    let mut inputs = HashMap::new();
    for argument in arguments {
        let Some((name, value)) = argument.split_once('=') else {
            return Err(Failure::usage("an argument after the national id is `input=value`"));
        };
        if inputs.insert(name.to_owned(), value.to_owned()).is_some() {
            return Err(Failure::usage(format_args!("`{name}` is given twice")));
        }
    }
    Ok(inputs)
}

fn list(procedures: &[Procedure], output: Output) {
    if output == Output::Json {
        let document = |procedure: &Procedure| {
            json!({
                "id": procedure.id,
                "name": procedure.name.as_ref().map(|name| json!({"fa": name.fa, "en": name.en})),
                "purpose": procedure.purpose,
                "on_behalf_of": procedure.on_behalf_of,
                "inputs": procedure.inputs.iter().map(|input| &input.id).collect::<Vec<_>>(),
                "parts": procedure.parts.iter().map(|part| json!({"id": part.id, "method": part.method})).collect::<Vec<_>>(),
            })
        };
        out::data(json!({ "procedures": procedures.iter().map(document).collect::<Vec<_>>() }));
        return;
    }
    let head =
        ["PROCEDURE", "NAME", "PURPOSE", "ON BEHALF OF", "INPUTS", "PARTS"].map(str::to_owned).to_vec();
    let row = |procedure: &Procedure| {
        let name = procedure.name.as_ref().map(|name| name.en.clone()).unwrap_or_default();
        let inputs: Vec<&str> = procedure.inputs.iter().map(|input| input.id.as_str()).collect();
        let parts: Vec<&str> = procedure.parts.iter().map(|part| part.id.as_str()).collect();
        vec![
            procedure.id.clone(),
            name,
            procedure.purpose.clone(),
            procedure.on_behalf_of.clone(),
            inputs.join(", "),
            parts.join(", "),
        ]
    };
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(procedures.iter().map(row)).collect();
    table(&rows).iter().for_each(out::data);
}

/// What came of each part so far.
struct Report {
    procedure: Procedure,
    pool: DescriptorPool,
    output: Output,
    messages: Vec<Vec<Bytes>>,
    documents: Vec<Value>,
    unanswered: usize,
}

impl Report {
    fn of(procedure: Procedure, pool: DescriptorPool, output: Output) -> Self {
        let messages = vec![Vec::new(); procedure.parts.len()];
        Self { procedure, pool, output, messages, documents: Vec::new(), unanswered: 0 }
    }

    fn take(&mut self, answer: PartAnswer) -> Result<(), Failure> {
        let number = answer.part as usize;
        let stranger = || Failure::new(Exit::Finding, "the gateway answered a part that was not asked");
        let messages = self.messages.get_mut(number).ok_or_else(stranger)?;
        if let Some(part_answer::Answer::Message(message)) = answer.answer {
            messages.push(message.into());
        }
        let Some(end) = answer.end else { return Ok(()) };
        let messages = std::mem::take(messages);
        let part = self.procedure.parts.get(number).ok_or_else(stranger)?;
        let output = output_of(&self.pool, &part.method).ok_or_else(|| {
            Failure::new(Exit::Finding, format_args!("the gateway does not describe {}", part.method))
        })?;
        let read = messages.into_iter().map(|message| disclosed_json(&output, message, &end.withheld));
        let read: Vec<Value> =
            read.collect::<Result<_, _>>().map_err(|error| Failure::new(Exit::Finding, error))?;
        let outcome = outcome(&end);
        if outcome != "OK" {
            self.unanswered += 1;
        }
        let document = json!({
            "part": part.id,
            "method": part.method,
            "outcome": outcome,
            "messages": read,
            "withheld": end.withheld,
            "entry": end.entry,
            "call_id": end.call_id,
            "refusal": end.refusal.as_ref().map(refusal),
        });
        match self.output {
            Output::Json => self.documents.push(document),
            Output::Data => {
                if !read.is_empty() {
                    out::data(json!({"part": part.id, "messages": read}));
                }
                out::say(format_args!("{:<12} {}", part.id, sentence(&end)));
            }
        }
        Ok(())
    }

    fn end(self, elapsed: Duration) -> Exit {
        let count = self.procedure.parts.len();
        match self.output {
            Output::Json => out::data(json!({
                "procedure": self.procedure.id,
                "elapsed_ms": elapsed.as_secs_f64() * 1000.0,
                "parts": self.documents,
            })),
            Output::Data => {
                let answered = count - self.unanswered;
                out::say(format_args!("{answered} of {count} parts answered in {}", span(elapsed)));
            }
        }
        if self.unanswered == 0 { Exit::Ok } else { Exit::Finding }
    }
}

fn output_of(pool: &DescriptorPool, path: &str) -> Option<MessageDescriptor> {
    let (service, method) = path.split_once('/')?;
    let service = pool.get_service_by_name(service)?;
    let method = service.methods().find(|known| known.name() == method)?;
    Some(method.output())
}

/// The outcome in a word.
fn outcome(end: &PartEnd) -> &str {
    match &end.refusal {
        Some(refusal) if refusal.reason.is_empty() => "PROVIDER_STATUS",
        Some(refusal) => &refusal.reason,
        None if !end.waits_for.is_empty() => "NOT_ASKED",
        None => "OK",
    }
}

fn sentence(end: &PartEnd) -> String {
    let fields = end.disclosed.len() + end.withheld.len();
    match &end.refusal {
        Some(refusal) => format!("refused {}: {}", outcome(end), refusal.message),
        None if !end.waits_for.is_empty() => format!("not asked: `{}` has no value for it", end.waits_for),
        None => format!("answered, {} of {fields} fields, entry {}", end.disclosed.len(), end.entry),
    }
}

fn refusal(refusal: &PartRefusal) -> Value {
    let fields: Vec<Value> = refusal.fields.iter().map(|field| json!([field.field, field.rule])).collect();
    json!({
        "code": refusal.code,
        "reason": refusal.reason,
        "message": refusal.message,
        "localized": refusal.localized,
        "retry_after": refusal.retry_after.as_ref().map(|wait| wait.seconds as f64 + f64::from(wait.nanos) / 1e9),
        "help": refusal.help,
        "fields": fields,
    })
}

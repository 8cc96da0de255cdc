//! This module asks the parts of a procedure: it makes their requests from the citizen's id, the inputs and
//! earlier answers. An answer's value that goes into another request is one that the caller is granted, since
//! the caller gets the same answer.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use chapar_contract::{FieldPath, Format};
use chapar_model::{ProcedureId, Reason, SubsystemId};
use chapar_registry::{Name, Part, Procedure, Registry, ValueSource};
use jiff::Timestamp;
use prost::Message as _;
use prost_reflect::{DynamicMessage, MessageDescriptor, ReflectMessage as _, Value};
use tokio::sync::watch;
use tonic::Status;

use super::answer::{Form, PartWriter};
use super::part::{Inquirer, PartCall};
use super::pb;
use super::{Answers, Running, Started, answers};
use crate::protocol::RequestStream;
use crate::refusal::Refusal;

/// The answer of a part: nothing yet, none, or its message.
type PartResult = Option<Option<Bytes>>;

/// Starts all parts. Those that take values of others wait for them.
///
/// # Errors
/// `PROCEDURE_UNKNOWN` for a procedure that there is not, or that the caller may not ask; `REQUEST_MALFORMED`
/// for inputs that are missing or unknown, `PURPOSE_UNKNOWN` for another purpose than the procedure's. Then
/// no part is asked.
pub(super) fn start(inquirer: &Inquirer, request: pb::AskProcedureRequest) -> Result<Answers, Status> {
    // One answer for both, so that nobody learns of others' procedures.
    let unknown = || inquirer.status(&Reason::ProcedureUnknown.into());
    let id = request.procedure.parse::<ProcedureId>().map_err(|_| unknown())?;
    let policy = inquirer.policy();
    let procedure = policy.registry.procedure(&inquirer.caller.id, &id).ok_or_else(unknown)?;
    let inquirer = inquirer.for_procedure(procedure)?;
    let inputs = inputs(&inquirer, procedure, request.inputs)?;
    let form = if request.json || inquirer.is_json { Form::Json } else { Form::Message };
    let given = Given { procedure: Arc::clone(procedure), subject: request.subject, inputs, form };
    let given = Arc::new(given);
    let is_taken = |number: usize| {
        let fields = procedure.parts.iter().flat_map(|part| &part.request);
        fields.filter_map(|field| field.from.part()).any(|taken| taken == number)
    };
    let (told, heard): (Vec<_>, Vec<_>) =
        procedure.parts.iter().map(|_| watch::channel::<PartResult>(None)).unzip();
    let mut running = Running::new();
    for (number, told) in told.into_iter().enumerate() {
        let inquirer = inquirer.clone();
        let given = Arc::clone(&given);
        let heard = heard.clone();
        // Only an answer that another part takes is kept for it.
        let told = Some(told).filter(|_| is_taken(number));
        running.spawn(async move {
            let (started, message) = ask(&inquirer, &given, number, heard).await;
            if let Some(told) = told {
                told.send_replace(Some(message));
            }
            started
        });
    }
    Ok(answers(running))
}

/// Asks one part, once the answers that it takes values of are there.
async fn ask(
    inquirer: &Inquirer,
    given: &Given,
    number: usize,
    mut heard: Vec<watch::Receiver<PartResult>>,
) -> (Started, Option<Bytes>) {
    let parts = &given.procedure.parts;
    let mut earlier = HashMap::new();
    let taken = parts[number].request.iter().filter_map(|field| field.from.part());
    for source in taken.collect::<BTreeSet<_>>() {
        // A sender that is gone has told nothing, which is as no answer.
        let told = heard[source].wait_for(Option::is_some).await.ok().and_then(|told| told.clone().flatten());
        let output = parts[source].entry.method.output().clone();
        earlier.insert(source, told.and_then(|bytes| DynamicMessage::decode(output, bytes).ok()));
    }
    let part = &parts[number];
    let place = u32::try_from(number).unwrap_or(u32::MAX);
    match given.request(part, &earlier) {
        Ok(request) => {
            let method = part.entry.method.path().to_string();
            let body = RequestStream::message(&request);
            let call = PartCall { number: place, id: part.id.to_string(), method, body, form: given.form };
            inquirer.ask(call).await
        }
        Err(lacking) => {
            let writer =
                PartWriter { number: place, id: part.id.to_string(), form: given.form, output: None };
            (Started::Ended(Box::new(writer.waits_for(parts[lacking].id.as_str()))), None)
        }
    }
}

/// What a procedure is asked with.
struct Given {
    procedure: Arc<Procedure>,
    subject: String,
    /// In the order of the procedure's inputs.
    inputs: Vec<String>,
    form: Form,
}

impl Given {
    /// The request of a part.
    ///
    /// # Errors
    /// The number of the part whose answer lacks a value.
    fn request(
        &self,
        part: &Part,
        earlier: &HashMap<usize, Option<DynamicMessage>>,
    ) -> Result<Vec<u8>, usize> {
        let mut request = DynamicMessage::new(part.entry.method.input().clone());
        for field in &part.request {
            let value = match &field.from {
                ValueSource::Subject => Value::String(self.subject.clone()),
                // The procedure has the input, so the default is never used.
                ValueSource::Input(number) => {
                    Value::String(self.inputs.get(*number).cloned().unwrap_or_default())
                }
                ValueSource::Answer { part, path } => {
                    let message = earlier.get(part).and_then(Option::as_ref);
                    let value = message.and_then(|message| value_at(message, path));
                    carried(value.ok_or(*part)?, request.descriptor(), &field.path)
                }
            };
            put(&mut request, field.path.numbers(), value);
        }
        Ok(request.encode_to_vec())
    }
}

/// The value at a path whose fields are all singular; nothing if it, or a message around it, is absent or has
/// no value.
fn value_at(message: &DynamicMessage, path: &FieldPath) -> Option<Value> {
    let (last, around) = path.numbers().split_last()?;
    let mut inside = message.clone();
    for number in around {
        if !inside.has_field_by_number(*number) {
            return None;
        }
        inside = inside.get_field_by_number(*number)?.as_message()?.clone();
    }
    // A field without presence that has its default is taken for absent: an empty text asks about nobody.
    inside
        .has_field_by_number(*last)
        .then(|| inside.get_field_by_number(*last).map(|value| value.into_owned()))?
}

/// A value of one contract for a field of another: a message gets that contract's type of the same name.
fn carried(value: Value, request: MessageDescriptor, path: &FieldPath) -> Value {
    let Value::Message(message) = value else { return value };
    let wanted = field_type(request, path.numbers());
    let bytes = message.encode_to_vec();
    let read = wanted.and_then(|wanted| DynamicMessage::decode(wanted, bytes.as_slice()).ok());
    Value::Message(read.unwrap_or(message))
}

/// The message type of the field at a path.
fn field_type(message: MessageDescriptor, numbers: &[u32]) -> Option<MessageDescriptor> {
    numbers.iter().try_fold(message, |inside, number| inside.get_field(*number)?.kind().as_message().cloned())
}

/// Sets the field at a path, and makes the messages around it.
fn put(message: &mut DynamicMessage, numbers: &[u32], value: Value) {
    match numbers {
        [last] => message.set_field_by_number(*last, value),
        [first, rest @ ..] => {
            if let Some(Value::Message(inside)) = message.get_field_by_number_mut(*first) {
                put(inside, rest, value);
            }
        }
        [] => {}
    }
}

/// The inputs in the order of the procedure.
fn inputs(
    inquirer: &Inquirer,
    procedure: &Procedure,
    mut given: HashMap<String, String>,
) -> Result<Vec<String>, Status> {
    let mut refusal = Refusal::from(Reason::RequestMalformed);
    let mut is_whole = true;
    let mut found = Vec::new();
    for input in &procedure.inputs {
        match given.remove(input.id.as_str()) {
            Some(text) => found.push(text),
            None => {
                refusal = refusal.violation(format!("inputs.{}", input.id), "must be given");
                is_whole = false;
            }
        }
    }
    // Its name may be any text, and is not told.
    if !given.is_empty() {
        refusal = refusal.violation("inputs", "has a name that is no input of the procedure");
        is_whole = false;
    }
    if is_whole { Ok(found) } else { Err(inquirer.status(&refusal)) }
}

/// The procedures that the caller may ask.
pub(super) fn list(inquirer: &Inquirer) -> pb::ListProceduresResponse {
    let policy = inquirer.policy();
    let caller = &inquirer.caller.id;
    let procedures = policy.registry.procedures_for(caller);
    let now = inquirer.pipeline.clock.now();
    let listed = procedures.map(|procedure| listed(procedure, &policy.registry, caller, now));
    pb::ListProceduresResponse { procedures: listed.collect() }
}

fn listed(procedure: &Procedure, registry: &Registry, caller: &SubsystemId, now: Timestamp) -> pb::Procedure {
    let parts = procedure.parts.iter().map(|part| {
        let provider = &part.entry.service.provider;
        pb::ProcedurePart {
            id: part.id.to_string(),
            method: part.entry.method.path().to_string(),
            provider: provider.to_string(),
            replaces: part.replaces.as_ref().map(name),
            provider_name: registry.member_name(provider).map(name),
        }
    });
    let inputs = procedure.inputs.iter().enumerate().map(|(number, input)| pb::ProcedureInput {
        id: input.id.to_string(),
        name: Some(name(&input.name)),
        format: input_format(procedure, number).map(Format::name).unwrap_or_default().to_owned(),
    });
    // What its grants ask for now, of all parts together.
    let mut requires = BTreeSet::new();
    for right in registry.rights(caller, now) {
        let is_part = procedure.parts.iter().any(|part| part.entry.method.path() == right.method);
        if is_part
            && right.on_behalf_of == procedure.on_behalf_of.as_ref()
            && right.purposes.contains(&procedure.purpose)
        {
            requires.extend(right.permit.grant.requires.names());
        }
    }
    pb::Procedure {
        id: procedure.id.to_string(),
        name: Some(name(&procedure.name)),
        purpose: procedure.purpose.to_string(),
        on_behalf_of: procedure.on_behalf_of.as_ref().map(ToString::to_string).unwrap_or_default(),
        inputs: inputs.collect(),
        parts: parts.collect(),
        requires: requires.into_iter().collect(),
    }
}

/// The format of the first field that takes an input.
fn input_format(procedure: &Procedure, number: usize) -> Option<Format> {
    procedure.parts.iter().find_map(|part| {
        let field = part.request.iter().find(|field| field.from == ValueSource::Input(number))?;
        let format = part.entry.method.formats().iter().find(|format| format.path == field.path)?;
        Some(format.format)
    })
}

fn name(name: &Name) -> pb::Name {
    pb::Name { fa: name.fa.clone(), en: name.en.clone() }
}

//! This module writes OpenAPI 3.1 (<https://spec.openapis.org/oas/v3.1.0>) of what a caller may call in JSON:
//! a path for each method with a right, its headers, and the messages in protobuf's JSON mapping. Schemas are
//! in `schema`.

mod schema;

use prost_reflect::{DescriptorPool, MethodDescriptor};
use serde_json::{Map, Value, json};

use crate::cli::options;
use crate::cli::rights::Right;
use schema::{Schemas, Way};

/// The document for these methods, each with its rights. Methods that take a stream are left out, since JSON
/// has no form for them.
pub(super) fn document(gateway: &str, pool: &DescriptorPool, rights: &[Right]) -> Value {
    let mut schemas = Schemas::default();
    let mut paths = Map::new();
    let methods = pool.services().flat_map(|service| service.methods().collect::<Vec<_>>());
    for method in methods.filter(|method| !method.is_client_streaming()) {
        let name = super::path(&method);
        let of_method: Vec<&Right> = rights.iter().filter(|right| right.method == name).collect();
        if !of_method.is_empty() {
            paths.insert(format!("/{name}"), json!({ "post": operation(&method, &of_method, &mut schemas) }));
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Methods of the bus that you may call",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Connect's unary protocol (https://connectrpc.com/docs/protocol): POST, a JSON object, \
                            protobuf's JSON mapping; a request's fields may have the contract's own names too (`national_id`). It holds for the rights in force when it was written.",
        },
        "servers": [{ "url": format!("https://{gateway}") }],
        "security": [{ "certificate": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas.finish(),
            "securitySchemes": {
                "certificate": { "type": "mutualTLS", "description": "The caller's certificate names its identity." },
            },
        },
    })
}

fn operation(method: &MethodDescriptor, rights: &[&Right], schemas: &mut Schemas) -> Value {
    let service = method.parent_service();
    let comment = options::comment(&method.parent_file(), method.path());
    let granted = rights.iter().map(|right| granted(right)).collect::<Vec<_>>().join(" ");
    let request = schemas.reference(&method.input(), Way::Request);
    let answer = schemas.reference(&method.output(), Way::Answer);
    let is_stream = method.is_server_streaming();
    // A stream's messages stand in envelopes, which are no JSON; the schema is that of each message.
    let kind = if is_stream { "application/connect+json" } else { "application/json" };
    let about = if is_stream {
        "The messages of the stream, each in an envelope, and an envelope with its end: a refusal too comes with 200."
    } else {
        "The answer."
    };
    let answer = match is_stream {
        true => json!({ "anyOf": [answer, { "$ref": "#/components/schemas/EndOfStream" }] }),
        false => answer,
    };
    let headers: Map<String, Value> = [
        ("chapar-call-id", "The bus's name of the call."),
        ("trailer-chapar-fields", "Which fields were disclosed, and which withheld."),
        ("trailer-chapar-entry", "The record of the disclosure."),
    ]
    .into_iter()
    .filter(|(name, _)| !is_stream || !name.starts_with("trailer-"))
    .map(|(name, about)| (name.to_owned(), json!({ "description": about, "schema": { "type": "string" } })))
    .collect();
    json!({
        "operationId": format!("{}.{}", service.full_name(), method.name()),
        "tags": [service.full_name()],
        "summary": comment,
        "description": granted,
        "parameters": parameters(method, rights),
        "requestBody": { "required": true, "content": { kind: { "schema": request } } },
        "responses": responses(is_stream, &json!({ "description": about, "headers": headers, "content": { kind: { "schema": answer } } })),
    })
}

/// The answer; and a refusal, which in a stream stands at its end.
fn responses(is_stream: bool, answer: &Value) -> Value {
    if is_stream {
        return json!({ "200": answer });
    }
    json!({
        "200": answer,
        "default": {
            "description": "A refusal. Its reason is in `details`, with a page for each in docs/errors.",
            "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Refusal" } } },
        },
    })
}

/// What a right gives, in a sentence.
fn granted(right: &Right) -> String {
    let whose = if right.on_behalf_of.is_empty() {
        String::new()
    } else {
        format!(" on behalf of {}", right.on_behalf_of)
    };
    let withheld = match right.withheld.as_slice() {
        [] => String::new(),
        withheld => format!("; withheld: {}", withheld.join(", ")),
    };
    format!("Granted by `{}`{whose} for {}{withheld}.", right.grant, right.purposes.join(", "))
}

/// The headers of a call.
fn parameters(method: &MethodDescriptor, rights: &[&Right]) -> Vec<Value> {
    let header = |name: &str, is_required: bool, about: &str, schema: Value| json!({ "name": name, "in": "header", "required": is_required, "description": about, "schema": schema });
    let text = || json!({ "type": "string" });
    let mut purposes: Vec<&str> =
        rights.iter().flat_map(|right| &right.purposes).map(String::as_str).collect();
    purposes.sort_unstable();
    purposes.dedup();
    let members: Vec<&str> = rights.iter().map(|right| right.on_behalf_of.as_str()).collect();
    // What every right asks for has to be there; what one of them asks for may be.
    let is_asked =
        |what: &str| rights.iter().filter(|right| right.requires.iter().any(|own| own == what)).count();
    let mut parameters = Vec::new();
    if !options::purposes(method).is_empty() {
        let about = "What the answer is for.";
        parameters.push(header("chapar-purpose", true, about, json!({ "type": "string", "enum": purposes })));
    }
    if members.iter().any(|member| !member.is_empty()) {
        let mut own: Vec<&str> = members.iter().copied().filter(|member| !member.is_empty()).collect();
        let is_required = own.len() == members.len();
        own.sort_unstable();
        own.dedup();
        let about = "The member whose right is used.";
        parameters.push(header(
            "chapar-on-behalf-of",
            is_required,
            about,
            json!({ "type": "string", "enum": own }),
        ));
    }
    for (name, about) in [("case", "The case that the call belongs to."), ("clerk", "Who asks.")] {
        let is_required = is_asked(name) == rights.len();
        parameters.push(header(&format!("chapar-{name}"), is_required, about, text()));
    }
    let uuid = json!({ "type": "string", "format": "uuid" });
    let about = "The same id for the same call sent again: it counts once.";
    parameters.push(header("chapar-request-id", false, about, uuid));
    let timeout = json!({ "type": "string", "pattern": "^[0-9]{1,10}$" });
    parameters.push(header(
        "connect-timeout-ms",
        false,
        "How long the caller waits, in milliseconds.",
        timeout,
    ));
    let language = json!({ "type": "string", "enum": ["fa", "en"] });
    parameters.push(header("accept-language", false, "`fa`: refusals also in Persian.", language));
    parameters
}

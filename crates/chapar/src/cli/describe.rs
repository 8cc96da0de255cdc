//! This module implements `chapar describe`: it shows a service, a method or a message as the bus shows it to
//! this identity, with comments, purposes, and for every field its class and whether it will be disclosed.
//! With `--openapi` it writes what may be called as a document for other tools.

mod openapi;

use chapar_contract::is_inside_path;
use prost_reflect::{
    DescriptorPool, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor,
    ServiceDescriptor,
};

use super::connect::ConnectArgs;
use super::names;
use super::options;
use super::rights::{Right, table};
use super::session::Session;
use crate::exit::{Exit, Failure, Outcome};
use crate::out;

/// Describe a service, a method or a message
///
/// In a response, `+` marks a field that your grant discloses and `-` one that it withholds.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  chapar describe civil.v1.CivilRegistry --demo DIR --as gov/welfare/benefits\n  \
                        chapar describe GetPerson --demo DIR --as gov/welfare/benefits\n  \
                        chapar describe --openapi --demo DIR --as gov/welfare/benefits > bus.json"
)]
pub(super) struct Args {
    /// The name of a service, method or message; its end is enough where it is unambiguous
    #[arg(value_name = "NAME", required_unless_present = "openapi")]
    name: Option<String>,
    /// Write OpenAPI 3.1 of the methods that you may call in JSON; with NAME, of those whose name contains it
    #[arg(long)]
    openapi: bool,
    #[command(flatten)]
    connect: ConnectArgs,
}

pub(super) async fn run(args: Args) -> Outcome {
    let mut session = Session::open(&args.connect).await?;
    let rights = session.rights().await?;
    if args.openapi {
        let (mut rights, only) = (rights, args.name.unwrap_or_default());
        rights.retain(|right| right.method.contains(&only));
        if rights.is_empty() && !only.is_empty() {
            let why = format!("no method that you may call has `{only}` in its name");
            return Err(Failure::new(Exit::Finding, why));
        }
        // A file that cannot be read is an error, although reflection describes what may be called.
        session.fallback()?;
        let gateway = args.connect.target()?.gateway;
        let document = openapi::document(&gateway, &session.pool().await?, &rights);
        for right in &rights {
            if document["paths"].get(format!("/{}", right.method)).is_none() {
                out::say(format_args!(
                    "left out, since JSON has no form for it or nothing describes it: {}",
                    right.method
                ));
            }
        }
        out::data(format_args!("{document:#}"));
        return Ok(Exit::Ok);
    }
    let name = args.name.unwrap_or_default();
    let why = match show(&session.pool().await?, &name, &rights) {
        Ok(()) => return Ok(Exit::Ok),
        Err(why) => why,
    };
    // A name that reflection does not show may be in the descriptors' file. The error stays the one about the
    // bus.
    match session.fallback()? {
        Some(pool) if show(&pool, &name, &rights).is_ok() => Ok(Exit::Ok),
        _ => Err(Failure::new(Exit::Finding, why)),
    }
}

/// Prints what `name` means among the pool's; the error says why nothing is meant.
fn show(pool: &DescriptorPool, name: &str, rights: &[Right]) -> Result<(), String> {
    let services: Vec<ServiceDescriptor> = pool.services().collect();
    let methods: Vec<MethodDescriptor> =
        services.iter().flat_map(|service| service.methods().collect::<Vec<_>>()).collect();
    let mut names: Vec<String> = methods.iter().map(path).collect();
    names.extend(services.iter().map(|service| service.full_name().to_owned()));
    names.extend(pool.all_messages().filter(is_own).map(|message| message.full_name().to_owned()));
    let name = super::names::resolve(name, &names)?;
    if let Some(found) = methods.iter().find(|method| path(method) == name) {
        method(found, rights);
    } else if let Some(found) = services.iter().find(|service| service.full_name() == name) {
        service(found, rights);
    } else if let Some(found) = pool.get_message_by_name(name) {
        heading(found.full_name(), &options::comment(&found.parent_file(), found.path()));
        fields(&found, &[], None);
    }
    Ok(())
}

/// Options and map entries are not what a caller asks about.
fn is_own(message: &MessageDescriptor) -> bool {
    !message.package_name().starts_with("google.protobuf") && !message.is_map_entry()
}

fn path(method: &MethodDescriptor) -> String {
    format!("{}/{}", method.parent_service().full_name(), method.name())
}

fn heading(name: &str, comment: &str) {
    out::data(name);
    if !comment.is_empty() {
        out::data(format_args!("  {comment}"));
    }
}

fn service(service: &ServiceDescriptor, rights: &[Right]) {
    heading(service.full_name(), &options::comment(&service.parent_file(), service.path()));
    for method in service.methods() {
        let name = path(&method);
        let may = match names::is_own(&name) || rights.iter().any(|right| right.method == name) {
            true => "",
            false => "  (not granted to you)",
        };
        let stream = if method.is_server_streaming() { "stream " } else { "" };
        out::data("");
        out::data(format_args!(
            "  {}({}) -> {stream}{}{may}",
            method.name(),
            method.input().name(),
            method.output().name()
        ));
        let comment = options::comment(&method.parent_file(), method.path());
        if !comment.is_empty() {
            out::data(format_args!("    {comment}"));
        }
    }
}

fn method(method: &MethodDescriptor, rights: &[Right]) {
    let name = path(method);
    heading(&name, &options::comment(&method.parent_file(), method.path()));
    let rights: Vec<&Right> = rights.iter().filter(|right| right.method == name).collect();
    let purposes = options::purposes(method);
    if !purposes.is_empty() {
        out::data(format_args!("  purposes: {}", purposes.join(", ")));
    }
    for right in &rights {
        let whose = if right.on_behalf_of.is_empty() {
            String::new()
        } else {
            format!(" on behalf of {}", right.on_behalf_of)
        };
        let requires = if right.requires.is_empty() {
            String::new()
        } else {
            format!("; send {}", right.requires.join(", "))
        };
        out::data(format_args!(
            "  granted{whose} by {}: {}{requires}",
            right.grant,
            right.purposes.join(", ")
        ));
    }
    // The gateway's own methods have no purposes and need no grant, so nothing is said about a method without
    // purposes.
    if rights.is_empty() && !purposes.is_empty() {
        out::data("  not granted to you");
    }
    let subject = options::subject(method);
    out::data("");
    out::data(format_args!("  request {}", method.input().full_name()));
    fields(&method.input(), &[], subject.as_deref());
    out::data("");
    let stream = if method.is_server_streaming() { "stream of " } else { "" };
    out::data(format_args!("  response: {stream}{}", method.output().full_name()));
    fields(&method.output(), &rights, None);
}

fn fields(message: &MessageDescriptor, rights: &[&Right], subject: Option<&str>) {
    let mut rows = Vec::new();
    let mut enums = Vec::new();
    collect(message, "", rights, subject, 0, &mut rows, &mut enums);
    for line in table(&rows) {
        out::data(format_args!("    {line}"));
    }
    for of in enums {
        let values: Vec<String> = of.values().map(|value| value.name().to_owned()).collect();
        out::data(format_args!("    {}: {}", of.name(), values.join(", ")));
    }
}

/// One row per field, those of nested messages beneath their field.
fn collect(
    message: &MessageDescriptor,
    prefix: &str,
    rights: &[&Right],
    subject: Option<&str>,
    depth: usize,
    rows: &mut Vec<Vec<String>>,
    enums: &mut Vec<EnumDescriptor>,
) {
    for field in message.fields() {
        let path = format!("{prefix}{}", field.name());
        let mut notes: Vec<String> =
            options::class(&field).into_iter().chain(options::format(&field)).collect();
        if options::is_key(&field) {
            notes.push("key".to_owned());
        }
        if subject == Some(path.as_str()) {
            notes.push("subject".to_owned());
        }
        let comment = options::comment(&field.parent_file(), field.path());
        rows.push(vec![format!("{} {path}", mark(&path, rights)), kind(&field), notes.join(", "), comment]);
        match field.kind() {
            Kind::Enum(of) if !enums.contains(&of) => enums.push(of),
            // The depth is bounded because messages may contain themselves.
            Kind::Message(of) if is_own(&of) && !of.full_name().starts_with("google.") && depth < 8 => {
                collect(&of, &format!("{path}."), rights, subject, depth + 1, rows, enums);
            }
            _ => {}
        }
    }
}

/// `+` if any right discloses the path, `-` if all withhold it.
fn mark(path: &str, rights: &[&Right]) -> char {
    let beneath = |listed: &String| listed == path || is_inside_path(path, listed);
    if rights.is_empty() {
        ' '
    } else if rights.iter().any(|right| right.fields.iter().any(beneath)) {
        '+'
    } else {
        '-'
    }
}

fn kind(field: &FieldDescriptor) -> String {
    let name = match field.kind() {
        Kind::Message(of) if of.full_name().starts_with("google.") => of.full_name().to_owned(),
        Kind::Message(of) => of.name().to_owned(),
        Kind::Enum(of) => of.name().to_owned(),
        scalar => format!("{scalar:?}").to_lowercase(),
    };
    if field.is_list() {
        format!("repeated {name}")
    } else if field.field_descriptor_proto().proto3_optional() {
        format!("optional {name}")
    } else {
        name
    }
}

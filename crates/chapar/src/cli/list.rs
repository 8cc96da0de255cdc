//! This module implements `chapar list`: it shows what this identity may call.

use super::connect::ConnectArgs;
use super::rights::table;
use super::session::Session;
use crate::exit::{Exit, Outcome};
use crate::out;

/// List the methods you may call
///
/// The list has one line for each right: the method, its purposes, how many of its fields you receive, the
/// metadata that the call must carry, and the grant.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  chapar list --demo DIR --as gov/welfare/benefits")]
pub(super) struct Args {
    /// Show only methods whose name contains this text
    #[arg(value_name = "TEXT")]
    only: Option<String>,
    /// The output format
    #[arg(long, value_enum, default_value_t = Output::Table, value_name = "FORMAT")]
    output: Output,
    #[command(flatten)]
    connect: ConnectArgs,
}

/// How lists are printed.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(super) enum Output {
    /// Columns for people
    Table,
    /// One JSON document
    Json,
}

pub(super) async fn run(args: Args) -> Outcome {
    let mut rights = Session::open(&args.connect).await?.rights().await?;
    if let Some(only) = &args.only {
        rights.retain(|right| right.method.contains(only.as_str()));
    }
    // JSON is printed also for an empty list, so that a script always gets a document.
    if let Output::Json = args.output {
        out::data(serde_json::json!({ "methods": rights }));
        return Ok(Exit::Ok);
    }
    if rights.is_empty() {
        out::say("there is no method that you may call");
        return Ok(Exit::Ok);
    }
    let head = ["METHOD", "PURPOSES", "FIELDS", "SEND", "ON BEHALF OF", "GRANT"].map(str::to_owned).to_vec();
    let rows = rights.into_iter().map(|right| {
        let all = right.fields.len() + right.withheld.len();
        let dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
        vec![
            right.method,
            dash(right.purposes.join(",")),
            format!("{}/{all}", right.fields.len()),
            dash(right.requires.join(",")),
            dash(right.on_behalf_of),
            right.grant,
        ]
    });
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    table(&rows).iter().for_each(out::data);
    Ok(Exit::Ok)
}

//! `chapar limits`: what is used of one's grants, what is left, and what was refused.

use serde_json::Value;

use super::connect::ConnectArgs;
use super::list::Output;
use super::rights::table;
use super::session::Session;
use super::{Exit, Outcome, out};

/// Show the rate limits and quotas of your grants
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    Show(Show),
}

/// Show how much of each grant's limits is used, left and refused
///
/// The table has one line for each limit, as counted by the gateway that answers. All callers of a grant are
/// counted together.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  chapar limits show --demo DIR --as gov/welfare/benefits")]
pub(super) struct Show {
    /// Show only grants whose id contains this text
    #[arg(value_name = "TEXT")]
    only: Option<String>,
    /// The output format
    #[arg(long, value_enum, default_value_t = Output::Table, value_name = "FORMAT")]
    output: Output,
    #[command(flatten)]
    connect: ConnectArgs,
}

pub(super) async fn run(command: Command) -> Outcome {
    let Command::Show(show) = command;
    let mut answer = Session::open(&show.connect).await?.limits().await?;
    let Some(grants) = answer.get_mut("grants").and_then(Value::as_array_mut) else { return Ok(Exit::Ok) };
    if let Some(only) = &show.only {
        grants.retain(|grant| text(grant, "grant").contains(only.as_str()));
    }
    if let Output::Json = show.output {
        out::data(&answer);
        return Ok(Exit::Ok);
    }
    let head = ["GRANT", "LIMIT", "USED", "LEFT", "REFUSED", "SINCE"].map(str::to_owned).to_vec();
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(grants.iter().flat_map(rows)).collect();
    table(&rows).iter().for_each(out::data);
    Ok(Exit::Ok)
}

fn rows(grant: &Value) -> Vec<Vec<String>> {
    let name = || text(grant, "grant");
    let limits = grant.get("limits").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if limits.is_empty() {
        let used = text(grant, "admitted");
        let refused = text(grant, "refused");
        return vec![vec![name(), "none".to_owned(), used, "-".to_owned(), refused, text(grant, "since")]];
    }
    let row = |limit: &Value| {
        let [words, used, left, refused] = ["limit", "used", "left", "refused"].map(|key| text(limit, key));
        vec![name(), words, used, left, refused, text(grant, "since")]
    };
    limits.iter().map(row).collect()
}

/// A text as it is; numbers of 64 bits are texts in protobuf's JSON.
fn text(value: &Value, key: &str) -> String {
    match value.get(key) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    }
}

//! This module implements `chapar limits`: it shows what is used of the caller's own grants, what is left,
//! and what was refused.

use chapar_client::{GrantUsage, LimitUsage};
use serde_json::{Value, json};

use super::connect::ConnectArgs;
use super::list::Output;
use super::rights::table;
use super::session::Session;
use crate::exit::{Exit, Outcome};
use crate::out;

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
    let mut grants = Session::open(&show.connect).await?.limits().await?;
    if let Some(only) = &show.only {
        grants.retain(|usage| usage.grant.contains(only.as_str()));
    }
    if let Output::Json = show.output {
        out::data(json!({ "grants": grants.iter().map(document).collect::<Vec<_>>() }));
        return Ok(Exit::Ok);
    }
    let head = ["GRANT", "LIMIT", "USED", "LEFT", "REFUSED", "SINCE"].map(str::to_owned).to_vec();
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(grants.iter().flat_map(rows)).collect();
    table(&rows).iter().for_each(out::data);
    Ok(Exit::Ok)
}

/// A grant in protobuf's JSON, where numbers of 64 bits are texts: a reader's numbers may be doubles.
fn document(usage: &GrantUsage) -> Value {
    let limit = |limit: &LimitUsage| {
        json!({
            "kind": limit.kind,
            "limit": limit.limit,
            "most": limit.most.to_string(),
            "used": limit.used.to_string(),
            "left": limit.left.to_string(),
            "refused": limit.refused.to_string(),
        })
    };
    json!({
        "grant": usage.grant,
        "on_behalf_of": usage.on_behalf_of,
        "limits": usage.limits.iter().map(limit).collect::<Vec<_>>(),
        "admitted": usage.admitted.to_string(),
        "refused": usage.refused.to_string(),
        "since": usage.since,
    })
}

/// One row for each limit of a grant, or one that says that there is none.
fn rows(usage: &GrantUsage) -> Vec<Vec<String>> {
    let row = |words: &str, used: u64, left: String, refused: u64| {
        vec![
            usage.grant.clone(),
            words.to_owned(),
            used.to_string(),
            left,
            refused.to_string(),
            usage.since.clone(),
        ]
    };
    // A grant without limits has one row, which still shows its counts.
    if usage.limits.is_empty() {
        return vec![row("none", usage.admitted, "-".to_owned(), usage.refused)];
    }
    let limits = usage.limits.iter();
    limits.map(|limit| row(&limit.limit, limit.used, limit.left.to_string(), limit.refused)).collect()
}

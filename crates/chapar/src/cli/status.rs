//! This module implements `chapar status`: the state of every gateway of a bus, the same numbers that the
//! console shows.

use chapar_client::CallError;
use chapar_operator::{Answer, Seen, status};
use chapar_transport::tls::HumanDuration;

use super::connect::ConnectArgs;
use super::list::Output;
use super::rights::table;
use crate::exit::{Exit, Outcome};
use crate::out;

/// Show the state of every gateway
///
/// The table has a line for each gateway; the JSON document has all that a gateway tells operators. Exits
/// with 3 if a gateway did not answer, with the code of the refusal if it refused.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  chapar status --demo DIR\n  chapar status --demo DIR --output json")]
pub(super) struct Args {
    /// The output format
    #[arg(long, value_enum, default_value_t = Output::Table, value_name = "FORMAT")]
    output: Output,
    #[command(flatten)]
    connect: ConnectArgs,
}

pub(super) async fn run(args: Args) -> Outcome {
    let answers = args.connect.bus()?.status().await;
    if let Output::Json = args.output {
        out::data(format_args!("{:#}", status::document(&answers)));
    } else {
        let head =
            ["GATEWAY", "STATE", "VERSION", "UP", "IN FLIGHT", "ANSWERED", "REFUSED", "RECORDS", "SIGNED"];
        let head = head.map(str::to_owned).to_vec();
        let rows: Vec<Vec<String>> = std::iter::once(head).chain(answers.iter().map(row)).collect();
        table(&rows).iter().for_each(out::data);
    }
    Ok(whole(answers.iter().filter_map(|answer| answer.answer.as_ref().err())))
}

/// How a question to all gateways ended: well, or as the first of those that gave no answer says.
pub(super) fn whole<'a>(mut problems: impl Iterator<Item = &'a CallError>) -> Exit {
    match problems.next() {
        None => Exit::Ok,
        Some(CallError::Refused(refusal)) => Exit::Refused(refusal.code),
        Some(_) => Exit::Unreachable,
    }
}

fn row(Answer { gateway, answer }: &Answer<Seen>) -> Vec<String> {
    let status = match answer {
        Ok(seen) => &seen.status,
        Err(error) => return vec![gateway.clone(), error.to_string()],
    };
    let state = if status.is_ready { "takes calls".to_owned() } else { status.not_ready.clone() };
    let count = |is_answered: bool| -> u64 {
        let of = status.calls.iter().filter(|call| (call.outcome == "OK") == is_answered);
        of.map(|call| call.count).sum()
    };
    let (size, signed) = status.evidence.as_ref().map_or((0, 0), |log| (log.size, log.checkpoint_size));
    vec![
        gateway.clone(),
        state,
        status.version.clone(),
        HumanDuration(status.now_ms.saturating_sub(status.started_ms) / 1000).to_string(),
        status.calls_in_flight.to_string(),
        count(true).to_string(),
        count(false).to_string(),
        size.to_string(),
        signed.to_string(),
    ]
}

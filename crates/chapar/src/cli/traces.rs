//! This module implements `chapar traces`: the last calls of every gateway, and the waterfall of one.

mod follow;

use std::time::Duration;

use chapar_client::{CallError, CallSummary, TraceFilter};
use chapar_operator::{is_absent, newest};
use chapar_telemetry::{Trace, waterfall};
use serde_json::{Value, json};

use super::connect::ConnectArgs;
use super::list::Output;
use super::rights::table;
use super::status::whole;
use crate::exit::{Exit, Failure, Outcome};
use crate::out;

/// Width of a waterfall, in columns.
const WIDTH: usize = 110;

/// Show the last calls, or one of them step by step
///
/// Each gateway keeps its last traces in memory. No trace holds a value of a record or a citizen's id.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  chapar traces --demo DIR --outcome refused\n  chapar traces --demo DIR --follow --for 5\n  chapar traces --demo DIR CALL_ID"
)]
pub(super) struct Args {
    /// The call or trace to show step by step, by its `chapar-call-id` or trace id
    #[arg(value_name = "ID")]
    id: Option<String>,
    /// Only calls of this subsystem or member
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    caller: String,
    /// Only calls of this method or service, by its full name
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    method: String,
    /// Only calls of services of this member
    #[arg(long, value_name = "MEMBER", default_value = "", hide_default_value = true)]
    provider: String,
    /// Only calls with this outcome: `OK`, a reason, or `refused` for all but OK
    #[arg(long, value_name = "OUTCOME", default_value = "", hide_default_value = true)]
    outcome: String,
    /// Only calls that this grant allowed
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    grant: String,
    /// Only calls that took at least so many milliseconds
    #[arg(long, value_name = "MS", default_value_t = 0)]
    at_least: u64,
    /// How many calls, the newest first
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500))]
    limit: u32,
    /// Show calls as they end, in place of the last ones; with `--output json` a line for each
    #[arg(long, conflicts_with_all = ["id", "limit"])]
    follow: bool,
    /// With --follow: for so many minutes
    #[arg(long = "for", value_name = "MINUTES", default_value_t = 10, requires = "follow", value_parser = clap::value_parser!(u64).range(1..=1440))]
    minutes: u64,
    /// The output format
    #[arg(long, value_enum, default_value_t = Output::Table, value_name = "FORMAT")]
    output: Output,
    #[command(flatten)]
    connect: ConnectArgs,
}

pub(super) async fn run(args: Args) -> Outcome {
    let bus = args.connect.bus()?;
    if let Some(id) = &args.id {
        return show(&bus.find_trace(id).await, args.output);
    }
    let filter = TraceFilter {
        caller: args.caller,
        method: args.method,
        provider: args.provider,
        outcome: args.outcome,
        grant: args.grant,
        min_duration_us: args.at_least.saturating_mul(1000),
        limit: args.limit,
    };
    if args.follow {
        let how_long = Duration::from_secs(args.minutes * 60);
        return follow::run(&bus, filter, how_long, |gateway, call| match args.output {
            Output::Json => out::data(document(gateway, call)),
            Output::Table => out::data(row(call).join("  ")),
        })
        .await;
    }
    let answers = bus.traces(&filter).await;
    let calls = newest(&answers, args.limit as usize);
    let problems: Vec<&CallError> =
        answers.iter().filter_map(|answer| answer.answer.as_ref().err()).collect();
    match args.output {
        Output::Json => {
            let calls: Vec<Value> = calls.iter().map(|(gateway, call)| document(gateway, call)).collect();
            let errors: Vec<String> = problems.iter().map(ToString::to_string).collect();
            out::data(format_args!("{:#}", json!({ "calls": calls, "errors": errors })));
        }
        Output::Table => {
            let head =
                ["TIME", "CALLER", "METHOD", "OUTCOME", "MS", "FIELDS", "GRANT", "CALL"].map(str::to_owned);
            let rows: Vec<Vec<String>> =
                std::iter::once(head.to_vec()).chain(calls.iter().map(|(_, call)| row(call))).collect();
            table(&rows).iter().for_each(out::data);
        }
    }
    // What the others keep is shown, with a line on standard error that it is not all.
    problems.iter().for_each(out::say);
    if calls.is_empty() && problems.is_empty() {
        out::say("no kept call fits");
    }
    Ok(whole(problems.into_iter()))
}

fn row(call: &CallSummary) -> Vec<String> {
    let all = call.fields_disclosed.saturating_add(call.fields_withheld);
    vec![
        chapar_operator::utc_us(call.start_us),
        call.caller.clone(),
        call.method.clone(),
        call.outcome.clone(),
        format!("{:.2}", call.duration_us as f64 / 1e3),
        if all == 0 { String::new() } else { format!("{}/{all}", call.fields_disclosed) },
        call.grant.clone(),
        call.call_id.clone(),
    ]
}

fn document(gateway: &str, call: &CallSummary) -> Value {
    json!({
        "gateway": gateway,
        "trace_id": call.trace_id,
        "call_id": call.call_id,
        "time": chapar_operator::utc_us(call.start_us),
        "duration_us": call.duration_us,
        "method": call.method,
        "caller": call.caller,
        "outcome": call.outcome,
        "status": call.status,
        "grant": call.grant,
        "purpose": call.purpose,
        "fields": { "disclosed": call.fields_disclosed, "withheld": call.fields_withheld },
    })
}

fn show(found: &Result<Trace, CallError>, output: Output) -> Outcome {
    let trace = match found {
        Ok(trace) => trace,
        Err(error) if is_absent(error) => {
            let sentence = "no gateway keeps this trace: each keeps its last ones in memory (`keep_traces`)";
            return Err(Failure::new(Exit::Finding, sentence));
        }
        Err(CallError::Refused(refusal)) => {
            return Err(Failure::new(Exit::Refused(refusal.code), refusal));
        }
        Err(error) => return Err(Failure::new(Exit::Unreachable, error)),
    };
    match output {
        Output::Json => match serde_json::to_string_pretty(trace) {
            Ok(text) => out::data(text),
            Err(error) => return Err(Failure::error(Exit::Finding, error)),
        },
        Output::Table => {
            out::data(format_args!("trace {}", trace.trace_id));
            out::data(waterfall::render(trace, WIDTH).trim_end());
        }
    }
    Ok(Exit::Ok)
}

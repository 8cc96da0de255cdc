//! This module implements `chapar check`: it asks every gateway of a bus for its state and says what does not
//! hold, and what to do.

use chapar_operator::check::{self, Check, Mark};

use super::connect::ConnectArgs;
use super::list::Output;
use super::rights::table;
use crate::exit::{Exit, Failure, Outcome};
use crate::out;

/// Check a running bus: gateways, certificates, registry, services, evidence logs, limits
///
/// Every gateway is asked for its state under an operator's identity (role `viewer`). Each check that does
/// not hold says what to do, and which section of the documentation explains it. Exits with 0 if all hold,
/// 1 if there are warnings only, 2 if a check failed, 3 if nothing could be checked (a file of yours
/// cannot be read).
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  chapar check --demo DIR\n  chapar check --gateway gw1.example:7443,gw2.example:7443 \
                  --server-name gw.example --cert op.crt --key op.key --ca ca.crt --output json"
)]
pub(super) struct Args {
    /// The output format
    #[arg(long, value_enum, default_value_t = Output::Table, value_name = "FORMAT")]
    output: Output,
    #[command(flatten)]
    connect: ConnectArgs,
}

pub(super) async fn run(args: Args) -> Outcome {
    let bus = args.connect.bus().map_err(|failure| match failure.exit {
        // Nothing was checked, which is neither good nor a warning.
        Exit::Finding => Failure { exit: Exit::Unreachable, ..failure },
        _ => failure,
    })?;
    let (_, checks) = check::run(&bus).await;
    match args.output {
        Output::Json => out::data(check::document(&checks)),
        Output::Table => show(&checks),
    }
    Ok(match check::worst(&checks) {
        Mark::Good => Exit::Ok,
        Mark::Warning => Exit::Finding,
        Mark::Failed => Exit::ChecksFailed,
    })
}

fn show(checks: &[Check]) {
    let row = |check: &Check| {
        let id = format!("  {} {}", check.mark.sign(), check.id.as_str());
        vec![id, check.of.clone(), check.text.clone()]
    };
    let lines = table(&checks.iter().map(row).collect::<Vec<_>>());
    let mut group = "";
    for (check, line) in checks.iter().zip(lines) {
        if check.id.group() != group {
            group = check.id.group();
            out::data(group);
        }
        out::data(line);
        if let Some(fix) = &check.fix {
            out::data(format_args!("      to do: {fix}"));
            out::data(format_args!("      see {}", check.doc()));
        }
    }
    let count = |mark| checks.iter().filter(|check| check.mark == mark).count();
    out::say(format_args!(
        "{} hold, {} warnings, {} failed",
        count(Mark::Good),
        count(Mark::Warning),
        count(Mark::Failed)
    ));
}

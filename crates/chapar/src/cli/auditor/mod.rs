//! This module implements `chapar auditor`: it follows gateways' evidence logs, and shows what it has found.

mod acknowledge;
mod report;
mod status;

pub(super) use acknowledge::check_reason;

use std::path::{Path, PathBuf};

use chapar_auditor::{Auditor, Config, Index, index_path};
use chapar_model::Clock;

use super::serve::LogArgs;
use crate::exit::{Exit, Failure, Outcome};
use crate::{out, signal};

/// Follow the evidence logs of gateways, and raise alarms
///
/// The auditor verifies every entry and checkpoint as they come, cosigns what it has verified, and keeps an
/// index of who saw whom. It serves until SIGINT or SIGTERM.
#[derive(Debug, clap::Args)]
#[command(
    subcommand_negates_reqs = true,
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  chapar auditor --config auditor.toml --check\n  chapar auditor status --config auditor.toml"
)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// The settings file of the auditor, `auditor.toml`
    #[arg(long, short, value_name = "FILE", required = true)]
    config: Option<PathBuf>,
    /// Load the settings and every file that they name, report the first error, and exit
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    log: LogArgs,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Status(status::Args),
    Report(report::Args),
    Acknowledge(acknowledge::Args),
}

pub(super) async fn run(args: Args) -> Outcome {
    let file = match (args.command, args.config) {
        (Some(Command::Status(args)), _) => return status::run(&args),
        (Some(Command::Report(args)), _) => return report::run(&args),
        (Some(Command::Acknowledge(args)), _) => return acknowledge::run(&args),
        (None, Some(file)) => file,
        (None, None) => return Err(Failure::usage("`--config` is required")),
    };
    let config = load(&file)?;
    let failed = |error| Failure::error(Exit::Finding, error);
    if args.check {
        Auditor::check(&config).map_err(failed)?;
        out::say(format_args!("{}: good", file.display()));
        return Ok(Exit::Ok);
    }
    args.log.start()?;
    let auditor = Auditor::bind(config, Clock::system()).await.map_err(failed)?;
    tracing::info!(address = %auditor.local_addr(), "auditor serving");
    auditor.run(signal::stop()?).await;
    Ok(Exit::Ok)
}

pub(super) fn load(file: &Path) -> Result<Config, Failure> {
    Config::load(file).map_err(|error| Failure::error(Exit::Finding, error))
}

/// The index of an auditor, which may be running.
pub(super) fn index(config: &Config) -> Result<Index, Failure> {
    let path = index_path(&config.state);
    if !path.exists() {
        let sentence = format!("{} is not there: the auditor has not been started yet", path.display());
        return Err(Failure::new(Exit::Finding, sentence));
    }
    Index::open_existing(&config.state).map_err(|error| Failure::error(Exit::Finding, error))
}

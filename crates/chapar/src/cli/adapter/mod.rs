//! This module implements `chapar adapter`: it serves an agency's database.

use std::path::{Path, PathBuf};

use chapar_adapter::{Adapter, Config, Parts};
use chapar_model::Clock;

mod completeness;
mod introspect;
mod new;
mod try_out;

use super::serve::{self, LogArgs};
use crate::exit::{Exit, Failure, Outcome};
use crate::out;
use crate::signal::{self, HangUps};

/// Run an adapter, which serves an agency's database
///
/// The adapter checks every statement against the contract and the database, then serves until SIGINT or
/// SIGTERM. At SIGHUP it reloads the settings, the certificates, the contracts and the statements, if all of
/// them are valid.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  chapar adapter check --config adapter.toml",
    args_conflicts_with_subcommands = true
)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// The settings file of the adapter, `adapter.toml`
    #[arg(long, short, value_name = "FILE", required = true)]
    config: Option<PathBuf>,
    /// The same as `chapar adapter check`
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    log: LogArgs,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Load the settings and every file that they name, report the errors, and exit
    ///
    /// The check runs each statement once on the live database with made-up values. It reads up to 10,000
    /// values of each column that fills a field, and reports how many of them cannot be read or look like
    /// another calendar, number form or type. It never prints a value. Such remarks do not change the exit
    /// code: 0 if the adapter can start, 1 with every finding if it cannot.
    Check {
        /// The settings file of the adapter, `adapter.toml`
        #[arg(long, short, value_name = "FILE")]
        config: PathBuf,
    },
    Completeness(completeness::Args),
    Introspect(introspect::Args),
    New(new::Args),
    Try(try_out::Args),
}

async fn check(file: &Path) -> Outcome {
    let config = Config::load(file).map_err(Failure::finding)?;
    let checked = Adapter::check(&config).await.map_err(Failure::finding)?;
    // Remarks go to standard error and do not change the exit code.
    checked.remarks.iter().for_each(out::say);
    let now = Clock::system().now().as_second();
    checked.revocation.iter().for_each(|known| out::say(known.at(now)));
    serve::checked(file, &checked.certificate)
}

pub(super) async fn run(args: Args) -> Outcome {
    let file = match (args.command, args.config) {
        (Some(Command::Check { config }), _) => return check(&config).await,
        (Some(Command::Completeness(args)), _) => return completeness::run(&args),
        (Some(Command::Introspect(args)), _) => return introspect::run(args).await,
        (Some(Command::New(args)), _) => return new::run(&args),
        (Some(Command::Try(args)), _) => return try_out::run(args).await,
        (None, Some(config)) if args.check => return check(&config).await,
        (None, Some(config)) => config,
        (None, None) => return Err(Failure::usage("`--config FILE` is missing")),
    };
    let config = Config::load(&file).map_err(Failure::finding)?;
    args.log.start()?;
    // Signals are handled before the bind, so that a SIGHUP during the start does not end the process.
    let hang_ups = HangUps::listen()?;
    let stop = signal::stop()?;
    let telemetry = serve::telemetry(chapar_telemetry::Config {
        service_name: "adapter".to_owned(),
        otlp_endpoint: config.otlp.clone(),
        otlp_ca: config.otlp_ca.clone(),
        sample: None,
        keep_traces: 0, // nothing here shows them; a collector does
    })?;
    let parts = Parts { clock: Clock::system(), telemetry: telemetry.clone() };
    let adapter = Adapter::bind(config, parts).await.map_err(Failure::finding)?;
    let reload = adapter.reload();
    hang_ups.each(move || {
        let reload = reload.clone();
        // A reload logs its own error, and the old files then stay in force.
        async move { drop(reload.now().await) }
    });
    let ended = adapter.run(stop).await;
    // Spans are flushed before an error is returned.
    telemetry.shutdown().await;
    ended.map_err(Failure::finding)?;
    Ok(Exit::Ok)
}

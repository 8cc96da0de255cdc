//! `chapar adapter`: serves an agency's database.

use std::path::PathBuf;

use chapar_adapter::{Adapter, Config, Parts};
use chapar_model::Clock;

use super::serve::{self, HangUps, LogArgs};
use super::{Exit, Failure, Outcome, out};

/// Serve an agency's database
///
/// Checks every statement against contract and database, then serves until SIGINT or SIGTERM. At SIGHUP the settings, the
/// certificates, the contracts and the statements are read anew, and taken up if all of it is good.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  chapar adapter --config adapter.toml --check")]
pub(super) struct Args {
    /// The settings, `adapter.toml`
    #[arg(long, short, value_name = "FILE")]
    config: PathBuf,
    /// Load the file and everything it names, say what is wrong, and end
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    log: LogArgs,
}

pub(super) async fn run(args: Args) -> Outcome {
    let config = Config::load(&args.config).map_err(Failure::finding)?;
    if args.check {
        Adapter::check(&config).map_err(Failure::finding)?;
        out::say(format_args!("{}: good", args.config.display()));
        return Ok(Exit::Ok);
    }
    args.log.start()?;
    let hang_ups = HangUps::listen()?;
    let stop = serve::stop()?;
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
        // What is wrong is in the log; what was in force stays.
        async move { drop(reload.now().await) }
    });
    let ended = adapter.run(stop).await;
    telemetry.shutdown().await;
    ended.map_err(Failure::finding)?;
    Ok(Exit::Ok)
}

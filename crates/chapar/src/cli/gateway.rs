//! This module implements `chapar gateway`: it serves the bus.

use std::path::PathBuf;

use chapar_gateway::{Config, Gateway, Parts};
use chapar_model::Clock;

use super::serve::{self, LogArgs};
use crate::exit::{Exit, Failure, Outcome};
use crate::out;
use crate::signal::{self, HangUps};

/// Run the gateway
///
/// The gateway opens every file and port that the configuration names and serves until SIGINT or SIGTERM. It
/// then drains: running calls finish, and the evidence log is closed. Certificates, certificate revocation
/// lists, contracts and the registry are reloaded when their files change, and at SIGHUP.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  chapar gateway --config gateway.toml --check")]
pub(super) struct Args {
    /// The settings file of the gateway, `gateway.toml`
    #[arg(long, short, value_name = "FILE")]
    config: PathBuf,
    /// Load the settings and every file that they name, report the errors, and exit
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    log: LogArgs,
}

pub(super) async fn run(args: Args) -> Outcome {
    let config = Config::load(&args.config).map_err(|error| Failure::error(Exit::Finding, error))?;
    let telemetry = chapar_telemetry::Config {
        service_name: "gateway".to_owned(),
        otlp_endpoint: config.telemetry.otlp.clone(),
        otlp_ca: config.telemetry.otlp_ca.clone(),
        sample: config.telemetry.sample,
        keep_traces: config.telemetry.keep_traces,
    };
    if args.check {
        let now = Clock::system().now();
        let checked = Gateway::check(&config, now).map_err(Failure::finding)?;
        // Built only to check its settings.
        serve::telemetry(telemetry)?;
        checked.revocation.iter().for_each(|known| out::say(known.at(now.as_second())));
        return serve::checked(&args.config, &checked.certificate);
    }
    args.log.start()?;
    // Signals are handled before the bind, so that a SIGHUP during the start does not end the process.
    let hang_ups = HangUps::listen()?;
    let telemetry = serve::telemetry(telemetry)?;
    let parts = Parts::production(telemetry.clone());
    let inherited = chapar_transport::serve::inherited();
    let gateway = Gateway::bind_on(config, parts, inherited).await.map_err(Failure::finding)?;
    tracing::info!(address = %gateway.local_addr(), admin = %gateway.admin_addr(), "gateway serving");
    let reload = gateway.reload();
    hang_ups.each(move || {
        let reload = reload.clone();
        // A reload logs its own error, and the old files then stay in force.
        async move { drop(tokio::task::spawn_blocking(move || reload.now()).await) }
    });
    // A second signal cuts running calls off, but the evidence log is still closed in order.
    let stop = signal::stop_in_order(gateway.hurry())?;
    let ended = gateway.run(stop).await;
    // Spans are flushed before an error is returned.
    telemetry.shutdown().await;
    ended.map_err(Failure::finding)?;
    Ok(Exit::Ok)
}

//! This module implements `chapar console`: pages for an operator's browser on this machine.

use std::net::SocketAddr;

use chapar_operator::Console;

use super::connect::ConnectArgs;
use crate::exit::{Exit, Failure, Outcome};
use crate::{out, signal};

/// Show the bus in a browser: checks, gateways, services, calls with their traces, grants
///
/// The pages are served on this machine alone, to whoever can connect to the address. They hold no value of a
/// record, change nothing, and ask the gateways under an operator's identity (role `viewer`). Serves until
/// SIGINT or SIGTERM.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  chapar console --demo DIR --listen 127.0.0.1:0")]
pub(super) struct Args {
    /// Where to serve the pages: an address of loopback; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:7490", value_name = "HOST:PORT")]
    listen: SocketAddr,
    #[command(flatten)]
    connect: ConnectArgs,
}

pub(super) async fn run(args: Args) -> Outcome {
    let bus = args.connect.bus()?;
    let stop = signal::stop()?;
    let console =
        Console::bind(args.listen, bus).await.map_err(|error| Failure::error(Exit::Finding, error))?;
    // On standard output and by itself, so that a script can read it.
    out::data(console.url());
    out::say("the console is up; Ctrl-C stops it");
    console.run(stop).await;
    Ok(Exit::Ok)
}

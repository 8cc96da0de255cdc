//! `chapar whoami`: whom the gateway takes this certificate for.

use super::connect::ConnectArgs;
use super::session::Session;
use super::{Exit, Outcome, out};

/// Show which identity the gateway reads from your certificate
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  chapar whoami --demo DIR --as gov/welfare/benefits")]
pub(super) struct Args {
    #[command(flatten)]
    connect: ConnectArgs,
}

pub(super) async fn run(args: Args) -> Outcome {
    let mut session = Session::open(&args.connect).await?;
    let identity = session.whoami().await?;
    out::data(format_args!("{identity:#}"));
    Ok(Exit::Ok)
}

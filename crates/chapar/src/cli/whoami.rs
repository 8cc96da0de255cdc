//! This module implements `chapar whoami`: it shows which identity the gateway reads from this certificate.

use serde_json::{Map, Value};

use super::connect::ConnectArgs;
use super::session::Session;
use crate::exit::{Exit, Outcome};
use crate::out;

/// Show which identity the gateway reads from your certificate
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  chapar whoami --demo DIR --as gov/welfare/benefits")]
pub(super) struct Args {
    #[command(flatten)]
    connect: ConnectArgs,
}

pub(super) async fn run(args: Args) -> Outcome {
    let me = Session::open(&args.connect).await?.whoami().await?;
    let fields = [("identity", me.identity), ("member", me.member), ("trust_domain", me.trust_domain)];
    // As in protobuf's JSON, a field without a value is left out.
    let set = fields.into_iter().filter(|(_, value)| !value.is_empty());
    let shown: Map<String, Value> =
        set.map(|(name, value)| (name.to_owned(), Value::String(value))).collect();
    out::data(format_args!("{:#}", Value::Object(shown)));
    Ok(Exit::Ok)
}

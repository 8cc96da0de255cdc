//! This module implements `chapar adapter try`: one call of an adapter's method, without a bus.

use std::path::PathBuf;

use chapar_adapter::{Asked, Asking, Config};
use chapar_client::json::to_json;

use super::super::call::request;
use crate::exit::{Exit, Failure, Outcome};
use crate::out;

/// Call a method of an adapter, without a bus
///
/// For the agency itself, before there is a certificate: the statement runs on the live database, under a
/// right to every field and row, and the answer is printed as JSON. No gateway is asked and nothing is
/// recorded, so whoever may run this may read the database anyway. A refused call exits with 64 + the gRPC
/// code.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  chapar adapter try GetPerson national_id=0499370899 --config adapter.toml"
)]
pub(super) struct Args {
    /// The method; the end of its name is enough where it is unambiguous
    #[arg(value_name = "SERVICE/METHOD")]
    method: String,
    /// The fields of the request; digits may be Persian
    #[arg(value_name = "FIELD=VALUE")]
    fields: Vec<String>,
    /// The settings file of the adapter, `adapter.toml`
    #[arg(long, short, value_name = "FILE")]
    config: PathBuf,
}

pub(super) async fn run(args: Args) -> Outcome {
    let config = Config::load(&args.config).map_err(Failure::finding)?;
    let asking = Asking::load(&config).await.map_err(Failure::finding)?;
    let methods = asking.methods(&args.method);
    let [method] = methods.as_slice() else {
        let known: Vec<&str> = methods.iter().map(|method| method.path().as_str()).collect();
        return Err(Failure::usage(match known.as_slice() {
            [] => format!("the adapter has no method `{}`", args.method),
            known => format!("`{}` may be {}", args.method, known.join(" or ")),
        }));
    };
    let request = request(method.input(), &args.fields)?;
    match asking.ask(method.path(), &request).await.map_err(Failure::finding)? {
        Asked::Answered(messages) => {
            for message in messages {
                let json =
                    to_json(method.output(), message).map_err(|error| Failure::new(Exit::Finding, error))?;
                out::data(json);
            }
            Ok(Exit::Ok)
        }
        Asked::Refused(reason, sentence) => {
            let exit = Exit::Refused(reason.code() as u8);
            Err(Failure::new(exit, format!("{}: {sentence}", reason.as_str())))
        }
    }
}

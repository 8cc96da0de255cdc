//! Which logs a question is asked of: those of the gateways whose settings are named. Each is verified while it is
//! read, and its own period key finds a citizen's entries.

use std::path::PathBuf;

use chapar_contract::Format;

use crate::exit::Failure;
use crate::gateway_log::{self, GatewayLog};

/// The gateways whose logs are asked.
#[derive(Debug, clap::Args)]
#[group(id = "logs", required = true, multiple = true)]
pub(super) struct LogArgs {
    /// The settings file of a gateway, `gateway.toml`: its log and its period key are used; may be repeated
    #[arg(long, short, value_name = "FILE")]
    config: Vec<PathBuf>,
    /// The folder of a demo, in place of --config: the logs of all its gateways
    #[arg(long, env = "CHAPAR_DEMO", value_name = "DIR")]
    demo: Option<PathBuf>,
}

impl LogArgs {
    /// Reads settings and keys.
    ///
    /// # Errors
    /// What cannot be read.
    pub(super) fn open(&self) -> Result<Vec<GatewayLog>, Failure> {
        match &self.demo {
            // A folder from the environment gives way to a file that is named.
            Some(dir) if self.config.is_empty() => gateway_log::in_folder(dir),
            _ => self.config.iter().map(|file| GatewayLog::open(file)).collect(),
        }
    }
}

/// A citizen's id in its canonical form.
///
/// # Errors
/// If it is none. The id is not repeated.
pub(super) fn subject(text: &str) -> Result<String, Failure> {
    if !Format::IrNationalId.check(text) {
        return Err(Failure::usage("this is no national id: 10 digits, of which the last checks the others"));
    }
    Ok(Format::IrNationalId.normalise(text))
}

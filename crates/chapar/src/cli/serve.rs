//! This module has what the serving commands share: the set-up of logs and spans.

use std::path::Path;
use std::sync::Arc;

use chapar_telemetry::{Telemetry, logs};
use chapar_transport::tls::OwnCertificate;

use crate::exit::{Exit, Failure, Outcome};
use crate::out;

/// Where logs of a server go is standard error; how they look is said here.
#[derive(Debug, clap::Args)]
pub(super) struct LogArgs {
    /// The format of log lines: `text` for people, `json` for log collectors
    #[arg(long, env = "CHAPAR_LOG_FORMAT", default_value = "text", value_name = "FORMAT")]
    log_format: logs::Format,
    /// The log filter: levels, e.g. `info` or `info,chapar_gateway=debug`
    #[arg(long, env = "CHAPAR_LOG", default_value = logs::DEFAULT_FILTER, value_name = "FILTER")]
    log: String,
}

impl LogArgs {
    /// Starts logging.
    pub(super) fn start(&self) -> Result<(), Failure> {
        logs::init(self.log_format, &self.log).map_err(Failure::usage)
    }
}

/// Spans of one role.
pub(super) fn telemetry(config: chapar_telemetry::Config) -> Result<Arc<Telemetry>, Failure> {
    Telemetry::new(config).map(Arc::new).map_err(|error| Failure::error(Exit::Finding, error))
}

/// The end of a check that found no error: remarks on the own certificate, and whether the role can work with
/// it.
pub(super) fn checked(file: &Path, own: &OwnCertificate) -> Outcome {
    own.remarks.iter().for_each(out::say);
    if !own.is_usable {
        let told = "its own certificate cannot be used, see above";
        return Err(Failure::new(Exit::Finding, format_args!("{}: {told}", file.display())));
    }
    out::say(format_args!("{}: good", file.display()));
    Ok(Exit::Ok)
}

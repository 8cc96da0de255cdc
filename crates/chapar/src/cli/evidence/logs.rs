//! This module selects the logs that a question reads: those of the gateways whose settings files are named.
//! Each is verified while it is read, and its own period key finds a citizen's entries.

use std::collections::HashSet;
use std::path::PathBuf;

use chapar_contract::Format;

use crate::exit::Failure;
use crate::gateway_log::{self, GatewayLog};

/// The gateways whose logs are asked.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct LogArgs {
    /// The settings file of a gateway, `gateway.toml`: its log and its period key are used; may be repeated
    #[arg(long, short, value_name = "FILE")]
    config: Vec<PathBuf>,
    /// The folder of a demo: the logs of all its gateways; without --config, also from `CHAPAR_DEMO`
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    demo: Option<PathBuf>,
    /// The period key of an earlier time, by which citizens are found in older entries; may be repeated
    #[arg(long, value_name = "FILE")]
    period_key: Vec<PathBuf>,
}

impl LogArgs {
    /// Reads settings and keys.
    ///
    /// # Errors
    /// What cannot be read; no log, or one that is named twice.
    pub(in crate::cli) fn open(&self) -> Result<Vec<GatewayLog>, Failure> {
        let from_environment = || std::env::var_os("CHAPAR_DEMO").map(PathBuf::from);
        let files = match &self.demo {
            Some(dir) => gateway_log::settings_in(dir)?,
            None if !self.config.is_empty() => self.config.clone(),
            None => match from_environment() {
                Some(dir) => gateway_log::settings_in(&dir)?,
                None => return Err(Failure::usage("which logs? Give `--config FILE` or `--demo DIR`")),
            },
        };
        let logs = files.iter().map(|file| GatewayLog::open(file, &self.period_key));
        let logs = logs.collect::<Result<Vec<_>, _>>()?;
        let mut origins = HashSet::new();
        match logs.iter().map(|log| &log.config.evidence.origin).find(|origin| !origins.insert(*origin)) {
            Some(twice) => Err(Failure::usage(format_args!("the log {twice} is named twice"))),
            None => Ok(logs),
        }
    }
}

/// A citizen's id in its canonical form; `-` reads it from standard input, where no list of processes shows
/// it.
///
/// # Errors
/// If it is none. The id is not repeated.
pub(super) fn subject(text: &str) -> Result<String, Failure> {
    let mut line = String::new();
    let text = if text == "-" {
        let read = std::io::stdin().read_line(&mut line);
        read.map_err(|error| Failure::usage(format_args!("standard input: {error}")))?;
        line.trim()
    } else {
        text
    };
    if !Format::IrNationalId.check(text) {
        return Err(Failure::usage("this is no national id: 10 digits, of which the last checks the others"));
    }
    Ok(Format::IrNationalId.normalise(text))
}

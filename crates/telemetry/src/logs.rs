//! This module writes logs to standard error, as text or JSON. An event is logged once, where it is handled;
//! a call as such is a span and a metric, not a log line.

use std::io::IsTerminal as _;
use std::str::FromStr;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::time::SystemTime;

use crate::Error;

/// How a line looks.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line, for collectors.
    Json,
}

impl FromStr for Format {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("`text` or `json`"),
        }
    }
}

/// What is logged unless the operator says otherwise.
pub const DEFAULT_FILTER: &str = "info";

/// What always holds beneath the operator's filter: the libraries' own talk of frames and connections shows
/// foreign bytes, and that of the databases' drivers parameters, and notices with values.
const QUIET: [&str; 9] = [
    "h2=error",
    "hyper=error",
    "hyper_util=error",
    "mysql_async=error",
    "mysql_common=error",
    "rustls=error",
    "tokio_postgres=error",
    "tonic=error",
    "tower=error",
];

/// Starts logging for the whole process. A second call, or one after another subscriber was set, changes
/// nothing.
///
/// `filter` is in the syntax of [`EnvFilter`], e.g. `info` or `info,chapar_gateway=debug`.
///
/// # Errors
/// [`Error::LogFilter`] if it is not.
pub fn init(format: Format, filter: &str) -> Result<(), Error> {
    let invalid = |why: String| Error::LogFilter { filter: filter.to_owned(), why };
    let mut parsed = EnvFilter::builder().parse(filter).map_err(|error| invalid(error.to_string()))?;
    for library in QUIET {
        // Added after the operator's directives, because of two for one target the later one holds.
        parsed = parsed.add_directive(library.parse().map_err(|_| invalid("internal".to_owned()))?);
    }
    let lines = tracing_subscriber::fmt()
        .with_env_filter(parsed)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_timer(SystemTime)
        // Otherwise a line that cannot be written, as on a full disk, is reported by `eprintln!`, which
        // panics where standard error cannot be written either.
        .log_internal_errors(false);
    // A process may set logs up twice, e.g. in tests; the first subscriber stays.
    let _already_set = match format {
        Format::Text => lines.with_target(false).try_init(),
        Format::Json => lines.json().flatten_event(true).try_init(),
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starting_twice_is_harmless_and_a_bad_filter_is_named() {
        init(Format::Text, "info").unwrap();
        init(Format::Json, "debug").unwrap();
        let error = init(Format::Text, "chapar=loud").unwrap_err();
        assert!(error.to_string().contains("chapar=loud"), "{error}");
    }
}

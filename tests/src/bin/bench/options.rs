//! This module parses the benchmark's options.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::Error;

/// One of the binary's roles.
pub(crate) enum Command {
    /// Measure every entry in turns and print the table.
    Measure(Options),
    /// Be a bare proxy until the process is ended.
    Proxy(Proxy),
    /// Start one entry and put one load on it: for profiles and for counting instructions.
    Load(Options),
}

/// How to measure.
pub(crate) struct Options {
    /// Rounds; in each, every entry has its turn at every load.
    pub(crate) rounds: usize,
    /// How long one entry is measured at one load.
    pub(crate) window: Duration,
    /// Only these entries; empty: all that are there.
    pub(crate) only: Vec<String>,
    /// Loads by name; empty: all.
    pub(crate) loads: Vec<String>,
    /// Where to write one line per measurement.
    pub(crate) raw: Option<PathBuf>,
    /// With [`Command::Load`]: so many calls, one after the other or at `loads`' width, and no more.
    pub(crate) calls: Option<u64>,
    /// With [`Command::Load`]: a command that the entry's process is started under, e.g.
    /// `valgrind --tool=callgrind`.
    pub(crate) under: Vec<String>,
}

/// A bare proxy.
pub(crate) struct Proxy {
    pub(crate) listen: SocketAddr,
    pub(crate) upstream: SocketAddr,
    pub(crate) pki: PathBuf,
    /// Makes an entry of every answer durable before it is released, in this file.
    pub(crate) journal: Option<PathBuf>,
}

impl Options {
    /// Reads the arguments.
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Command, Error> {
        let role = arguments.next().unwrap_or_default();
        let mut found = Self {
            rounds: 5,
            window: Duration::from_millis(1800),
            only: Vec::new(),
            loads: Vec::new(),
            raw: None,
            calls: None,
            under: Vec::new(),
        };
        let mut listen = None;
        let mut upstream = None;
        let mut pki = PathBuf::new();
        let mut journal = None;
        let words = |value: String, at: &str| value.split(at).map(str::to_owned).collect();
        while let Some(name) = arguments.next() {
            let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
            match name.as_str() {
                "--rounds" => found.rounds = value.parse()?,
                "--window-ms" => found.window = Duration::from_millis(value.parse()?),
                "--only" => found.only = words(value, ","),
                "--loads" => found.loads = words(value, ","),
                "--raw" => found.raw = Some(value.into()),
                "--calls" => found.calls = Some(value.parse()?),
                "--under" => found.under = words(value, " "),
                "--listen" => listen = Some(value.parse()?),
                "--upstream" => upstream = Some(value.parse()?),
                "--pki" => pki = value.into(),
                "--journal" => journal = Some(value.into()),
                _ => return Err(format!("no option `{name}`").into()),
            }
        }
        match role.as_str() {
            "measure" => Ok(Command::Measure(found)),
            "load" => Ok(Command::Load(found)),
            "proxy" => Ok(Command::Proxy(Proxy {
                listen: listen.ok_or("--listen is missing")?,
                upstream: upstream.ok_or("--upstream is missing")?,
                pki,
                journal,
            })),
            _ => Err("say `measure`, `load` or `proxy`".into()),
        }
    }
}

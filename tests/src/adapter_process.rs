//! This module runs `chapar adapter` as an agency runs it: a process with settings, signals and a log.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::binary::chapar;
use crate::fleet::Fleet;
use crate::joining::{text_in, toml};
use crate::{Bus, until};

/// Longest wait for anything that the process is to do.
const WITHIN: Duration = Duration::from_secs(20);

/// A running adapter of the civil registry that dials. Dropping it kills it.
#[derive(Debug)]
pub struct AdapterProcess {
    child: Child,
    log: PathBuf,
}

impl AdapterProcess {
    /// Starts one with the certificate `NAME.crt` and the key `NAME.key` in the bus's folder.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start(bus: &Bus, name: &str) -> Self {
        Self::logging_to(bus, name, bus.folder().join("joiner.log"))
    }

    /// The same with its log in this file.
    ///
    /// # Panics
    /// As [`AdapterProcess::start`].
    pub fn logging_to(bus: &Bus, name: &str, log: PathBuf) -> Self {
        Self::run(bus.folder(), &toml(name, bus.address()), log)
    }

    /// Starts one of a fleet, whose folder gets its statements and its database. It holds gateways to the
    /// fleet's revocation list.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn of_fleet(fleet: &Fleet) -> Self {
        let settings = text_in(fleet, &format!("dial = \"{}\"", fleet.address()));
        Self::run(fleet.folder(), &settings, fleet.folder().join("joiner.log"))
    }

    fn run(folder: &Path, text: &str, log: PathBuf) -> Self {
        let settings = folder.join("joiner.toml");
        std::fs::write(&settings, text).expect("settings");
        let errors = std::fs::File::create(&log).expect("a log file");
        let child = Command::new(chapar())
            .args(["adapter", "--config"])
            .arg(settings)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(errors)
            .spawn()
            .expect("the binary runs");
        Self { child, log }
    }

    /// What it logged.
    pub fn log(&self) -> String {
        said_in(&self.log)
    }

    /// Waits until `text` was logged so often.
    ///
    /// # Panics
    /// If it is not within twenty seconds, or the process ends.
    pub async fn logs(&mut self, text: &str, times: usize) {
        let Self { child, log } = self;
        let what = format!("`{text}` is logged {times} times");
        let is_logged = async || {
            let is_logged = said_in(log).matches(text).count() >= times;
            let ended = child.try_wait().expect("its state");
            assert!(is_logged || ended.is_none(), "`{text}` is not logged; {ended:?}\n{}", said_in(log));
            is_logged
        };
        until(&what, WITHIN, is_logged, || said_in(log)).await;
    }

    /// Stops it as an operator would, and waits until it has ended.
    ///
    /// # Panics
    /// If `kill` cannot be run, or it has not ended within twenty seconds.
    pub async fn stop(&mut self) {
        Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().expect("kill runs");
        let Self { child, log } = self;
        let has_ended = async || child.try_wait().expect("its state").is_some();
        until("the adapter ends", WITHIN, has_ended, || said_in(log)).await;
    }

    /// Tells it to read its files anew.
    ///
    /// # Panics
    /// If `kill` cannot be run.
    pub fn hang_up(&self) {
        Command::new("kill").args(["-HUP", &self.child.id().to_string()]).status().expect("kill runs");
    }
}

fn said_in(log: &Path) -> String {
    std::fs::read_to_string(log).unwrap_or_default()
}

impl Drop for AdapterProcess {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

//! `chapar adapter` as an agency runs it: a process with settings, signals and a log.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Bus;
use crate::binary::chapar;
use crate::joining::toml;

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
        let settings = bus.folder().join("joiner.toml");
        let log = bus.folder().join("joiner.log");
        std::fs::write(&settings, toml(name, bus.address())).expect("settings");
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
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until `text` was logged so often.
    ///
    /// # Panics
    /// If it is not within twenty seconds, or the process ends.
    pub async fn logs(&mut self, text: &str, times: usize) {
        let began = Instant::now();
        while self.log().matches(text).count() < times {
            let ended = self.child.try_wait().expect("its state");
            assert!(
                ended.is_none() && began.elapsed() < WITHIN,
                "`{text}` is not logged; {ended:?}\n{}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Tells it to read its files anew.
    ///
    /// # Panics
    /// If `kill` cannot be run.
    pub fn hang_up(&self) {
        Command::new("kill").args(["-HUP", &self.child.id().to_string()]).status().expect("kill runs");
    }
}

impl Drop for AdapterProcess {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

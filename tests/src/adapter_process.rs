//! This module runs `chapar adapter` as an agency runs it: a process with settings, signals and a log.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::binary::chapar;
use crate::fleet::Fleet;
use crate::joining::toml;
use crate::{Bus, repository, until};

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
        Self::run(bus.folder(), &toml(name, bus.address()))
    }

    /// Starts one of a fleet, whose folder gets its statements and its database. It holds gateways to the
    /// fleet's revocation list.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn of_fleet(fleet: &Fleet) -> Self {
        let root = fleet.folder();
        let from = repository().join("proto/civil/v1");
        let statements = root.join("contracts/civil/v1/CivilRegistry");
        std::fs::create_dir_all(&statements).expect("a folder");
        for statement in std::fs::read_dir(from.join("CivilRegistry")).expect("a folder") {
            let statement = statement.expect("a statement");
            std::fs::copy(statement.path(), statements.join(statement.file_name())).expect("a statement");
        }
        crate::people::register(&root.join("civil.db"), &from.join("schema.sql"));
        let settings = toml("pki/adapter", fleet.address())
            .replace("agency/civil", "contracts/civil")
            .replace("pki/ca.crt\" }", "pki/ca.crt\", crl = \"pki/ca.crl\" }");
        Self::run(root, &settings)
    }

    fn run(folder: &Path, text: &str) -> Self {
        let settings = folder.join("joiner.toml");
        let log = folder.join("joiner.log");
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

//! This module runs one gateway process: it starts it on a socket that it inherits, watches it through its
//! admin pages and `/proc`, and ends it by signals.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use crate::binary::chapar;
use crate::{until, until_some};

/// The socket comes as standard input, becomes descriptor 3, and is named by the process's own number, as
/// `systemd` does it.
const HAND_OVER: &str =
    "exec 3<&0 </dev/null; export LISTEN_PID=$$ LISTEN_FDS=1; ulimit -n FILES; exec \"$0\" \"$@\"";
/// Longest wait for anything that a process is to do.
const WITHIN: Duration = Duration::from_secs(60);
/// What a process says, in its folder.
const LOG: &str = "gateway.log";

/// A running gateway. Dropping it kills it.
pub struct Gateway {
    child: Child,
    folder: PathBuf,
    admin: SocketAddr,
}

/// What a process holds at a moment.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Resident memory in bytes.
    pub resident: u64,
    /// Open descriptors.
    pub descriptors: u64,
    /// User and system time since it began.
    pub cpu: Duration,
}

/// Ticks of `/proc/PID/stat` in a second: `sysconf(_SC_CLK_TCK)`, which is 100 on Linux.
const TICKS_PER_SECOND: u64 = 100;

impl Gateway {
    pub(crate) async fn start(folder: PathBuf, socket: &TcpListener, files: Option<u64>) -> Self {
        let files = files.map_or("$(ulimit -n)".to_owned(), |files| files.to_string());
        let errors = std::fs::File::create(folder.join(LOG)).expect("a log file");
        let socket = OwnedFd::from(socket.try_clone().expect("the socket"));
        let mut child = Command::new("sh")
            .args(["-c", &HAND_OVER.replace("FILES", &files)])
            .arg(chapar())
            .args(["gateway", "--log-format", "json", "--config"])
            .arg(folder.join("gateway.toml"))
            .stdin(Stdio::from(socket))
            .stdout(Stdio::null())
            .stderr(errors)
            .spawn()
            .expect("the binary runs");
        let poll = async || {
            let admin = said_in(&folder).lines().find_map(admin_address);
            let ended = child.try_wait().expect("its state").is_some();
            assert!(admin.is_some() || !ended, "the gateway does not serve:\n{}", said_in(&folder));
            admin
        };
        let admin = until_some("the gateway serves", WITHIN, poll, || said_in(&folder)).await;
        let gateway = Self { child, folder, admin };
        gateway.until("it is ready", async |gateway| gateway.page("/readyz").await.contains("200 OK")).await;
        gateway
    }

    /// Where its admin pages are.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin
    }

    /// An admin page, status line and headers included; empty if there is none.
    pub async fn page(&self, path: &str) -> String {
        crate::caller::try_get(self.admin, path).await.unwrap_or_default()
    }

    /// How many reloads of `what` were taken up.
    pub async fn reloads(&self, what: &str) -> u64 {
        let page = self.page("/metrics").await;
        let what = format!("what=\"{what}\"");
        let ok = "result=\"ok\"";
        let line = page
            .lines()
            .find(|line| line.contains("reloads_total") && line.contains(&what) && line.contains(ok));
        line.and_then(|line| line.rsplit(' ').next()).and_then(|count| count.parse().ok()).unwrap_or(0)
    }

    /// Waits until `state` holds.
    ///
    /// # Panics
    /// If it does not within a minute.
    pub async fn until(&self, what: &str, state: impl AsyncFn(&Self) -> bool) {
        until(what, WITHIN, async || state(self).await, || self.log()).await;
    }

    /// What the process logged.
    pub fn log(&self) -> String {
        said_in(&self.folder)
    }

    /// Sends a signal, e.g. `TERM` or `HUP`.
    ///
    /// # Panics
    /// If `kill` cannot be run.
    pub fn signal(&self, name: &str) {
        Command::new("kill")
            .args([&format!("-{name}"), &self.child.id().to_string()])
            .status()
            .expect("kill runs");
    }

    /// `kill -9`: it ends wherever it is.
    ///
    /// # Panics
    /// If the system does not let it be killed.
    pub fn kill(mut self) {
        self.child.kill().expect("a process of ours can be killed");
        self.child.wait().expect("its state");
    }

    /// Waits for the end.
    ///
    /// # Panics
    /// If it does not come within a minute.
    pub async fn ended(&mut self) -> ExitStatus {
        let Self { child, folder, .. } = self;
        let poll = async || child.try_wait().expect("its state");
        until_some("the gateway ends", WITHIN, poll, || said_in(folder)).await
    }

    /// SIGTERM, and the end that must follow: exit 0, and evidence that verifies. The log's folder, whose
    /// process is gone.
    ///
    /// # Panics
    /// If either does not come.
    pub async fn stop(mut self) -> PathBuf {
        self.signal("TERM");
        let status = self.ended().await;
        assert!(status.success(), "SIGTERM ends a gateway with exit 0, not {status}\n{}", self.log());
        verify_evidence(&self.folder);
        self.folder.clone()
    }

    /// Whether it has ended.
    ///
    /// # Panics
    /// If the system does not say.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("its state").is_some()
    }

    /// Once it has ended: its evidence verifies, and the newest record has this outcome.
    ///
    /// # Panics
    /// If not.
    pub async fn evidence_ends_with(&self, outcome: &str) {
        verify_evidence(&self.folder);
        let at = |name: &str| self.folder.join(name);
        let config = chapar_evidence::Config {
            path: at("evidence"),
            state: at("evidence.state"),
            origin: super::ORIGIN.to_owned(),
            signing_key: at("evidence.key"),
            period_key: at("period.key"),
            checkpoint_every: Duration::from_secs(1),
            queue: 16,
            low_water: 0,
        };
        let log = chapar_evidence::Log::open(config, chapar_model::Clock::system()).expect("the log opens");
        let newest = log.size().await.checked_sub(1).expect("a record");
        assert_eq!(log.record(newest).await.expect("a record").outcome, outcome);
        log.close().await.expect("the log closes");
    }

    /// Keeps all its threads on one core; whether that was possible.
    pub fn run_on(&self, core: usize) -> bool {
        pin(self.child.id(), core)
    }

    /// The process's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What it holds now.
    ///
    /// # Panics
    /// If it has ended.
    pub fn sample(&self) -> Sample {
        let proc = PathBuf::from(format!("/proc/{}", self.child.id()));
        let status = std::fs::read_to_string(proc.join("status")).expect("a running process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
        let kib: u64 = line.trim().trim_end_matches(" kB").trim().parse().expect("a number");
        let descriptors = std::fs::read_dir(proc.join("fd")).expect("its descriptors").count() as u64;
        let stat = std::fs::read_to_string(proc.join("stat")).expect("a running process");
        // Fields 14 and 15, counted after the command's name, which may hold spaces (proc_pid_stat(5)).
        let (_, after) = stat.rsplit_once(") ").expect("a command");
        let ticks = after.split(' ').skip(11).take(2).map(|field| field.parse::<u64>().expect("a number"));
        let cpu = Duration::from_millis(ticks.sum::<u64>() * 1000 / TICKS_PER_SECOND);
        Sample { resident: kib * 1024, descriptors, cpu }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Keeps all threads of a process on one core; whether that was possible.
pub(crate) fn pin(process: u32, core: usize) -> bool {
    let mut taskset = Command::new("taskset");
    taskset
        .args(["-acp", &core.to_string(), &process.to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    taskset.status().is_ok_and(|status| status.success())
}

/// Verifies a log with the built binary, from its bytes on disk.
///
/// # Panics
/// If it does not verify.
pub(crate) fn verify_evidence(folder: &Path) {
    let output = Command::new(chapar())
        .args(["evidence", "verify"])
        .arg(folder.join("evidence"))
        .arg("--trust")
        .arg(folder.join("evidence.pub"))
        .output()
        .expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{}: {said}{}",
        folder.display(),
        String::from_utf8_lossy(&output.stdout)
    );
}

fn said_in(folder: &Path) -> String {
    std::fs::read_to_string(folder.join(LOG)).unwrap_or_default()
}

fn admin_address(line: &str) -> Option<SocketAddr> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    let fields = line.get("fields").unwrap_or(&line);
    fields.get("admin")?.as_str()?.parse().ok()
}

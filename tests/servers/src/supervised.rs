//! This module owns a server's life: a supervising shell that makes the server's folder, starts the server in
//! it and removes both when it reads the end of the pipe that this process holds. The kernel closes the pipe
//! even when the process is killed or never drops its statics, so nothing is left behind.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::fresh;

/// Longest wait for a server to come up, on a machine that compiles at the same time.
const WITHIN: Duration = Duration::from_secs(60);

/// Time between two looks at a server that comes up.
const PAUSE: Duration = Duration::from_millis(5);

/// How often another port, or a taken one anew, is tried.
const TRIES: u32 = 50;

/// What each of the servers logs if its port is taken.
const TAKEN: &str = "Address already in use";

/// A server's folder, and its processes once it is launched. Dropping it kills them and removes the folder.
#[derive(Debug)]
pub(crate) struct Supervised {
    supervisor: Mutex<Child>,
    folder: PathBuf,
    pid: AtomicU32,
}

impl Supervised {
    /// Makes the folder. It belongs to the user that the server runs as: this process's, or `nobody` for
    /// root.
    pub(crate) fn new() -> Self {
        // In a session of its own, because a Ctrl-C ends the tests' process group, and because the kernel
        // wakes and hangs up a group with stopped processes when the tests' end orphans it.
        let mut supervisor = Command::new("setsid")
            .args(["/bin/sh", "-c", include_str!("supervisor.sh")])
            // The servers' messages are read, so they are in English.
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the supervisor starts");
        let folder = line_of(&mut supervisor).into();
        Self { supervisor: Mutex::new(supervisor), folder, pid: AtomicU32::new(0) }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The server's first process.
    pub(crate) fn pid(&self) -> u32 {
        self.pid.load(Ordering::Relaxed)
    }

    pub(crate) fn log(&self) -> String {
        let log = fs::read(self.folder.join("log")).expect("the log is there");
        String::from_utf8_lossy(&log).into_owned()
    }

    /// Writes a file that only the server's user reads, and returns its path.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.join(name);
        let owner = self.folder.metadata().expect("the folder is there");
        let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        file.and_then(|mut file| file.write_all(text.as_bytes())).expect("the file is written");
        chown(&path, Some(owner.uid()), Some(owner.gid())).expect("the file gets its owner");
        path
    }

    /// Runs a command to its end, as the server's user.
    pub(crate) fn run(&self, command: &[String]) {
        let status = self.order(&format!("run {}", quoted(command)));
        assert!(status == "0", "{command:?} ended with {status}:\n{}", self.log());
    }

    /// Launches the server on a free port, which the command is made for, and returns the port.
    pub(crate) fn launch(&self, command: impl Fn(u16) -> Vec<String>, ready: &str) -> u16 {
        (0..TRIES)
            .map(|_| fresh::port())
            .find(|&port| self.comes_up(&command(port), ready))
            .expect("one of many free ports is still free when the server takes it")
    }

    /// Kills what is left of the server and launches it again with the same command.
    pub(crate) fn relaunch(&self, command: &[String], ready: &str) {
        self.signal("KILL");
        let up = (0..TRIES).any(|_| {
            let up = self.comes_up(command, ready);
            if !up {
                // Whoever has taken the port meanwhile is given time to release it.
                thread::sleep(PAUSE * 20);
            }
            up
        });
        assert!(up, "another process keeps the server's port:\n{}", self.log());
    }

    /// Sends a signal to all of the server's processes. KILL returns once they have gone.
    pub(crate) fn signal(&self, name: &str) {
        self.order(&format!("signal {name}"));
    }

    /// Whether the server came up, which it says in its log. If not, its port was taken.
    fn comes_up(&self, command: &[String], ready: &str) -> bool {
        let before = self.log().len();
        let pid = self.order(&format!("start {}", quoted(command)));
        self.pid.store(pid.parse().expect("the supervisor says the process"), Ordering::Relaxed);
        let started = Instant::now();
        loop {
            // First whether it lives, then its last words.
            let lives = lives(&pid);
            let log = self.log();
            let said = log.get(before..).unwrap_or_default();
            if said.contains(TAKEN) {
                self.signal("KILL");
                return false;
            }
            if said.contains(ready) {
                return true;
            }
            assert!(lives && started.elapsed() < WITHIN, "{command:?} did not come up:\n{said}");
            thread::sleep(PAUSE);
        }
    }

    fn order(&self, order: &str) -> String {
        assert!(!order.contains('\n'), "an order to the supervisor is one line: {order}");
        let mut supervisor = self.supervisor.lock().unwrap_or_else(PoisonError::into_inner);
        let orders = supervisor.stdin.as_mut().expect("the input is piped");
        writeln!(orders, "{order}").expect("the supervisor lives");
        line_of(&mut supervisor)
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        // Waiting closes the pipe first. A supervisor that someone killed has nothing more to clean up.
        let _ = self.supervisor.get_mut().unwrap_or_else(PoisonError::into_inner).wait();
    }
}

/// The supervisor's answer. It writes one line for each order, so the reader holds nothing back.
fn line_of(supervisor: &mut Child) -> String {
    let mut line = String::new();
    let answers = supervisor.stdout.as_mut().expect("the output is piped");
    BufReader::new(answers).read_line(&mut line).expect("the answer is text");
    assert!(line.ends_with('\n'), "the supervisor of a test's server has ended");
    line.trim_end().to_owned()
}

/// The command as the shell reads it back.
fn quoted(command: &[String]) -> String {
    let words: Vec<_> = command.iter().map(|word| format!("'{}'", word.replace('\'', r"'\''"))).collect();
    words.join(" ")
}

/// Whether the process runs. One that has ended stays in the table, as a zombie, until the supervisor looks.
fn lives(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The state follows the name, which is in brackets and may hold brackets itself.
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

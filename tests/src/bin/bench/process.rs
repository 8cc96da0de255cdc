//! This module runs a measured process on a core of its own, ends it with its owner, and reads its CPU time
//! and memory from the kernel.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::Error;

/// Ends when dropped.
pub(crate) struct Process(Child);

impl Process {
    /// Starts a command on core 1 (core 0 is the generator's); all it says goes to `log`, or is discarded.
    pub(crate) fn start(command: &mut Command, log: std::fs::File) -> Result<Self, Error> {
        let mut pinned = Command::new("taskset");
        pinned.args(["-c", "1"]).arg(command.get_program()).args(command.get_args());
        let said = log.try_clone()?;
        Ok(Self(pinned.stdin(Stdio::null()).stdout(log).stderr(said).spawn()?))
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Whether it has ended by itself.
    pub(crate) fn ended(&mut self) -> Result<bool, Error> {
        Ok(self.0.try_wait()?.is_some())
    }

    /// Resident memory of the process and its children, in KiB.
    pub(crate) fn resident(&self) -> Result<u64, Error> {
        let mut sum = 0;
        for id in family(self.id())? {
            let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
            sum += line.trim().trim_end_matches("kB").trim().parse::<u64>()?;
        }
        Ok(sum)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // In order first: a profiler writes its result at the end. Then by force.
        Command::new("kill").args(["-TERM", &self.id().to_string()]).status().ok();
        for _ in 0..500 {
            if matches!(self.0.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// A process and its children: nginx works in one.
pub(crate) fn family(id: u32) -> Result<Vec<u32>, Error> {
    let mut family = vec![id];
    for process in std::fs::read_dir("/proc")? {
        let Some(other) = process?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // A process may end meanwhile.
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{other}/stat")) else { continue };
        let parent = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1));
        if parent == Some(&id.to_string()) {
            family.push(other);
        }
    }
    Ok(family)
}

/// Time on a processor of all threads of some processes, in nanoseconds: the first number of each
/// `schedstat`.
pub(crate) fn cpu(family: &[u32]) -> Result<u64, Error> {
    let mut sum = 0;
    for id in family {
        for task in std::fs::read_dir(format!("/proc/{id}/task"))? {
            // A thread may end meanwhile.
            let Ok(text) = std::fs::read_to_string(task?.path().join("schedstat")) else { continue };
            sum += text.split_whitespace().next().ok_or("an empty schedstat")?.parse::<u64>()?;
        }
    }
    Ok(sum)
}

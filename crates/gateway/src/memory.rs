//! This module sheds load by memory: new calls are refused while the process holds more than 85 % of its
//! configured ceiling (VmRSS, read every 100 ms), so that running calls can end before the kernel kills the
//! process.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// Share of the ceiling above which new calls are refused. The other 15 % are for the calls that run.
const SHED_AT: f64 = 0.85;
/// Interval at which resident memory is read. The 15 % that are kept free must hold what is allocated within
/// one interval.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(100);

/// `Pressure` says whether memory is short. Clones share the same state.
#[derive(Clone, Default)]
pub(crate) struct Pressure(Arc<AtomicBool>);

impl Pressure {
    /// Returns whether new calls are refused because memory is short. Relaxed: the flag guards no other
    /// memory, and a call that sees it late is harmless.
    pub(crate) fn is_high(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Reads the process's resident memory until `stop`. `ceiling` is in bytes; without a ceiling nothing is
    /// read.
    pub(crate) async fn watch(self, ceiling: Option<usize>, stop: CancellationToken) {
        let Some(ceiling) = ceiling else { return };
        while stop.run_until_cancelled(tokio::time::sleep(SAMPLE_INTERVAL)).await.is_some() {
            let Some(held) = resident(Path::new("/proc/self/status")) else { return };
            self.judge(held, ceiling);
        }
    }

    fn judge(&self, held: usize, ceiling: usize) {
        let high = held as f64 > ceiling as f64 * SHED_AT;
        // Only a change is logged: one line per sample would flood the log while memory is short.
        if self.0.swap(high, Ordering::Relaxed) != high {
            let held = held >> 20;
            let ceiling = ceiling >> 20;
            match high {
                true => tracing::warn!(
                    held,
                    ceiling,
                    "load shedding: memory is over 85 % of `memory` (in MiB), and new calls are refused as \
                     OVERLOADED"
                ),
                false => tracing::info!(
                    held,
                    ceiling,
                    "load shedding for memory ended: memory is below 85 % of `memory` (in MiB)"
                ),
            }
        }
    }
}

/// Returns a process's resident memory in bytes (`VmRSS`, proc(5)); `None` if the system does not report it.
fn resident(status: &Path) -> Option<usize> {
    let text = std::fs::read_to_string(status).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse::<usize>().ok()?.checked_mul(1 << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_refused_from_85_percent_of_the_ceiling_and_no_longer_below() {
        let pressure = Pressure::default();
        for (held, high) in [(84, false), (86, true), (100, true), (84, false)] {
            pressure.judge(held << 20, 100 << 20);
            assert_eq!(pressure.is_high(), high, "{held} of 100 MiB");
        }
    }

    #[test]
    fn the_system_tells_what_this_process_holds() {
        let held = resident(Path::new("/proc/self/status")).unwrap();
        assert!((1 << 20..1 << 40).contains(&held), "{held}");
    }
}

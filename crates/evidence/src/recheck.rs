//! This module reads again, in the background, what a fast start left out: the segments before the one from
//! which the log was resumed. Damage there stops the log as it would have stopped the start, and the next
//! start reads the whole log and says where the damage is. Missing tiles and bundles are made again.
//!
//! The segments that the start has read are not read again (`recover`).

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::config::{Config, Error};
use crate::disk::Disk;
use crate::publisher::Publisher;
use crate::resume::{self, Resume};
use crate::scan::{Scan, segments, settle};
use crate::segment;
use crate::state::{Shared, State};
use crate::tiles::Tiles;

/// Length of the pause after a segment, as a multiple of the time that reading it took. With 4 the thread
/// uses a fifth of a core, and leaves the disk to the records.
const PAUSE_FACTOR: u32 = if cfg!(test) { 0 } else { 4 };

struct Recheck {
    disk: Arc<dyn Disk>,
    log: PathBuf,
    shared: Weak<Shared>,
    publisher: Weak<Mutex<Publisher>>,
    resume: Resume,
}

/// Starts the thread, for a log that was resumed by `resume`.
///
/// # Errors
/// [`Error::Io`] if the system gives no thread.
pub(crate) fn start(
    disk: &Arc<dyn Disk>,
    config: &Config,
    shared: &Arc<Shared>,
    publisher: &Arc<Mutex<Publisher>>,
    resume: Resume,
) -> Result<(), Error> {
    let recheck = Recheck {
        disk: Arc::clone(disk),
        log: config.path.clone(),
        shared: Arc::downgrade(shared),
        publisher: Arc::downgrade(publisher),
        resume,
    };
    let state = config.state.clone();
    let work = move || match recheck.run() {
        Ok(true) => {
            tracing::info!(entries = recheck.resume.size, "the older segments of the evidence log are sound")
        }
        Ok(false) => {}
        Err(error) => {
            resume::remove(&*recheck.disk, &state);
            if let Some(shared) = recheck.shared.upgrade() {
                shared.poison(&error);
            }
        }
    };
    let failed = |source| Error::Io { what: "cannot start a thread for", path: config.path.clone(), source };
    std::thread::Builder::new().name("evidence-recheck".to_owned()).spawn(work).map(drop).map_err(failed)
}

impl Recheck {
    /// Whether all was read, and is what the log was resumed on; false if the log was closed meanwhile.
    fn run(&self) -> Result<bool, Error> {
        let end = segment::path(&self.log, self.resume.size);
        let mut paths = segments(&*self.disk, &self.log)?;
        paths.retain(|path| *path < end);
        let state = State::new(Tiles::new(&self.disk, &self.log), None);
        let mut scan = Scan::new(&*self.disk, &self.log, state, None, false);
        for path in &paths {
            let began = Instant::now();
            scan.segment(path, false)?;
            if !self.settle(&mut scan.state.tiles, false)? || !self.rest(began.elapsed() * PAUSE_FACTOR) {
                return Ok(false);
            }
        }
        let tiles = &scan.state.tiles;
        if tiles.size != self.resume.size || tiles.edge() != self.resume.edge {
            let problem = "the entries before this segment are not those that were signed";
            return Err(Error::Damaged { path: end, offset: 0, problem });
        }
        self.settle(&mut scan.state.tiles, true)
    }

    /// As [`settle`], while no checkpoint is being published; false if the log is closed.
    fn settle(&self, tiles: &mut Tiles, trusted: bool) -> Result<bool, Error> {
        let Some(publisher) = self.publisher.upgrade() else { return Ok(false) };
        let publisher = publisher.lock();
        if publisher.lock.is_none() {
            return Ok(false);
        }
        match settle(&*self.disk, &self.log, tiles, trusted) {
            // A full disk does not stop the log here, because the next start makes the missing files.
            Err(Error::Full { .. }) => Ok(false),
            settled => settled.map(|()| true),
        }
    }

    /// Waits for `pause`. Returns false if the log is closed meanwhile.
    fn rest(&self, pause: Duration) -> bool {
        let until = Instant::now() + pause;
        loop {
            let goes_on =
                |shared: Arc<Shared>| !shared.closing.load(Ordering::SeqCst) && !shared.is_poisoned();
            if !self.shared.upgrade().is_some_and(goes_on) {
                return false;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            std::thread::sleep(left.min(Duration::from_millis(50)));
        }
    }
}

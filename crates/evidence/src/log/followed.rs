//! This module is what those who follow an open log from outside get of it, and what witnesses give back:
//! checkpoints, entries under them, consistency proofs, and cosigned checkpoints, which are kept beside the
//! log's own. Who may ask, and which witnesses count, is not decided here.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chapar_tlog::{Checkpoint, Hash, VerifierKey, consistency_proof, open_note, root};
use tokio::sync::watch;

use super::{Inner, Log, blocking};
use crate::config::{Error, Unavailable};
use crate::disk::Disk;
use crate::files::replace;
use crate::tiles::Tiles;

/// File name of the newest cosigned checkpoint, in the log's folder.
const COSIGNED: &str = "checkpoint.cosigned";

/// The path of the newest cosigned checkpoint in a log's folder.
pub fn cosigned_path(log: &Path) -> PathBuf {
    log.join(COSIGNED)
}

/// The note of a checkpoint, and what it says.
pub type SignedCheckpoint = (Checkpoint, String);

impl Log {
    /// The newest published checkpoint with its note; none before the first.
    pub fn published(&self) -> Option<SignedCheckpoint> {
        self.inner.shared.state.read().published.clone()
    }

    /// The newest checkpoint that was handed to [`Log::set_cosigned`], also before a restart.
    pub fn cosigned(&self) -> Option<SignedCheckpoint> {
        self.inner.shared.state.read().cosigned.clone()
    }

    /// Changes with each published checkpoint: its size.
    pub fn watch_published(&self) -> watch::Receiver<u64> {
        self.inner.shared.published_size.subscribe()
    }

    /// Keeps a checkpoint of this log whose note has the cosignatures of witnesses, durably, for receipts and
    /// for those who follow. One that is older than what is kept changes nothing.
    ///
    /// # Errors
    /// [`Error::Cosigned`] if the note is not of a checkpoint that this log published; [`Error::Full`] and
    /// [`Error::Io`] of the disk, after which the log goes on.
    pub async fn set_cosigned(&self, note: String) -> Result<(), Error> {
        let inner = Arc::clone(&self.inner);
        blocking(move || inner.set_cosigned(note)).await
    }

    /// The proof that the log at `size` extends itself at `old` (RFC 6962 §2.1.2): at most 63 hashes.
    ///
    /// # Errors
    /// [`Error::NoEntry`] if the log is not that long, or `old` is the larger one; what keeps a tile from
    /// being read.
    pub async fn consistency(&self, old: u64, size: u64) -> Result<Vec<Hash>, Error> {
        let tiles = self.inner.shared.state.read().tiles.snapshot();
        blocking(move || {
            if size > tiles.size {
                return Err(Error::NoEntry(size));
            }
            consistency_proof(&tiles, old, size)?.ok_or(Error::NoEntry(old))
        })
        .await
    }

    /// Entries from `start` on, as they are in the tree, of those that the newest checkpoint covers: as many
    /// as fit in `max_bytes`, and at least one; none where `start` is the checkpoint's size or above.
    ///
    /// # Errors
    /// What keeps an entry from being read.
    pub async fn entries(&self, start: u64, max_bytes: usize) -> Result<Vec<Vec<u8>>, Error> {
        let inner = Arc::clone(&self.inner);
        blocking(move || inner.entries(start, max_bytes)).await
    }

    /// Whether records are refused because no checkpoint has been cosigned for too long.
    pub fn hold_back(&self, unwitnessed: bool) {
        self.inner.shared.set_unwitnessed(unwitnessed);
    }
}

impl Inner {
    fn set_cosigned(&self, note: String) -> Result<(), Error> {
        let path = cosigned_path(&self.config.path);
        let wrong = || Error::Cosigned(path.clone());
        let checkpoint = read(&note, &self.verifier).ok_or_else(wrong)?;
        // Held over the write, so that of two notes the newer one stays in the file too.
        let publisher = self.publisher.lock();
        if publisher.lock.is_none() {
            // The log is closed, and may be another process's by now.
            return Err(Unavailable.into());
        }
        let tiles = {
            let state = self.shared.state.read();
            // One of the same size may have the lines of other witnesses.
            if state.cosigned.as_ref().is_some_and(|(kept, _)| kept.size > checkpoint.size) {
                return Ok(());
            }
            // Nothing that this log did not publish is given to others in its name.
            if state.covered() < checkpoint.size {
                return Err(wrong());
            }
            state.tiles.snapshot()
        };
        if root(&tiles, checkpoint.size)? != checkpoint.root {
            return Err(wrong());
        }
        replace(&*self.disk, &path, note.as_bytes())?;
        self.shared.state.write().cosigned = Some((checkpoint, note));
        Ok(())
    }

    fn entries(&self, start: u64, max_bytes: usize) -> Result<Vec<Vec<u8>>, Error> {
        let end = self.shared.state.read().covered();
        let mut entries = Vec::new();
        let mut bytes = 0;
        let mut index = start;
        while index < end && (entries.is_empty() || bytes < max_bytes) {
            let stored = self.shared.state.read().tiles.stored(index);
            let stored = stored.ok_or(Error::NoEntry(index))?;
            for entry in stored.read_rest(&*self.disk, &self.config.path)? {
                bytes += entry.len();
                if index >= end || (bytes > max_bytes && !entries.is_empty()) {
                    return Ok(entries);
                }
                entries.push(entry);
                index += 1;
            }
        }
        Ok(entries)
    }
}

/// The cosigned checkpoint that an earlier process kept, if it is one of this log as it is. Without it
/// nothing is lost: witnesses cosign the next checkpoint.
pub(super) fn kept(
    disk: &dyn Disk,
    log: &Path,
    tiles: &Tiles,
    key: &VerifierKey,
) -> Option<SignedCheckpoint> {
    let path = cosigned_path(log);
    let note = match disk.read(&path) {
        Ok(bytes) => String::from_utf8(bytes).ok(),
        Err(error) if error.kind() == ErrorKind::NotFound => return None,
        Err(_) => None,
    };
    let kept = note.and_then(|note| Some((read(&note, key)?, note))).filter(|(checkpoint, _)| {
        checkpoint.size <= tiles.size
            && root(tiles, checkpoint.size).is_ok_and(|found| found == checkpoint.root)
    });
    if kept.is_none() {
        tracing::warn!(
            path = %path.display(),
            "the cosigned checkpoint is not one of this log as it is, and is not used"
        );
    }
    kept
}

fn read(note: &str, key: &VerifierKey) -> Option<Checkpoint> {
    let checkpoint: Checkpoint = open_note(note, key).ok()?.parse().ok()?;
    (checkpoint.origin == key.name()).then_some(checkpoint)
}

//! The publisher publishes checkpoints of durable entries: tiles first, then the state file (`last_signed`),
//! then the signed note that others read. The tree holds only durable entries, so nothing is signed that a
//! crash could lose.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chapar_tlog::{Checkpoint, SigningKey, root, sign_note};

use crate::config::{Error, Unavailable};
use crate::disk::Disk;
use crate::files::{Named, put_all, replace};
use crate::last_signed;
use crate::recover::Lock;
use crate::resume;
use crate::state::{Shared, Write};

/// `Publisher` signs and publishes the checkpoints of one log.
pub(crate) struct Publisher {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) log: PathBuf,
    /// Folder of the state file.
    pub(crate) state: PathBuf,
    pub(crate) origin: String,
    pub(crate) key: SigningKey,
    pub(crate) shared: Arc<Shared>,
    /// Held until the log is closed.
    pub(crate) lock: Option<Lock>,
    /// Full tiles and bundles written since the last checkpoint; their partial forms go after the next.
    pub(crate) completed: Vec<String>,
}

/// Files after whose writing the disk counts as having answered: some 100 ms where a sync takes 7 ms.
const FILES_AT_ONCE: usize = 16;

/// Minimum time between two checkpoints for receipts. Each costs some ten syncs, so a caller must not cause
/// one for every receipt.
const RECEIPT_GAP: Duration = Duration::from_millis(100);

impl Publisher {
    /// Signs and publishes a checkpoint of all durable entries, if the log has grown. A failure poisons the
    /// log, except if the disk is full: everything that is written here can be written again.
    pub(crate) fn publish(&mut self) -> Result<Checkpoint, Error> {
        self.guarded(Self::sign)
    }

    /// Signs what is durable for a receipt of entry `index`, unless that is covered already. A caller who
    /// asks for one receipt after the other gets [`RECEIPT_GAP`] between two checkpoints, however fast it
    /// asks; those who ask meanwhile share the next.
    pub(crate) fn publish_for_receipt(&mut self, index: u64) -> Result<(), Error> {
        if self.shared.state.read().covered() > index {
            return Ok(());
        }
        // The sleep is under the publisher's lock on purpose: those who ask meanwhile wait for it, and then
        // find the entry covered.
        let last = self.shared.state.read().published_at;
        if let Some(wait) = last.and_then(|last| RECEIPT_GAP.checked_sub(last.elapsed())) {
            std::thread::sleep(wait);
        }
        self.publish().map(drop)
    }

    /// Writes the full tiles and bundles that wait in memory. A failure poisons the log, except if the disk
    /// is full.
    pub(crate) fn store(&mut self) -> Result<(), Error> {
        self.guarded(|publisher| {
            let full = publisher.shared.state.read().tiles.full();
            publisher.put(&full)
        })
    }

    /// Signs a last checkpoint and gives the log's lock back.
    pub(crate) fn close(&mut self) -> Result<(), Error> {
        let published = self.publish();
        self.lock = None;
        published.map(drop)
    }

    fn guarded<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        // After a failed write nothing is signed any more, because what is on disk is not known.
        if self.lock.is_none() || self.shared.is_poisoned() {
            return Err(Unavailable.into());
        }
        let waiting = self.shared.waits_for_disk(Write::Published);
        let done = work(self);
        drop(waiting);
        match &done {
            Ok(_) => self.shared.no_room(Write::Published, false, &""),
            Err(error @ Error::Full { .. }) => self.shared.no_room(Write::Published, true, error),
            Err(error) => self.shared.poison(error),
        }
        done
    }

    fn sign(&mut self) -> Result<Checkpoint, Error> {
        // The lock is held only to compute what is to be written. Writing takes several syncs, and records
        // must go on meanwhile.
        let began = Instant::now();
        let (checkpoint, full, partial) = {
            let state = self.shared.state.read();
            let size = state.tiles.size;
            if let Some((checkpoint, _)) =
                state.published.as_ref().filter(|(checkpoint, _)| checkpoint.size == size)
            {
                return Ok(checkpoint.clone());
            }
            let checkpoint =
                Checkpoint { origin: self.origin.clone(), size, root: root(&state.tiles, size)? };
            (checkpoint, state.tiles.full(), state.tiles.partial())
        };
        // Full tiles come before the note that needs them, so that a crash in between leaves no checkpoint
        // without its tiles.
        self.put(&full)?;
        put_all(&*self.disk, &self.log, &partial)?;
        self.shared.state.write().tiles.partial_written(&partial);
        let note = sign_note(&checkpoint.to_string(), &self.key);
        // The state file is written before the note is published: from here on every start compares the log
        // with it, also if the log's folder is replaced by an older copy.
        last_signed::write(&*self.disk, &self.state, &note)?;
        replace(&*self.disk, &self.log.join("checkpoint"), note.as_bytes())?;
        {
            let mut state = self.shared.state.write();
            state.published = Some((checkpoint.clone(), note));
            state.published_at = Some(Instant::now());
            // What was appended meanwhile is younger than this.
            state.unsigned_since = (state.tiles.size > checkpoint.size).then_some(began);
        }
        self.shared.published_size.send_replace(checkpoint.size);
        // The resume file is written only now, because a start from a segment that begins after the signed
        // size could not be compared with a signed root.
        let resume = self.shared.resume.lock().take_if(|resume| resume.size <= checkpoint.size);
        if let Some(resume) = resume {
            resume::write(&*self.disk, &self.state, &resume)?;
        }
        for name in self.completed.drain(..) {
            // Errors are dropped: most tiles have no partial files, and files that stay are harmless.
            self.disk.remove_folder(&self.log.join(format!("{name}.p"))).ok();
        }
        Ok(checkpoint)
    }

    fn put(&mut self, full: &[Named]) -> Result<(), Error> {
        // Hundreds of files may be due under load, which together take longer than a disk that answers may.
        for part in full.chunks(FILES_AT_ONCE) {
            put_all(&*self.disk, &self.log, part)?;
            self.shared.disk_answered(Write::Published);
        }
        self.shared.state.write().tiles.written(full);
        self.completed.extend(full.iter().map(|(name, _)| name.clone()));
        Ok(())
    }
}

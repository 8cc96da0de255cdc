//! `Cosigned` is the last checkpoint of one log that a witness has cosigned, in a file that proves itself: a
//! note with the signatures of the log and of the witness. A folder belongs to one process.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chapar_evidence::{Checkpoint, CosignerKey, VerifierKey, cosigned_at, leaf_hash, open_note};
use chapar_model::to_hex;

/// Why a witness's state cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The system refuses.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process has the folder.
    #[error("{} is in use by another process: stop it first", .0.display())]
    InUse(PathBuf),
    /// A file is not what this witness wrote for this log. Without what it cosigned last it could be shown a
    /// fork, so it does not begin anew by itself.
    #[error(
        "{} is not a checkpoint that this witness cosigned for this log. Put the file back from a copy; if \
         there is none, remove it, and the witness trusts the next checkpoint that it sees",
        .0.display()
    )]
    Damaged(PathBuf),
}

/// A folder that this process has to itself, until it is dropped.
#[derive(Debug)]
pub struct StateLock(#[expect(dead_code, reason = "open for as long as the lock is held")] File);

/// Makes the folder if it is not there, and takes it.
///
/// # Errors
/// [`StateError::InUse`] if another process has it.
pub fn lock(folder: &Path) -> Result<StateLock, StateError> {
    let failed = |source| StateError::Io { path: folder.to_owned(), source };
    std::fs::create_dir_all(folder).map_err(failed)?;
    let file = File::open(folder).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(StateLock(file)),
        Err(std::fs::TryLockError::WouldBlock) => Err(StateError::InUse(folder.to_owned())),
        Err(std::fs::TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// The last cosigned checkpoint of one log.
pub(super) struct Cosigned {
    path: PathBuf,
    checkpoint: Checkpoint,
    _lock: Arc<StateLock>,
}

impl Cosigned {
    /// Reads the file; that of a log without one is empty.
    pub(super) fn open(
        folder: &Path,
        log: &VerifierKey,
        witness: &CosignerKey,
        lock: Arc<StateLock>,
    ) -> Result<Self, StateError> {
        // Origins hold slashes, and names of files do not.
        let name = to_hex(&leaf_hash(log.name().as_bytes()));
        let path = folder.join(format!("{name}.cosigned"));
        let text = chapar_files::read_text_if_any(&path)
            .map_err(|source| StateError::Io { path: path.clone(), source })?;
        let checkpoint = match text {
            None => Checkpoint::empty(log.name()),
            Some(note) => {
                let own = open_note(&note, log).ok().and_then(|text| text.parse::<Checkpoint>().ok());
                let own = own.filter(|own| own.origin == log.name() && cosigned_at(&note, witness).is_ok());
                own.ok_or_else(|| StateError::Damaged(path.clone()))?
            }
        };
        Ok(Self { path, checkpoint, _lock: lock })
    }

    pub(super) fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Writes the note of a newer one, durably.
    pub(super) fn replace(&mut self, checkpoint: Checkpoint, note: &str) -> io::Result<()> {
        chapar_files::replace(&self.path, note.as_bytes(), 0o644)?;
        self.checkpoint = checkpoint;
        Ok(())
    }
}

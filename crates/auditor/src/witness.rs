//! `Witness` cosigns checkpoints of the logs that it knows (C2SP `tlog-witness`): only ones that extend the
//! last one that it cosigned, which is on disk before the answer goes out.
//!
//! Left out: HTTP (`serve`), and whether an auditor has read the entries (`auditor`).

mod state;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chapar_evidence::{
    AddCheckpoint, Checkpoint, CosignerKey, SignedCheckpoint, VerifierKey, WitnessKey, only_signed_by,
    open_note, verify_consistency,
};
use chapar_files::SecretError;
use jiff::Timestamp;
use parking_lot::Mutex;

use state::Cosigned;
pub use state::{StateError, StateLock, lock};

/// A witness with its state.
pub struct Witness {
    key: WitnessKey,
    logs: HashMap<String, Known>,
}

/// A log that it knows.
struct Known {
    key: VerifierKey,
    /// Held while a newer one is written.
    cosigned: Mutex<Cosigned>,
}

/// Its answer to a request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Answer {
    /// It cosigned: its signature line.
    Cosigned(String),
    /// The request is none.
    Malformed,
    /// The log's name is not one that it knows.
    UnknownLog,
    /// The log's key has not signed the checkpoint.
    Unsigned,
    /// `old` is larger than the checkpoint.
    Backwards,
    /// `old` is not the size that it cosigned last, which is this; or it is, and another checkpoint of that
    /// size was cosigned.
    Known(u64),
    /// The proof does not lead from the last cosigned checkpoint to this one, or an auditor has found that
    /// the entries do not.
    Inconsistent,
    /// Its disk failed: nothing was cosigned.
    Unavailable,
}

/// A request whose checkpoint its log has signed.
pub struct Signed {
    request: AddCheckpoint,
    checkpoint: Checkpoint,
}

impl Signed {
    /// The checkpoint that is to be cosigned, and its note.
    pub fn signed(&self) -> SignedCheckpoint {
        (self.checkpoint.clone(), self.request.checkpoint.clone())
    }
}

impl Witness {
    /// A witness with this key of the logs with these keys, whose state is in `folder`, which is made if it
    /// is not there.
    ///
    /// # Errors
    /// [`StateError`] if the folder cannot be used, is another witness's, or holds something else than this
    /// key cosigned.
    pub fn open(key: WitnessKey, logs: Vec<VerifierKey>, folder: &Path) -> Result<Self, StateError> {
        let lock = Arc::new(state::lock(folder)?);
        let logs = logs.into_iter().map(|log| {
            let cosigned = Cosigned::open(folder, &log, key.cosigner(), Arc::clone(&lock))?;
            Ok((log.name().to_owned(), Known { key: log, cosigned: Mutex::new(cosigned) }))
        });
        let logs = logs.collect::<Result<_, StateError>>()?;
        Ok(Self { key, logs })
    }

    /// Its public key.
    pub fn cosigner(&self) -> &CosignerKey {
        self.key.cosigner()
    }

    /// Reads a request, and checks that its log is known and has signed its checkpoint.
    ///
    /// # Errors
    /// The answer to a request for which this does not hold.
    pub fn read(&self, body: &[u8]) -> Result<Signed, Answer> {
        let text = std::str::from_utf8(body).map_err(|_| Answer::Malformed)?;
        let request = AddCheckpoint::parse(text).map_err(|_| Answer::Malformed)?;
        // The log is named before anything is verified, because the name tells which key verifies it.
        let origin = request.checkpoint.split('\n').next().unwrap_or_default();
        let log = self.logs.get(origin).ok_or(Answer::UnknownLog)?;
        let text = open_note(&request.checkpoint, &log.key).map_err(|_| Answer::Unsigned)?;
        let checkpoint: Checkpoint = text.parse().map_err(|_| Answer::Malformed)?;
        Ok(Signed { checkpoint, request })
    }

    /// What it answers by the sizes alone; nothing if they fit. Does not block but for a write under way.
    pub fn refuses(&self, signed: &Signed) -> Option<Answer> {
        let Signed { request, checkpoint } = signed;
        let Some(log) = self.logs.get(&checkpoint.origin) else { return Some(Answer::UnknownLog) };
        if request.old > checkpoint.size {
            return Some(Answer::Backwards);
        }
        let size = log.cosigned.lock().checkpoint().size;
        (request.old != size).then_some(Answer::Known(size))
    }

    /// Cosigns a checkpoint at `now`, if it extends the last one. Writes to the disk and so blocks.
    pub fn cosign(&self, signed: &Signed, now: Timestamp) -> Answer {
        let Signed { request, checkpoint } = signed;
        if let Some(refused) = self.refuses(signed) {
            return refused;
        }
        let Some(log) = self.logs.get(&checkpoint.origin) else { return Answer::UnknownLog };
        // Held over check and write, so that of two requests at once the second is held to the first.
        let mut cosigned = log.cosigned.lock();
        let last = cosigned.checkpoint();
        if request.old != last.size {
            return Answer::Known(last.size);
        }
        if last.size == checkpoint.size && last.root != checkpoint.root {
            return Answer::Known(last.size);
        }
        let consistent =
            verify_consistency(last.size, &last.root, checkpoint.size, &checkpoint.root, &request.proof);
        if consistent.is_err() {
            return Answer::Inconsistent;
        }
        let Ok(text) = open_note(&request.checkpoint, &log.key) else { return Answer::Unsigned };
        let time = now.as_second().unsigned_abs();
        let line = self.key.cosign(text, time);
        // The log's signature and this one: what is kept proves itself.
        let Ok(own) = only_signed_by(&request.checkpoint, &log.key) else { return Answer::Unsigned };
        let note = format!("{own}{line}");
        match cosigned.replace(checkpoint.clone(), &note) {
            Ok(()) => Answer::Cosigned(line),
            Err(error) => {
                tracing::error!(%error, "a checkpoint was not cosigned, because it could not be kept");
                Answer::Unavailable
            }
        }
    }
}

/// Why a key file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", path.display())]
pub struct KeyFileError {
    path: PathBuf,
    problem: String,
}

/// The witness key in a file.
///
/// # Errors
/// [`KeyFileError`] if it cannot be read, holds none, or others may read it.
pub fn read_witness_key(path: &Path) -> Result<WitnessKey, KeyFileError> {
    let wrong = |problem: String| KeyFileError { path: path.to_owned(), problem };
    let text = chapar_files::read_secret(path).map_err(|error| match error {
        SecretError::Read(error) => wrong(format!("cannot be read: {error}")),
        SecretError::Shared => {
            wrong("is a secret that everyone on this machine may read or write: `chmod o= FILE`".to_owned())
        }
    })?;
    text.parse().map_err(|_| wrong("holds no private key of a witness".to_owned()))
}

/// The public keys of logs in these files, each of another name.
///
/// # Errors
/// As [`read_log_key`], and for a name that comes twice.
pub fn read_log_keys<'a>(paths: impl Iterator<Item = &'a Path>) -> Result<Vec<VerifierKey>, KeyFileError> {
    let mut keys: Vec<VerifierKey> = Vec::new();
    for path in paths {
        let key = read_log_key(path)?;
        if keys.iter().any(|known| known.name() == key.name()) {
            let problem = format!("is a second key of the log {}", key.name());
            return Err(KeyFileError { path: path.to_owned(), problem });
        }
        keys.push(key);
    }
    Ok(keys)
}

/// The public key of a log in a file.
///
/// # Errors
/// [`KeyFileError`] if it cannot be read or holds none.
fn read_log_key(path: &Path) -> Result<VerifierKey, KeyFileError> {
    let wrong = |problem: String| KeyFileError { path: path.to_owned(), problem };
    let text = chapar_files::read_text(path).map_err(|error| wrong(format!("cannot be read: {error}")))?;
    text.trim().parse().map_err(|_| wrong("holds no public key of a log".to_owned()))
}

#[cfg(test)]
mod tests;

//! Checkpoints behind the durable tail: tiles first, then the signed note that needs them. Nothing is signed that is not on disk:
//! the state holds durable entries only.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use chapar_tlog::{Checkpoint, SigningKey, root, sign_note};

use crate::config::{Error, Unavailable};
use crate::files::{Named, put_all, replace};
use crate::state::Shared;

/// Signs for one log.
pub(crate) struct Publisher {
    log: PathBuf,
    origin: String,
    key: SigningKey,
    shared: Arc<Shared>,
    /// Held until the log is closed.
    lock: Option<Arc<File>>,
    /// Full tiles and bundles written since the last checkpoint; their partial forms go after the next.
    completed: Vec<String>,
}

impl Publisher {
    pub(crate) fn new(log: PathBuf, origin: String, key: SigningKey, shared: Arc<Shared>, lock: Arc<File>) -> Self {
        Self { log, origin, key, shared, lock: Some(lock), completed: Vec::new() }
    }

    /// Signs what is durable and publishes it, if it has grown. A failure poisons the log.
    pub(crate) fn publish(&mut self) -> Result<Checkpoint, Error> {
        self.guarded(Self::sign)
    }

    /// Writes the full tiles and bundles that wait in memory. A failure poisons the log.
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
        if self.lock.is_none() || self.shared.is_poisoned() {
            return Err(Unavailable.into());
        }
        work(self).inspect_err(|error| {
            tracing::error!(%error, "the evidence log is poisoned");
            self.shared.poison();
        })
    }

    fn sign(&mut self) -> Result<Checkpoint, Error> {
        let (checkpoint, full, partial) = {
            let state = self.shared.state.read();
            let size = state.tiles.size;
            if let Some((checkpoint, _)) = state.published.as_ref().filter(|(checkpoint, _)| checkpoint.size == size) {
                return Ok(checkpoint.clone());
            }
            let checkpoint = Checkpoint { origin: self.origin.clone(), size, root: root(&state.tiles, size)? };
            (checkpoint, state.tiles.full(), state.tiles.partial())
        };
        self.put(&full)?;
        put_all(&self.log, &partial)?;
        let note = sign_note(&checkpoint.to_string(), &self.key);
        replace(&self.log.join("checkpoint"), note.as_bytes())?;
        self.shared.state.write().published = Some((checkpoint.clone(), note));
        for name in self.completed.drain(..) {
            // Most have no partial form, and one that is left behind is only clutter.
            std::fs::remove_dir_all(self.log.join(format!("{name}.p"))).ok();
        }
        Ok(checkpoint)
    }

    fn put(&mut self, full: &[Named]) -> Result<(), Error> {
        put_all(&self.log, full)?;
        self.shared.state.write().tiles.written(full);
        self.completed.extend(full.iter().map(|(name, _)| name.clone()));
        Ok(())
    }
}

//! This module batches commit completions per runtime. After a group commit the writer sends one message to
//! each runtime, and a task there wakes the waiting calls. Waking each call from the writer thread would cost
//! one system call per call.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::config::Unavailable;
use crate::entry::Entry;

/// `Completions` sends completions to the callers of one runtime.
#[derive(Clone)]
pub(crate) struct Completions(Arc<mpsc::UnboundedSender<Batch>>);

/// Sender for one waiting caller. If it is dropped, the caller gets [`Unavailable`].
pub(crate) type CompletionSender = oneshot::Sender<Result<Entry, Unavailable>>;

/// Waiting callers, each with its entry.
type Batch = Vec<(CompletionSender, Entry)>;

impl Completions {
    /// Starts the task of the current runtime. The task ends when the last clone of this value is dropped.
    pub(crate) fn here() -> Self {
        let (sender, mut receiver) = mpsc::unbounded_channel::<Batch>();
        tokio::spawn(async move {
            while let Some(batch) = receiver.recv().await {
                tell(batch);
            }
        });
        Self(Arc::new(sender))
    }
}

/// The completions of one commit, by runtime.
#[derive(Default)]
pub(crate) struct CommitBatch(Vec<(Option<Completions>, Batch)>);

impl CommitBatch {
    pub(crate) fn add(&mut self, completions: Option<Completions>, done: CompletionSender, entry: Entry) {
        let same = |known: &Option<Completions>| match (known, &completions) {
            // Channels are compared by pointer: a runtime is known only by the channel to its task.
            (Some(known), Some(completions)) => Arc::ptr_eq(&known.0, &completions.0),
            (None, None) => true,
            _ => false,
        };
        match self.0.iter_mut().find(|(known, _)| same(known)) {
            Some((_, batch)) => batch.push((done, entry)),
            None => self.0.push((completions, vec![(done, entry)])),
        }
    }

    /// Sends every completion.
    pub(crate) fn tell(self) {
        for (completions, batch) in self.0 {
            match completions {
                // An error means that the runtime has ended, and its callers with it.
                Some(completions) => drop(completions.0.send(batch)),
                None => tell(batch),
            }
        }
    }
}

fn tell(batch: Batch) {
    for (done, entry) in batch {
        // A caller that has gone does not wait; its record is written all the same.
        done.send(Ok(entry)).ok();
    }
}

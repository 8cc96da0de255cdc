//! This module batches commit completions per runtime. After a group commit the writer sends one message to
//! each runtime, and a task there wakes the waiting calls. Waking each call from the writer thread would cost
//! one system call per call.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::config::Unavailable;
use crate::entry::Entry;

/// Reaches the callers of one runtime.
#[derive(Clone)]
pub(crate) struct Completions(Arc<mpsc::UnboundedSender<Batch>>);

/// Where a caller waits for its entry; dropped, it says [`Unavailable`].
pub(crate) type CompletionSender = oneshot::Sender<Result<Entry, Unavailable>>;

/// Callers, and what each is to hear.
type Batch = Vec<(CompletionSender, Entry)>;

impl Completions {
    /// The runtime that this is called in. Its task ends when nobody can append from here any more.
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

    /// Tells everyone.
    pub(crate) fn tell(self) {
        for (completions, batch) in self.0 {
            match completions {
                // A runtime that is gone has no one left to tell.
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

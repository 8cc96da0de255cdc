//! Batches commit completions per runtime. After a group commit the writer sends one message to each runtime, and a task there wakes the waiting
//! calls. Waking each call from the writer thread would cost one system call per call.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::log::Entry;
use crate::writer::Told;

/// The way to the callers of one runtime.
#[derive(Clone)]
pub(crate) struct Home(Arc<mpsc::UnboundedSender<Batch>>);

/// Callers, and what each is to hear.
type Batch = Vec<(Told, Entry)>;

impl Home {
    /// The runtime that this is called in. Its task ends when nobody can append from here any more.
    pub(crate) fn here() -> Self {
        let (sender, mut news) = mpsc::unbounded_channel::<Batch>();
        tokio::spawn(async move {
            while let Some(batch) = news.recv().await {
                tell(batch);
            }
        });
        Self(Arc::new(sender))
    }
}

/// What one commit has to tell, by home.
#[derive(Default)]
pub(crate) struct News(Vec<(Option<Home>, Batch)>);

impl News {
    pub(crate) fn add(&mut self, home: Option<Home>, done: Told, entry: Entry) {
        let same = |known: &Option<Home>| match (known, &home) {
            (Some(known), Some(home)) => Arc::ptr_eq(&known.0, &home.0),
            (None, None) => true,
            _ => false,
        };
        match self.0.iter_mut().find(|(known, _)| same(known)) {
            Some((_, batch)) => batch.push((done, entry)),
            None => self.0.push((home, vec![(done, entry)])),
        }
    }

    /// Tells everyone.
    pub(crate) fn tell(self) {
        for (home, batch) in self.0 {
            match home {
                // A runtime that is gone has no one left to tell.
                Some(home) => drop(home.0.send(batch)),
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

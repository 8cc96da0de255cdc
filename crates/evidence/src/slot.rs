//! `Slot` is room for one record in the writer's queue. A call reserves it before it begins, so that its
//! record can neither wait nor fail for room at its end.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::{mpsc, oneshot};

use crate::completions::Completions;
use crate::config::Unavailable;
use crate::draft::RecordDraft;
use crate::entry::{Entry, Opening};
use crate::record::pb::Kind;
use crate::writer::{Command, StreamPart};

/// A slot in the writer's queue: room for one record.
pub struct Slot {
    pub(crate) permit: mpsc::OwnedPermit<Command>,
    pub(crate) completions: Option<Completions>,
}

impl Slot {
    /// Queues a record. It never waits and never fails. The record is written even if the future is dropped.
    pub fn append<'a>(self, record: impl Into<RecordDraft<'a>>) -> Appended {
        let record = record.into();
        let part = match record.kind {
            Kind::Open => Some(StreamPart::Opening(Opening::default())),
            Kind::Close => Some(StreamPart::Closes(record.opening)),
            _ => None,
        };
        self.send(record.encode(), part)
    }

    /// The same for the record that opens a stream. Its [`Opening`] names it in the record that closes the
    /// stream, also while the opening is still on its way to the disk.
    pub fn open<'a>(self, record: impl Into<RecordDraft<'a>>) -> (Appended, Opening) {
        let opening = Opening::default();
        let appended = self.send(record.into().encode(), Some(StreamPart::Opening(opening.clone())));
        (appended, opening)
    }

    /// The same for the record that closes the stream of `opening`; sets [`RecordDraft::opening`]. Never
    /// written if the opening was not.
    pub fn close<'a>(self, opening: &Opening, record: impl Into<RecordDraft<'a>>) -> Appended {
        let record = record.into();
        // The index is known once the writer has processed the opening. Before that the writer fills it in,
        // because both records pass through the same queue in order.
        match opening.index() {
            Some(index) => self.append(RecordDraft { opening: index, ..record }),
            None => self.send(record.encode(), Some(StreamPart::Closing(opening.clone()))),
        }
    }

    fn send(self, entry: Vec<u8>, part: Option<StreamPart>) -> Appended {
        let (done, written) = oneshot::channel();
        self.permit.send(Command::Append { entry, part, done, completions: self.completions });
        Appended(written)
    }
}

/// Resolves once the record is on disk.
pub struct Appended(oneshot::Receiver<Result<Entry, Unavailable>>);

impl Future for Appended {
    type Output = Result<Entry, Unavailable>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|written| written.unwrap_or(Err(Unavailable)))
    }
}

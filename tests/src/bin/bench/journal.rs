//! This module is a bare durable log: entries of one turn of the event loop go to the writer's thread
//! together, with one wake-up, and one `fdatasync` serves all that have come meanwhile. The file's blocks are
//! written beforehand. It shows the least that durability costs.

use std::cell::RefCell;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::rc::Rc;
use std::sync::mpsc;

use tokio::sync::{mpsc as to_loop, oneshot};

use crate::Error;

const SIZE: usize = 64 << 20;
/// As long as a record of the gateway's.
const ENTRY: [u8; 400] = [b'e'; 400];

struct Batch {
    bytes: Vec<u8>,
    waiting: Vec<oneshot::Sender<()>>,
}

/// The event loop's end of the log.
pub(crate) struct Journal {
    batch: RefCell<Batch>,
    writer: mpsc::Sender<Batch>,
}

impl Journal {
    pub(crate) fn open(path: &Path) -> Result<Rc<Self>, Error> {
        let mut file = std::fs::File::create(path)?;
        for _ in 0..SIZE >> 20 {
            file.write_all(&[0; 1 << 20])?;
        }
        file.sync_all()?;
        let (writer, batches) = mpsc::channel();
        let (done, mut durable) = to_loop::unbounded_channel::<Vec<oneshot::Sender<()>>>();
        std::thread::spawn(move || write(&file, &batches, &done));
        tokio::task::spawn_local(async move {
            while let Some(waiting) = durable.recv().await {
                for one in waiting {
                    // Its call may be gone.
                    one.send(()).ok();
                }
            }
        });
        Ok(Rc::new(Self { batch: RefCell::new(Batch { bytes: Vec::new(), waiting: Vec::new() }), writer }))
    }

    /// Gives `false` if the log is lost.
    pub(crate) async fn durable(self: &Rc<Self>) -> bool {
        let (send, receive) = oneshot::channel();
        let first = {
            let mut batch = self.batch.borrow_mut();
            batch.bytes.extend_from_slice(&ENTRY);
            batch.waiting.push(send);
            batch.waiting.len() == 1
        };
        if first {
            let journal = Rc::clone(self);
            tokio::task::spawn_local(async move {
                tokio::task::yield_now().await;
                let batch = journal.batch.replace(Batch { bytes: Vec::new(), waiting: Vec::new() });
                // If the writer is gone the waiting ends with the batch.
                journal.writer.send(batch).ok();
            });
        }
        receive.await.is_ok()
    }
}

/// Ends at the first error: whoever waits then learns that nothing is durable.
fn write(
    file: &std::fs::File,
    batches: &mpsc::Receiver<Batch>,
    done: &to_loop::UnboundedSender<Vec<oneshot::Sender<()>>>,
) {
    let mut offset = 0;
    while let Ok(mut batch) = batches.recv() {
        while let Ok(more) = batches.try_recv() {
            batch.bytes.extend_from_slice(&more.bytes);
            batch.waiting.extend(more.waiting);
        }
        if offset + batch.bytes.len() > SIZE {
            offset = 0;
        }
        if file.write_all_at(&batch.bytes, offset as u64).and_then(|()| file.sync_data()).is_err() {
            return;
        }
        offset += batch.bytes.len();
        if done.send(batch.waiting).is_err() {
            return;
        }
    }
}

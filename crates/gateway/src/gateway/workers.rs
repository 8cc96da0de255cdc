//! This module runs the worker threads: one for each core by default, each with a runtime of its own. A call
//! is read, decided and answered on the thread of its connection, which saves wakes of other cores. Workers
//! share the port, the policy and the evidence log.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chapar_transport::serve::Part;
use http::Request;
use hyper::body::Incoming;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::stack::Stack;

/// The threads of one gateway.
pub(crate) struct Workers(Vec<oneshot::Receiver<()>>);

/// `Ends` are the events that end a worker.
#[derive(Clone)]
pub(crate) struct Ends {
    /// Cancelled at a stop: no new connection is accepted, and open ones get a GOAWAY.
    pub(crate) closing: CancellationToken,
    /// Maximum drain of streams. Streams that still run after it are dropped, which writes their closing
    /// records.
    pub(crate) drain: Duration,
    /// Cancelled to drop everything at once.
    pub(crate) hurry: CancellationToken,
}

impl Workers {
    /// Starts a thread for each part of the listener.
    ///
    /// # Errors
    /// What the system says to another thread.
    pub(crate) fn start(parts: Vec<WorkerListeners>, stack: &Stack, ends: &Ends) -> std::io::Result<Self> {
        // The guard is dropped when the last worker has served, which cancels `all_served` for all of them.
        let all_served = CancellationToken::new();
        let last = Arc::new(all_served.clone().drop_guard());
        let start = |(number, part): (usize, WorkerListeners)| {
            // A runtime for each thread, so that a call wakes no other core (decision 0009).
            let all_served = all_served.clone();
            let serving = Arc::clone(&last);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let (ended, end) = oneshot::channel();
            let stack = stack.clone();
            let ends = ends.clone();
            let work = move || {
                let hurry = ends.hurry.clone();
                let work = async {
                    work(part, stack, ends).await;
                    drop(serving);
                    // Connections that adapters made live in the runtime that accepted them, and carry calls
                    // of the other threads too.
                    all_served.cancelled().await;
                };
                runtime.block_on(hurry.run_until_cancelled(work));
                // The remaining tasks are dropped before the end is reported.
                drop(runtime);
                ended.send(()).ok();
            };
            std::thread::Builder::new().name(format!("worker-{number}")).spawn(work)?;
            Ok(end)
        };
        parts.into_iter().enumerate().map(start).collect::<std::io::Result<_>>().map(Self)
    }

    /// Waits for all of them to end.
    pub(crate) async fn ended(self) {
        for end in self.0 {
            // A worker that panicked has ended too.
            end.await.ok();
        }
    }
}

/// One thread's share in the listeners.
pub(crate) struct WorkerListeners {
    /// The port of callers.
    pub(crate) calls: Part,
    /// Nothing is accepted on it before.
    pub(crate) open: CancellationToken,
    /// An address of this process alone.
    pub(crate) own: Option<Part>,
}

async fn work(parts: WorkerListeners, stack: Stack, ends: Ends) {
    let stack = Arc::new(stack.for_worker());
    let streams = stack.streams();
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        // The call is looked at when its task comes to its turn, which tells how much this thread has to do.
        let stack = Arc::clone(&stack);
        let arrived = Instant::now();
        async move { Ok::<_, Infallible>(stack.serve(request, arrived).await) }
    });
    let served = async {
        let WorkerListeners { calls, open, own } = parts;
        let calls = async {
            // Both events are awaited: a gateway that is stopped before it was ready must end as well.
            tokio::select! {
                () = open.cancelled() => {}
                () = ends.closing.cancelled() => {}
            }
            calls.run(service.clone(), ends.closing.clone()).await
        };
        let own = async {
            match own {
                Some(own) => own.run(service.clone(), ends.closing.clone()).await,
                None => Ok(()),
            }
        };
        for served in <[_; 2]>::from(tokio::join!(calls, own)) {
            if let Err(error) = served {
                tracing::error!(%error, "a worker thread cannot accept connections: restart the gateway");
            }
        }
        streams.close();
        tokio::time::timeout(ends.drain, streams.wait()).await.ok();
    };
    ends.hurry.run_until_cancelled(served).await;
}

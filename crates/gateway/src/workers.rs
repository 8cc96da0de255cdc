//! The threads that serve: one for each core, each with a runtime of its own, so that a call is read, decided, forwarded and answered
//! where its connection lives and wakes no other core. They share the port, the policy and the evidence log.

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

/// What ends a worker.
#[derive(Clone)]
pub(crate) struct Ends {
    /// No new connection from here on; those that are open are told to go.
    pub(crate) closing: CancellationToken,
    /// Streams that still run this long after that are dropped; each closes its record as it goes.
    pub(crate) drain: Duration,
    /// Everything is dropped at once.
    pub(crate) hurry: CancellationToken,
}

impl Workers {
    /// Starts a thread for each part of the listener.
    ///
    /// # Errors
    /// What the system says to another thread.
    pub(crate) fn start(parts: Vec<Part>, stack: &Stack, ends: &Ends) -> std::io::Result<Self> {
        let start = |(number, part): (usize, Part)| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let (ended, end) = oneshot::channel();
            let (stack, ends) = (stack.clone(), ends.clone());
            let work = move || {
                runtime.block_on(work(part, stack, ends));
                // Tasks that are left are dropped before the end is told.
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

async fn work(part: Part, stack: Stack, ends: Ends) {
    let stack = Arc::new(stack.at_home());
    let streams = stack.streams();
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        // The call is looked at when its task comes to its turn, which tells how much this thread has to do.
        let (stack, arrived) = (Arc::clone(&stack), Instant::now());
        async move { Ok::<_, Infallible>(stack.serve(request, arrived).await) }
    });
    let served = async {
        if let Err(error) = part.run(service, ends.closing).await {
            tracing::error!(%error, "a worker cannot take connections");
        }
        streams.close();
        tokio::time::timeout(ends.drain, streams.wait()).await.ok();
    };
    ends.hurry.run_until_cancelled(served).await;
}

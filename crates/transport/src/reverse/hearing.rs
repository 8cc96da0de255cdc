//! `Hearing` wraps a service and notes the gateway's signals on a reverse connection: its first request, and
//! `LEAVING`.

use http::Request;
use hyper::body::Incoming;
use hyper::service::Service;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::LEAVING;

/// `Heard` holds the signals of one connection so far. Clones share them.
#[derive(Clone, Default)]
pub(super) struct Heard {
    /// The gateway has taken the connection: it has asked something.
    pub(super) joined: CancellationToken,
    /// The gateway will close the connection soon.
    pub(super) leaving: CancellationToken,
}

/// `Hearing` is a service that notes signals before it answers.
pub(super) struct Hearing<S> {
    pub(super) service: S,
    pub(super) here: Heard,
    /// Of all connections.
    pub(super) anywhere: watch::Sender<bool>,
}

impl<S: Service<Request<Incoming>>> Service<Request<Incoming>> for Hearing<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.here.joined.cancel();
        if request.uri().path() == LEAVING {
            self.here.leaving.cancel();
        }
        // Read before it is sent, because `send_replace` takes a write lock and wakes every receiver, and
        // this runs for each call.
        if !*self.anywhere.borrow() {
            self.anywhere.send_replace(true);
        }
        self.service.call(request)
    }
}

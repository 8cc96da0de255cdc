//! `ApiConnector` opens the connections to an API: TCP and TLS together within 5 s, none during the pause
//! after an outage, and each of them counted.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use chapar_telemetry::SourceFigures;
use http::Uri;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower::Service;

use crate::source::outage::{CONNECT_PATIENCE, Outage};

/// How long an attempt to connect must have lasted to count as failed if nobody waits for it any more: no
/// caller with little time makes an API look unreachable.
const LONG_ENOUGH: Duration = Duration::from_secs(1);

type Error = Box<dyn std::error::Error + Send + Sync>;

#[derive(Clone)]
pub(super) struct ApiConnector {
    inner: HttpsConnector<HttpConnector>,
    outage: Arc<Outage>,
    figures: SourceFigures,
}

/// An attempt, which is counted when this is dropped.
struct Attempt {
    outage: Arc<Outage>,
    figures: SourceFigures,
    begun: Instant,
    /// How it ended, if it did.
    is_open: Option<bool>,
}

impl ApiConnector {
    pub(super) fn new(inner: HttpsConnector<HttpConnector>, figures: SourceFigures) -> Self {
        Self { inner, outage: Arc::default(), figures }
    }
}

impl Service<Uri> for ApiConnector {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        if let Err(failure) = self.outage.check("the API") {
            return Box::pin(std::future::ready(Err(failure.detail.into())));
        }
        let opening = self.inner.call(uri);
        let attempt = Attempt {
            outage: Arc::clone(&self.outage),
            figures: self.figures.clone(),
            begun: Instant::now(),
            is_open: None,
        };
        Box::pin(async move {
            // Moved as a whole, so that it is dropped where this future is.
            let mut attempt = attempt;
            let opened = tokio::time::timeout(CONNECT_PATIENCE, opening).await;
            let opened = opened.unwrap_or_else(|_| Err("no connection within 5 s".into()));
            attempt.is_open = Some(opened.is_ok());
            opened
        })
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        match self.is_open {
            Some(true) => {
                self.figures.opened.inc();
                self.outage.is_over();
            }
            None if self.begun.elapsed() < LONG_ENOUGH => {}
            Some(false) | None => {
                self.figures.unopened.inc();
                self.outage.goes_on();
            }
        }
    }
}

//! This module has a server that answers by path, and callers of it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chapar_transport::dial::{self, DialError, Pool};
use chapar_transport::serve::{Server, Settings};
use chapar_transport::tls::{self, Expect, Files};
use chapar_transport::{Peer, frame};
use http::uri::PathAndQuery;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Incoming;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::pki::{ADAPTER, GATEWAY, Pki, named};

pub(crate) type Calls = Pool;

/// A running server. `/hello` answers, `/slow` answers after 300 ms, `/never` does not, `/rows` sends tiny
/// messages without end, `/bulk` large ones.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) stop: CancellationToken,
    pub(crate) done: JoinHandle<()>,
    /// Every peer that asked something.
    pub(crate) peers: mpsc::UnboundedReceiver<Arc<Peer>>,
}

impl Running {
    pub(crate) async fn start(address: SocketAddr, files: &Files, settings: Settings) -> Self {
        Self::with(address, tls::server(files).unwrap(), settings).await
    }

    /// With TLS that can be loaded anew.
    pub(crate) async fn with(address: SocketAddr, tls: tls::ServerTls, settings: Settings) -> Self {
        let bound = Server::bind(address, tls, settings).await.unwrap();
        let address = bound.local_addr();
        let stop = CancellationToken::new();
        let (seen, peers) = mpsc::unbounded_channel();
        let service = hyper::service::service_fn(move |request: Request<Incoming>| {
            seen.send(Arc::clone(request.extensions().get::<Arc<Peer>>().unwrap())).ok();
            answer(request)
        });
        let done = tokio::spawn(bound.run(service, stop.clone()));
        Self { address, stop, done, peers }
    }

    /// With an adapter's certificate on a free port.
    pub(crate) async fn adapter(pki: &Pki) -> Self {
        Self::start(free(), &pki.issue("adapter", &named(&[ADAPTER])), Settings::default()).await
    }

    pub(crate) fn pool(&self, files: &Files, settings: dial::Settings) -> Calls {
        pool(self.address, files, settings)
    }

    /// As the gateway.
    pub(crate) fn gateway(&self, pki: &Pki) -> Calls {
        self.pool(&pki.issue("gateway", &named(&[GATEWAY])), dial::Settings::default())
    }
}

pub(crate) fn free() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// Calls that expect the adapter at an address.
pub(crate) fn pool(address: SocketAddr, files: &Files, settings: dial::Settings) -> Calls {
    let expect = Expect::identities(vec![ADAPTER.parse().unwrap()]);
    Pool::new(&format!("https://{address}"), tls::client(files, expect).unwrap(), settings).unwrap()
}

/// The body of the answer.
pub(crate) async fn get(pool: &Calls, path: &'static str) -> Result<Bytes, DialError> {
    let response = open(pool, path).await?;
    Ok(response.into_body().collect().await.unwrap().to_bytes())
}

/// The head of the answer.
pub(crate) async fn open(pool: &Calls, path: &'static str) -> Result<Response<dial::Incoming>, DialError> {
    pool.send(PathAndQuery::from_static(path), Request::post("/").body(Full::new(Bytes::new())).unwrap())
        .await
}

async fn answer(request: Request<Incoming>) -> Result<Response<BoxBody<Bytes, Infallible>>, Infallible> {
    let hello = || Full::new(Bytes::from_static(b"hello")).boxed();
    Ok(Response::new(match request.uri().path() {
        "/slow" => {
            tokio::time::sleep(Duration::from_millis(300)).await;
            hello()
        }
        "/never" => std::future::pending().await,
        "/rows" => {
            let row = || Ok(Frame::data(frame::encode(Bytes::from_static(b"x"))));
            StreamBody::new(futures_util::stream::repeat_with(row)).boxed()
        }
        "/bulk" => {
            let part = || Ok(Frame::data(Bytes::from_static(&[0; 1 << 16])));
            StreamBody::new(futures_util::stream::repeat_with(part)).boxed()
        }
        _ => hello(),
    }))
}

//! This is the bare byte proxy on hyper: mutual TLS in and out, no rights, no limits, no log. With a journal
//! it holds every answer until an entry is durable. It has one thread, and shows the least that any gateway
//! in Rust costs.

use std::path::Path;
use std::rc::Rc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Either, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::{TcpListener, TcpStream};

use crate::journal::Journal;
use crate::{Error, options, pki};

#[derive(Clone, Copy)]
struct Local;

impl<F: Future<Output: 'static> + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

const STREAM: u32 = 1 << 20;
const CONNECTION: u32 = 1 << 24;

/// Serves until the process is ended.
pub(crate) async fn run(options: &options::Proxy) -> Result<(), Error> {
    let upstream = dial(options.upstream, &options.pki).await?;
    let journal = options.journal.as_deref().map(Journal::open).transpose()?;
    let acceptor = tokio_rustls::TlsAcceptor::from(pki::server(&options.pki, "gateway")?);
    let listener = TcpListener::bind(options.listen).await?;
    loop {
        let (tcp, _) = listener.accept().await?;
        tcp.set_nodelay(true)?;
        let acceptor = acceptor.clone();
        let upstream = upstream.clone();
        let journal = journal.clone();
        tokio::task::spawn_local(async move {
            let Ok(tls) = acceptor.accept(tcp).await else { return };
            let service = hyper::service::service_fn(move |request| {
                forward(request, upstream.clone(), journal.clone())
            });
            // Its end is the caller's business.
            hyper::server::conn::http2::Builder::new(Local)
                .initial_stream_window_size(STREAM)
                .initial_connection_window_size(CONNECTION)
                .max_concurrent_streams(1024)
                .serve_connection(TokioIo::new(tls), service)
                .await
                .ok();
        });
    }
}

async fn dial(address: std::net::SocketAddr, pki: &Path) -> Result<SendRequest<Incoming>, Error> {
    let tcp = TcpStream::connect(address).await?;
    tcp.set_nodelay(true)?;
    let connector = tokio_rustls::TlsConnector::from(pki::client(pki, "gateway")?);
    let tls = connector.connect(ServerName::try_from("localhost")?, tcp).await?;
    let (send, connection) = hyper::client::conn::http2::Builder::new(Local)
        .initial_stream_window_size(STREAM)
        .initial_connection_window_size(CONNECTION)
        .handshake(TokioIo::new(tls))
        .await?;
    // Its end shows in the calls.
    tokio::task::spawn_local(async move { connection.await.ok() });
    Ok(send)
}

type Body = Either<Incoming, http_body_util::combinators::UnsyncBoxBody<Bytes, hyper::Error>>;

async fn forward(
    request: Request<Incoming>,
    mut upstream: SendRequest<Incoming>,
    journal: Option<Rc<Journal>>,
) -> Result<Response<Body>, Error> {
    upstream.ready().await?;
    let response = upstream.send_request(request).await?;
    let Some(journal) = journal else { return Ok(response.map(Either::Left)) };
    let (head, body) = response.into_parts();
    let whole = body.collect().await?;
    let trailers = whole.trailers().cloned();
    let data = whole.to_bytes();
    if !journal.durable().await {
        return Err("the journal is lost".into());
    }
    let body = Full::new(data).with_trailers(async move { trailers.map(Ok) });
    Ok(Response::from_parts(head, Either::Right(body.map_err(|never| match never {}).boxed_unsync())))
}

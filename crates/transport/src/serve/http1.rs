//! `serve_http1` serves one authenticated HTTP/1.1 connection (RFC 9112), for callers that send JSON by tools
//! without HTTP/2. Its requests come one after another. It ends as an HTTP/2 connection does, and when no
//! request comes in time.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::CancellationToken;

use super::conduct::Conduct;
use super::connection::watch;
use super::settings::Settings;
use crate::peer::Peer;

/// Maximum size of a request's head in bytes, as of a request's header list in HTTP/2.
const MAX_HEAD: usize = 16 << 10;
/// Maximum number of headers of a request.
const MAX_HEADERS: usize = 100;

/// Serves HTTP/1.1 on an authenticated connection; every request carries the peer in its extensions. It
/// returns the reason if the connection did not end in order.
pub(super) async fn serve_http1<I, S, B>(
    io: I,
    peer: Arc<Peer>,
    service: S,
    settings: Arc<Settings>,
    stop: CancellationToken,
) -> Option<String>
where
    I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Send + Sync + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let conduct = Arc::new(Conduct::new(settings.cancelled));
    // The wait for the first request is bounded below, by the timeout of every head.
    conduct.mark_greeted();
    let calls = service_fn({
        let peer = Arc::clone(&peer);
        let conduct = Arc::clone(&conduct);
        move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(Arc::clone(&peer));
            let call = conduct.begin();
            let answer = service.call(request);
            async move { answer.await.map(|response| response.map(|body| call.answer(body))) }
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(settings.http1.unwrap_or(settings.handshake))
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        .auto_date_header(false)
        .serve_connection(TokioIo::new(Watched { io, conduct: Arc::clone(&conduct) }), calls);
    watch(std::pin::pin!(connection), &conduct, &peer, &settings, &stop).await
}

/// A connection whose writes are watched: hyper takes an answer's last part into its own buffer, where the
/// body shows nothing of a peer that does not read.
struct Watched<I> {
    io: I,
    conduct: Arc<Conduct>,
}

impl<I: Unpin> Watched<I> {
    fn note<T>(&self, polled: Poll<T>) -> Poll<T> {
        self.conduct.mark_blocked(polled.is_pending());
        polled
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Watched<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Watched<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write(context, bytes);
        self.note(polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let polled = Pin::new(&mut self.io).poll_flush(context);
        self.note(polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

//! This module is the fixed upstream: a gRPC server on plain h2 in the load generator's own thread, which
//! sends the same reply to every call.

use std::net::SocketAddr;
use std::path::Path;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::Response;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::{Error, pki, wire};

/// Starts it; it ends with the runtime.
pub(crate) async fn start(pki: &Path) -> Result<SocketAddr, Error> {
    let acceptor = TlsAcceptor::from(pki::server(pki, "upstream")?);
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    tokio::task::spawn_local(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            // A connection's end is the proxy's business.
            let acceptor = acceptor.clone();
            tokio::task::spawn_local(async move { serve(tcp, acceptor).await.ok() });
        }
    });
    Ok(address)
}

async fn serve(tcp: TcpStream, acceptor: TlsAcceptor) -> Result<(), Error> {
    tcp.set_nodelay(true)?;
    let tls = acceptor.accept(tcp).await?;
    let mut connection = h2::server::Builder::new()
        .initial_window_size(1 << 20)
        .initial_connection_window_size(1 << 24)
        .max_concurrent_streams(1024)
        .handshake::<_, Bytes>(tls)
        .await?;
    let reply = wire::reply();
    while let Some(incoming) = connection.accept().await {
        let (request, respond) = incoming?;
        let known = request.uri().path() == wire::PATH;
        let reply = reply.clone();
        tokio::task::spawn_local(
            async move { answer(request.into_body(), respond, known, reply).await.ok() },
        );
    }
    Ok(())
}

async fn answer(
    mut body: RecvStream,
    mut respond: SendResponse<Bytes>,
    known: bool,
    reply: Bytes,
) -> Result<(), h2::Error> {
    while let Some(data) = body.data().await {
        body.flow_control().release_capacity(data?.len())?;
    }
    let head = Response::builder().header("content-type", "application/grpc");
    if !known {
        // Health checks: nothing is served here but the one method.
        let head = head.header("grpc-status", "12").body(()).map_err(|_| h2::Reason::INTERNAL_ERROR)?;
        return respond.send_response(head, true).map(drop);
    }
    let head = head.body(()).map_err(|_| h2::Reason::INTERNAL_ERROR)?;
    let mut stream = respond.send_response(head, false)?;
    stream.send_data(reply, false)?;
    stream.send_trailers(wire::ok())
}

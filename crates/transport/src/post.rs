//! `Endpoint` makes single HTTP/1.1 requests with a small body and a small answer, each on a connection of
//! its own: what a log sends to its witnesses. No redirect is followed, and no more is read than the caller
//! allows.
//!
//! Left out: the time limit, which is the caller's.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST};
use http::uri::{Authority, Scheme};
use http::{HeaderValue, Request, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::error::{Error, causes};
use crate::tls;

/// A server that takes requests below one URL.
#[derive(Clone)]
pub struct Endpoint {
    authority: Authority,
    port: u16,
    /// The URL's path without a slash at its end.
    path: String,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

/// What a server answered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// `Content-Type`; empty if there is none, or it is not text.
    pub content_type: String,
    /// The body.
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NoReply(String);

impl Endpoint {
    /// The server at `http://HOST[:PORT][/PATH]`, or at `https://…`, which `ca` (PEM) must have certified.
    ///
    /// # Errors
    /// [`Error::Endpoint`] for another URL, or `https` without `ca`; a `ca` that cannot be used.
    pub fn new(url: &str, ca: Option<&Path>) -> Result<Self, Error> {
        // A password in a URL would be in logs.
        let given = url.rsplit_once('@').map_or_else(|| url.to_owned(), |(_, host)| format!("…@{host}"));
        let wrong =
            || Error::Endpoint { given: given.clone(), form: "http://HOST:PORT/PATH, or https:// with a CA" };
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let authority = uri.authority().cloned().ok_or_else(wrong)?;
        // Neither a name nor a query has a meaning here.
        if authority.as_str().contains('@') || uri.query().is_some() {
            return Err(wrong());
        }
        let (port, tls) = match (uri.scheme(), ca) {
            (Some(scheme), None) if *scheme == Scheme::HTTP => (80, None),
            (Some(scheme), Some(ca)) if *scheme == Scheme::HTTPS => {
                let host = authority.host().trim_matches(['[', ']']).to_owned();
                let name = ServerName::try_from(host).map_err(|_| wrong())?;
                (443, Some((tls::web_client(ca)?, name)))
            }
            _ => return Err(wrong()),
        };
        let is_without_port = authority.as_str() == authority.host();
        let port = authority.port_u16().or(is_without_port.then_some(port)).ok_or_else(wrong)?;
        Ok(Self { authority, port, path: uri.path().trim_end_matches('/').to_owned(), tls })
    }

    /// Sends `body` by POST to `path` below the URL; of the answer's body at most `max_bytes` are read.
    ///
    /// # Errors
    /// [`NoReply`] with the cause, also for an answer that is too long.
    pub async fn post(&self, path: &str, body: String, max_bytes: usize) -> Result<Reply, NoReply> {
        let host = self.authority.host().trim_matches(['[', ']']);
        let stream = TcpStream::connect((host, self.port)).await.map_err(failed)?;
        stream.set_nodelay(true).ok();
        match &self.tls {
            None => self.exchange(stream, path, body, max_bytes).await,
            Some((config, name)) => {
                let connector = TlsConnector::from(Arc::clone(config));
                let stream = connector.connect(name.clone(), stream).await.map_err(failed)?;
                self.exchange(stream, path, body, max_bytes).await
            }
        }
    }

    async fn exchange(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        path: &str,
        body: String,
        max_bytes: usize,
    ) -> Result<Reply, NoReply> {
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = format!("{}{path}", self.path).parse().map_err(failed)?;
        let host = HeaderValue::from_str(self.authority.as_str()).map_err(failed)?;
        request.headers_mut().insert(HOST, host);
        let asking = async {
            let reply = sender.send_request(request).await.map_err(failed)?;
            let (head, body) = reply.into_parts();
            let length =
                head.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
            if length.is_some_and(|length: u64| length > max_bytes as u64) {
                return Err(NoReply("the answer is too long".to_owned()));
            }
            let body = Limited::new(body, max_bytes).collect().await;
            let body = body.map_err(|error| NoReply(causes(&*error)))?.to_bytes().to_vec();
            let content_type = head.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
            let content_type = content_type.unwrap_or_default().to_owned();
            Ok(Reply { status: head.status.as_u16(), content_type, body })
        };
        // The connection is driven here and not in a task, so that it ends with this future.
        let mut connection = std::pin::pin!(connection);
        let mut asking = std::pin::pin!(asking);
        tokio::select! {
            reply = &mut asking => reply,
            ended = &mut connection => match ended {
                // The whole answer may be here already.
                Ok(()) => asking.await,
                Err(error) => Err(failed(error)),
            },
        }
    }
}

fn failed(error: impl std::error::Error + 'static) -> NoReply {
    NoReply(causes(&error))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// A server that reads one request and sends these bytes.
    async fn server(answer: Vec<u8>) -> Endpoint {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = vec![0; 4096];
                let read = stream.read(&mut request).await.unwrap();
                assert!(request[..read].starts_with(b"POST /w/add-checkpoint HTTP/1.1\r\n"));
                stream.write_all(&answer).await.ok();
            }
        });
        Endpoint::new(&format!("http://{address}/w/"), None).unwrap()
    }

    async fn ask(answer: &[u8]) -> Result<Reply, NoReply> {
        let asked = server(answer.to_vec()).await;
        let asked = asked.post("/add-checkpoint", "old 0\n".to_owned(), 100);
        tokio::time::timeout(Duration::from_secs(5), asked).await.unwrap()
    }

    #[tokio::test]
    async fn an_answer_is_its_status_kind_and_body_and_a_redirect_is_an_answer() {
        let reply = ask(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nhi").await;
        let reply = reply.unwrap();
        assert_eq!(
            (reply.status, reply.content_type.as_str(), &*reply.body),
            (200, "text/plain", &b"hi"[..])
        );
        // Ended by the end of the connection.
        let reply = ask(b"HTTP/1.1 409 Conflict\r\nConnection: close\r\n\r\n17\n").await.unwrap();
        assert_eq!((reply.status, &*reply.body), (409, &b"17\n"[..]));
        let away =
            b"HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(ask(away).await.unwrap().status, 307);
    }

    #[tokio::test]
    async fn a_long_or_broken_answer_is_none() {
        let long = [b"HTTP/1.1 200 OK\r\nContent-Length: 10485760\r\n\r\n", &[b'x'; 200][..]].concat();
        let chunked =
            [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n", &[b'x'; 255][..], b"\r\n"]
                .concat();
        for answer in
            [&long[..], &chunked, b"nonsense", b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nx", b""]
        {
            ask(answer).await.unwrap_err();
        }
    }

    #[test]
    fn only_urls_of_http_and_of_https_with_a_ca_are_endpoints() {
        for wrong in [
            "",
            "127.0.0.1:80",
            "ftp://a",
            "https://a",
            "http://u:p@a/",
            "http://a/?q",
            "http:///x",
            "http://127.0.0.1:99999",
            "http://a:",
        ] {
            assert!(matches!(Endpoint::new(wrong, None), Err(Error::Endpoint { .. })), "{wrong}");
        }
        Endpoint::new("http://[::1]:7/witness", None).unwrap();
    }
}

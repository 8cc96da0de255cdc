//! `Client` is a connection to a gateway under one identity, and makes calls on it.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use chapar_model::{Code, MethodPath};
use chapar_transport::dial::{self, DialError, Incoming, Pool};
use chapar_transport::frame::{self, MessageReader};
use chapar_transport::tls::{self, Expect, Files};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::Full;
use tokio::time::Instant;

use crate::answer::{Answer, Messages};
use crate::call::CallSpec;
use crate::error::CallError;
use crate::refusal::Refusal;

/// Maximum size in bytes of a message that is read: the highest `max_message` of a gateway.
const MAX_ANSWER_BYTES: usize = 16 << 20;
/// The longest wait for TCP and TLS together: a person at a terminal may be far from the gateway.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Time that the client waits beyond the call's own timeout, so that the gateway's refusal, which has a
/// reason, arrives first.
const DEADLINE_GRACE: Duration = Duration::from_millis(500);

/// Where the gateway is, and as whom to call it.
#[derive(Clone, Debug)]
pub struct Config {
    /// `HOST:PORT`.
    pub gateway: String,
    /// The DNS name in the gateway's certificate.
    pub server_name: String,
    /// The caller's certificate, PEM, with the intermediates after it.
    pub cert: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// The CAs that the gateway is checked with, PEM.
    pub ca: PathBuf,
}

/// A caller of the bus. Connections are opened again when they end.
pub struct Client {
    gateway: String,
    pool: Pool,
}

impl Client {
    /// Prepares a caller. The first call connects.
    ///
    /// # Errors
    /// [`CallError::Config`] naming a file or address that cannot be used.
    pub fn new(config: Config) -> Result<Self, CallError> {
        let Config { gateway, server_name, cert, key, ca } = config;
        let tls = tls::client(&Files { cert, key, trust: ca, crl: None }, Expect::DnsName)?;
        let settings = dial::Settings {
            connect: CONNECT_TIMEOUT,
            server_name: Some(server_name),
            ..dial::Settings::default()
        };
        let pool = Pool::new(&format!("https://{gateway}"), tls, settings)?;
        Ok(Self { gateway, pool })
    }

    /// Prepares a caller and connects.
    ///
    /// # Errors
    /// As [`Client::new`]; [`CallError::Unreachable`].
    pub async fn connect(config: Config) -> Result<Self, CallError> {
        let client = Self::new(config)?;
        client.pool.ensure().await.map_err(|error| client.failed(error))?;
        Ok(client)
    }

    /// Makes a call and waits for all of its answer, be it one message or many.
    ///
    /// # Errors
    /// [`CallError::Refused`] with the reason; any other [`CallError`] if the call has no valid answer.
    pub async fn call(&self, call: &CallSpec, request: Bytes) -> Result<Answer, CallError> {
        self.call_streaming(call, request).await?.answer().await
    }

    /// Makes a call; its answer's messages follow, as they come. Dropped before its end, the call is
    /// cancelled.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn call_streaming(&self, call: &CallSpec, request: Bytes) -> Result<Messages, CallError> {
        self.exchange(&call.method, call.metadata.headers()?, frame::encode(request), call.metadata.timeout)
            .await
    }

    /// `body` holds whole frames.
    pub(crate) async fn exchange(
        &self,
        method: &MethodPath,
        headers: HeaderMap,
        body: Bytes,
        timeout: Option<Duration>,
    ) -> Result<Messages, CallError> {
        // A little longer than the gateway's own deadline, so that its refusal, which has a reason, arrives
        // first.
        let began = Instant::now();
        let until = timeout.and_then(|time| began.checked_add(time.saturating_add(DEADLINE_GRACE)));
        let response = self.send(method, headers, body);
        let response = match until {
            None => response.await?,
            Some(until) => tokio::time::timeout_at(until, response)
                .await
                .map_err(|_| CallError::Late { call_id: None })??,
        };
        let (head, body) = response.into_parts();
        // gRPC always answers with HTTP status 200. Another status comes from a proxy, or from a server that
        // is no gateway.
        if head.status != StatusCode::OK {
            return Err(self.garbled(format_args!("HTTP status {}", head.status.as_u16())));
        }
        let grpc = |kind: &http::HeaderValue| kind.as_bytes().starts_with(b"application/grpc");
        if !head.headers.get(CONTENT_TYPE).is_some_and(grpc) {
            return Err(self.garbled("an answer that is not gRPC"));
        }
        // A trailers-only answer has no body: the status is in the headers (gRPC over HTTP/2, "Responses").
        if head.headers.contains_key("grpc-status") {
            match Refusal::read(&head.headers, None) {
                // A tonic server answers CANCELLED when `grpc-timeout` has passed, but the caller did not
                // cancel.
                Ok(Some(refusal))
                    if refusal.code == Code::Cancelled as u8
                        && timeout.is_some_and(|time| began.elapsed() >= time) =>
                {
                    return Err(CallError::Late { call_id: refusal.call_id });
                }
                Ok(Some(refusal)) => return Err(refusal.into()),
                // A stream of no messages may come as its end alone.
                Ok(None) => {
                    let body = MessageReader::new(body, MAX_ANSWER_BYTES).ended(head.headers.clone());
                    return Ok(Messages {
                        gateway: self.gateway.clone(),
                        headers: head.headers,
                        body,
                        until,
                    });
                }
                Err(problem) => return Err(self.garbled(problem)),
            }
        }
        let body = MessageReader::new(body, MAX_ANSWER_BYTES);
        Ok(Messages { gateway: self.gateway.clone(), headers: head.headers, body, until })
    }

    /// Sends a call; once more if the gateway closed the connection in good order before it came to the call.
    async fn send(
        &self,
        method: &MethodPath,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response<Incoming>, CallError> {
        // A request is consumed by sending it, so it is built for each attempt. Its bytes are shared and not
        // copied.
        let request = || {
            let mut request = Request::new(Full::new(body.clone()));
            *request.method_mut() = http::Method::POST;
            *request.headers_mut() = headers.clone();
            request
        };
        match self.pool.call(method, request()).await {
            // Only a call that the gateway certainly did not process is sent again. Any other may have been
            // made and recorded.
            Err(error @ DialError::Broken { .. }) if !error.may_have_been_processed() => {
                self.pool.call(method, request()).await.map_err(|error| self.failed(error))
            }
            answered => answered.map_err(|error| self.failed(error)),
        }
    }

    fn failed(&self, error: DialError) -> CallError {
        let gateway = self.gateway.clone();
        match error {
            DialError::Unreachable { problem, .. } => CallError::Unreachable { gateway, problem },
            // A call that found no free stream was never sent, so it counts as unreachable and not as broken.
            full @ DialError::Full { .. } => CallError::Unreachable { gateway, problem: full.cause() },
            broken @ DialError::Broken { .. } => CallError::Broken { gateway, problem: broken.cause() },
        }
    }

    pub(crate) fn garbled(&self, problem: impl std::fmt::Display) -> CallError {
        CallError::Garbled { gateway: self.gateway.clone(), problem: problem.to_string() }
    }
}

//! This module writes a gRPC answer in the Connect protocol: a single call as one body and an HTTP status, a
//! stream as envelopes of which the last has the end.

use std::convert::Infallible;

use bytes::{BufMut as _, Bytes, BytesMut};
use chapar_contract::json;
use chapar_transport::encoding::{self, Encoding};
use chapar_transport::frame::{FrameError, MessageReader};
use futures_util::stream;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header as h};
use http_body::Frame;
use http_body_util::{Full, StreamBody};
use prost_reflect::MessageDescriptor;
use serde_json::{Map, Value, json};
use tonic::body::Body;
use tonic::{Code, Status};

use super::Codec;
use super::error;

/// The flag of the envelope that ends a stream.
const END_STREAM: u8 = 2;

/// How the answers of one call are written.
pub(super) struct Writer {
    pub(super) codec: Codec,
    /// The type of the messages, if the method is known.
    pub(super) output: Option<MessageDescriptor>,
    /// Maximum size of a message in bytes.
    pub(super) limit: usize,
}

impl Writer {
    /// Writes the answer of a single call.
    pub(super) async fn unary(self, response: Response<Body>) -> Response<Body> {
        let (mut parts, body) = response.into_parts();
        let mut headers = std::mem::take(&mut parts.headers);
        let mut reader = MessageReader::new(body, self.limit).encoded(packed(&mut headers));
        // An answer of trailers only has its status in the headers, and no body.
        if let Some(status) = error::take_status(&mut headers) {
            return refused(headers, &status);
        }
        let message = reader.next().await;
        let (message, second) = match message {
            Ok(Some(message)) => (Some(message), reader.next().await.map(|second| second.is_some())),
            Ok(None) => (None, Ok(false)),
            Err(error) => (None, Err(error)),
        };
        let mut trailers = reader.trailers().cloned().unwrap_or_default();
        let status = error::take_status(&mut trailers);
        for (name, value) in &trailers {
            if let Ok(name) = HeaderName::from_bytes(format!("trailer-{name}").as_bytes()) {
                headers.append(name, value.clone());
            }
        }
        let written = match (status, message, second) {
            (Some(status), _, _) => Err(status),
            (None, Some(message), Ok(false)) => self.encoded(&message),
            _ => Err(broken()),
        };
        match written {
            Ok(message) => {
                let name = match self.codec {
                    Codec::Json => "application/json",
                    Codec::Proto => "application/proto",
                };
                whole(StatusCode::OK, headers, name, message)
            }
            Err(status) => refused(headers, &status),
        }
    }

    /// Writes the answer of a stream.
    pub(super) fn stream(self, response: Response<Body>) -> Response<Body> {
        let (mut parts, body) = response.into_parts();
        let refused = error::take_status(&mut parts.headers);
        let reader = MessageReader::new(body, self.limit).encoded(packed(&mut parts.headers));
        let name = match self.codec {
            Codec::Json => "application/connect+json",
            Codec::Proto => "application/connect+proto",
        };
        parts.headers.insert(h::CONTENT_TYPE, HeaderValue::from_static(name));
        let body = match refused {
            Some(status) => Body::new(Full::from(end(Some(&status), &HeaderMap::new()))),
            None => {
                let next = async |(writer, mut reader): (Self, MessageReader<Body>)| {
                    let (envelope, is_last) = writer.next(&mut reader).await;
                    (envelope, (!is_last).then_some((writer, reader)))
                };
                let envelopes = stream::unfold(Some((self, reader)), move |state| async move {
                    let (envelope, state) = next(state?).await;
                    Some((Ok::<_, Infallible>(Frame::data(envelope)), state))
                });
                Body::new(StreamBody::new(Box::pin(envelopes)))
            }
        };
        Response::from_parts(parts, body)
    }

    /// The next envelope, and whether it is the last.
    async fn next(&self, reader: &mut MessageReader<Body>) -> (Bytes, bool) {
        let ended = |status: Option<&Status>, trailers: &HeaderMap| (end(status, trailers), true);
        match reader.next().await {
            Ok(Some(message)) => match self.encoded(&message) {
                Ok(message) => (envelope(0, &message), false),
                Err(status) => ended(Some(&status), &HeaderMap::new()),
            },
            Ok(None) => match reader.trailers() {
                Some(trailers) => {
                    let mut trailers = trailers.clone();
                    let status = error::take_status(&mut trailers);
                    ended(status.as_ref(), &trailers)
                }
                None => ended(Some(&broken()), &HeaderMap::new()),
            },
            Err(FrameError::Body(error)) => {
                let status = error.downcast_ref::<Status>().cloned();
                ended(Some(&status.unwrap_or_else(broken)), &HeaderMap::new())
            }
            Err(_) => ended(Some(&broken()), &HeaderMap::new()),
        }
    }

    /// The bytes of a message in the caller's codec.
    fn encoded(&self, message: &Bytes) -> Result<Bytes, Status> {
        match (self.codec, &self.output) {
            (Codec::Proto, _) => Ok(message.clone()),
            (Codec::Json, Some(output)) => {
                json::to_json(output, message).map(Bytes::from).map_err(|_| broken())
            }
            (Codec::Json, None) => Err(broken()),
        }
    }
}

/// Takes the encoding of the answer's messages: they go out plain.
fn packed(headers: &mut HeaderMap) -> Option<Encoding> {
    headers.remove(encoding::ACCEPT);
    let encoding = headers.remove(encoding::HEADER)?;
    Encoding::parse(encoding.as_bytes()).ok().flatten()
}

fn refused(mut headers: HeaderMap, status: &Status) -> Response<Body> {
    if let Some(seconds) = error::retry_after(status) {
        headers.insert(h::RETRY_AFTER, HeaderValue::from(seconds));
    }
    headers.remove("grpc-retry-pushback-ms");
    let body = error::to_json(status).to_string();
    // The body of an error is JSON whatever the codec.
    whole(error::http_status(status), headers, "application/json", body.into())
}

fn whole(status: StatusCode, mut headers: HeaderMap, name: &'static str, body: Bytes) -> Response<Body> {
    headers.insert(h::CONTENT_TYPE, HeaderValue::from_static(name));
    headers.insert(h::CONTENT_LENGTH, HeaderValue::from(body.len()));
    let mut response = Response::new(Body::new(Full::from(body)));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// An answer that the gateway itself has let pass can be written, so this is a fault of the gateway.
fn broken() -> Status {
    Status::new(Code::Internal, "the answer cannot be written in this protocol")
}

fn envelope(flags: u8, message: &[u8]) -> Bytes {
    let mut envelope = BytesMut::with_capacity(5 + message.len());
    envelope.put_u8(flags);
    envelope.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    envelope.put_slice(message);
    envelope.freeze()
}

/// The envelope that ends a stream: the error, if there is one, and the trailers.
fn end(status: Option<&Status>, trailers: &HeaderMap) -> Bytes {
    let mut end = Map::new();
    if let Some(status) = status {
        end.insert("error".to_owned(), error::to_json(status));
    }
    let mut metadata = Map::new();
    for name in trailers.keys() {
        let values = trailers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        metadata.insert(name.as_str().to_owned(), values.map(|value| json!(value)).collect());
    }
    if !metadata.is_empty() {
        end.insert("metadata".to_owned(), Value::Object(metadata));
    }
    envelope(END_STREAM, Value::Object(end).to_string().as_bytes())
}

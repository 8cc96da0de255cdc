//! This module writes a gRPC answer in gRPC-Web: the trailers are the last frame of the body.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Response, header as h};
use http_body::Frame;
use http_body_util::Full;
use tonic::body::Body;

/// The flag of the frame with the trailers.
const TRAILERS: u8 = 0x80;
const STATUS: &str = "grpc-status";

pub(super) fn answer(response: Response<Body>) -> Response<Body> {
    let (mut parts, body) = response.into_parts();
    parts.headers.insert(h::CONTENT_TYPE, HeaderValue::from_static("application/grpc-web+proto"));
    // An answer of trailers only has its status in the headers. It moves into the body, where every client
    // looks.
    let status = take_status(&mut parts.headers);
    let body = match status.is_empty() {
        true => Body::new(WebBody { body, is_over: false }),
        false => Body::new(Full::from(frame(&status))),
    };
    Response::from_parts(parts, body)
}

/// Takes the headers that are a status.
fn take_status(headers: &mut HeaderMap) -> HeaderMap {
    let names = [STATUS, "grpc-message", "grpc-status-details-bin"];
    if !headers.contains_key(STATUS) {
        return HeaderMap::new();
    }
    let taken =
        names.into_iter().filter_map(|name| Some((HeaderName::from_static(name), headers.remove(name)?)));
    taken.collect()
}

fn frame(trailers: &HeaderMap) -> Bytes {
    let mut text = BytesMut::new();
    for (name, value) in trailers {
        text.put_slice(name.as_str().as_bytes());
        text.put_slice(b": ");
        text.put_slice(value.as_bytes());
        text.put_slice(b"\r\n");
    }
    let mut frame = BytesMut::with_capacity(5 + text.len());
    frame.put_u8(TRAILERS);
    frame.put_u32(u32::try_from(text.len()).unwrap_or(u32::MAX));
    frame.put_slice(&text);
    frame.freeze()
}

/// The body of an answer, with its trailers as the last frame.
struct WebBody {
    body: Body,
    is_over: bool,
}

impl http_body::Body for WebBody {
    type Data = Bytes;
    type Error = tonic::Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, tonic::Status>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        Poll::Ready(match ready!(Pin::new(&mut self.body).poll_frame(context)) {
            Some(Ok(sent)) => match sent.into_trailers() {
                Ok(trailers) => {
                    self.is_over = true;
                    Some(Ok(Frame::data(frame(&trailers))))
                }
                Err(sent) => Some(Ok(sent)),
            },
            other => other,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.is_over
    }
}

//! This module defines the one call that every entry carries: its bytes, its headers, and when an answer
//! counts as complete.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request};

/// The method's path.
pub(crate) const PATH: &str = "/bench.v1.Records/Get";
const NATIONAL_ID: &str = "4061234560";

fn text(message: &mut Vec<u8>, number: u8, text: &str) {
    // Texts here are shorter than 128 bytes: their length is one byte.
    message.extend_from_slice(&[number << 3 | 2, u8::try_from(text.len()).unwrap_or(0)]);
    message.extend_from_slice(text.as_bytes());
}

fn frame(message: &[u8]) -> Bytes {
    let mut frame = vec![0];
    frame.extend_from_slice(&u32::try_from(message.len()).unwrap_or(0).to_be_bytes());
    frame.extend_from_slice(message);
    frame.into()
}

/// A request message of 100 bytes, framed.
pub(crate) fn request() -> Bytes {
    let mut message = Vec::new();
    text(&mut message, 1, NATIONAL_ID);
    text(&mut message, 2, &"n".repeat(86));
    frame(&message)
}

/// A reply of 400 bytes, framed: eight fields, of which the grant gives six.
pub(crate) fn reply() -> Bytes {
    let mut message = Vec::new();
    text(&mut message, 1, NATIONAL_ID);
    for number in 2..=8 {
        text(&mut message, number, &"v".repeat(if number < 5 { 54 } else { 53 }));
    }
    frame(&message)
}

/// The request's head.
pub(crate) fn head(authority: &str) -> Result<Request<()>, http::Error> {
    Request::post(format!("https://{authority}{PATH}"))
        .version(http::Version::HTTP_2)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-timeout", "10S")
        .header("user-agent", "chapar-bench")
        .header("chapar-purpose", "benefit.eligibility")
        .body(())
}

/// Trailers of a call that went well.
pub(crate) fn ok() -> HeaderMap {
    HeaderMap::from_iter([(http::HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"))])
}

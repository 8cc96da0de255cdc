//! This target reads gRPC frames and their encodings: messages do not depend on how the body is cut into
//! chunks, never exceed the limit, and are read the same when they are framed again.
#![no_main]

use std::convert::Infallible;

use bytes::Bytes;
use chapar_fuzz::Input;
use chapar_transport::encoding::Encoding;
use chapar_transport::frame::{Message, MessageReader};
use futures_util::FutureExt as _;
use http_body::Frame;
use http_body_util::StreamBody;
use libfuzzer_sys::fuzz_target;

/// What a compressor may add to a message that it cannot make shorter.
const GROWTH: usize = 1024;

/// The messages of a body in chunks, and whether the body ends after the last one.
fn read(body: &Bytes, chunk: usize, limit: usize, encoding: Option<Encoding>) -> (Vec<Message>, bool) {
    let chunks = body.chunks(chunk).map(|chunk| Ok::<_, Infallible>(Frame::data(body.slice_ref(chunk))));
    let body = StreamBody::new(futures_util::stream::iter(chunks.collect::<Vec<_>>()));
    let mut reader = MessageReader::new(body, limit).encoded(encoding);
    let mut messages = Vec::new();
    loop {
        match reader.next_message().now_or_never().expect("a body in memory") {
            Ok(Some(message)) => messages.push(message),
            Ok(None) => return (messages, true),
            Err(_) => return (messages, false),
        }
    }
}

fuzz_target!(|data: &[u8]| {
    if let Ok(Some(encoding)) = Encoding::parse(data) {
        assert_eq!(encoding.as_str().as_bytes(), data);
    }
    let mut input = Input(data);
    let encoding = [None, Some(Encoding::Gzip), Some(Encoding::Zstd)][input.byte() % 3];
    let limit = input.number();
    let chunk = input.byte() + 1;
    let body = Bytes::copy_from_slice(input.rest());
    let (messages, is_whole) = read(&body, body.len().max(1), limit, encoding);
    let in_chunks = read(&body, chunk, limit, encoding);
    assert!(in_chunks == (messages.clone(), is_whole), "chunks of {chunk} bytes are read otherwise");
    assert!(messages.iter().all(|message| message.bytes.len() <= limit), "a message over the limit");
    let framed = messages.iter().map(|message| message.clone().framed(encoding).expect("memory"));
    let framed: Vec<u8> = framed.flatten().collect();
    if messages.iter().all(|message| !message.is_packed()) {
        assert!(body.starts_with(&framed), "plain messages go on as they came");
        assert!(!is_whole || framed.len() == body.len(), "every byte is of a message");
    }
    let (again, is_whole) = read(&framed.into(), chunk, limit + GROWTH, encoding);
    assert!(is_whole, "what is sent on can be read");
    let bytes =
        |messages: Vec<Message>| messages.into_iter().map(|message| message.bytes).collect::<Vec<_>>();
    assert_eq!(bytes(again), bytes(messages), "what is sent on is what was read");
});

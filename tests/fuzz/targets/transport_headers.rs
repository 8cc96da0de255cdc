//! This target parses `grpc-timeout` and `traceparent`: what parses is written in a form that reads back,
//! never longer, and stable.
#![no_main]

use chapar_telemetry::propagate::{TRACEPARENT, extract, inject};
use chapar_transport::timeout;
use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(value) = HeaderValue::from_bytes(data) else { return };
    if let Ok(duration) = timeout::parse(&value) {
        let written = timeout::format(duration);
        let back = timeout::parse(&written).expect("what is written can be read");
        assert!(back <= duration, "a deadline grew on its way");
        assert_eq!(timeout::format(back), written, "the second hop writes the same");
    }
    let mut headers = HeaderMap::new();
    headers.insert(TRACEPARENT, value);
    if let Some(context) = extract(&headers) {
        inject(&context, &mut headers);
        let again = extract(&headers).expect("what is written can be read");
        assert_eq!(again.trace_id(), context.trace_id());
        assert_eq!(again.span_id(), context.span_id());
        assert_eq!(again.is_sampled(), context.is_sampled());
    }
});

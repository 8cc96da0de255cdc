//! This module reads and writes `traceparent` (W3C Trace Context, level 1,
//! <https://www.w3.org/TR/trace-context/>).
//!
//! `tracestate` is neither read nor passed on, because it is free text from outside that the bus does not
//! need.

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::trace::{SpanContext, TraceState};
use opentelemetry::{SpanId, TraceFlags, TraceId};

/// The header's name.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The context that a request carries; `None` if there is none, more than one, or one that breaks the format
/// in any way (the call goes on without it). Version 00 is exactly 55 bytes; a later version may have more
/// after a `-`.
pub fn extract(headers: &HeaderMap) -> Option<SpanContext> {
    let mut values = headers.get_all(TRACEPARENT).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    parse(value.as_bytes())
}

/// Writes `context` as the request's only `traceparent`; an invalid context removes the header.
pub fn inject(context: &SpanContext, headers: &mut HeaderMap) {
    // Removed first, so that a caller's header does not pass where there is nothing to write.
    headers.remove(TRACEPARENT);
    if !context.is_valid() {
        return;
    }
    // Only the flag `sampled` is written, because level 1 defines no other.
    let flags = if context.is_sampled() { 1 } else { 0 };
    let text = format!("00-{}-{}-{flags:02x}", context.trace_id(), context.span_id());
    if let Ok(mut value) = HeaderValue::try_from(text) {
        // Never the same again: HPACK need not keep it (RFC 7541 §6.2.3).
        value.set_sensitive(true);
        headers.insert(TRACEPARENT, value);
    }
}

fn parse(text: &[u8]) -> Option<SpanContext> {
    let (head, rest) = text.split_at_checked(55)?;
    // Version 00 has 2, 32, 16 and 2 digits with dashes between them: 55 bytes.
    let [version @ .., _] = head.get(..3)? else { return None };
    let version = hex::<1>(version)?[0];
    let extended = version != 0 && rest.first() == Some(&b'-');
    // Version ff is invalid by the specification.
    if version == 0xff || !(rest.is_empty() || extended) {
        return None;
    }
    if [2, 35, 52].iter().any(|dash| head.get(*dash) != Some(&b'-')) {
        return None;
    }
    let trace = TraceId::from_bytes(hex::<16>(head.get(3..35)?)?);
    let span = SpanId::from_bytes(hex::<8>(head.get(36..52)?)?);
    let flags = TraceFlags::new(hex::<1>(head.get(53..55)?)?[0]);
    let context = SpanContext::new(trace, span, flags, true, TraceState::default());
    // Ids of zeros only are invalid.
    context.is_valid().then_some(context)
}

/// `2 * N` lower-case hexadecimal digits.
fn hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        for digit in pair {
            let value = match digit {
                b'0'..=b'9' => digit - b'0',
                b'a'..=b'f' => digit - b'a' + 10,
                // Digits in upper case are invalid in `traceparent`.
                _ => return None,
            };
            *byte = (*byte << 4) | value;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn extracted(values: &[&str]) -> Option<SpanContext> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(TRACEPARENT, HeaderValue::from_str(value).unwrap());
        }
        extract(&headers)
    }

    #[test]
    fn a_traceparent_goes_in_and_comes_out_the_same() {
        let context = extracted(&[GOOD]).unwrap();
        assert!(context.is_remote() && context.is_sampled());

        let mut headers = HeaderMap::new();
        inject(&context, &mut headers);
        assert_eq!(headers[TRACEPARENT], GOOD);
    }

    #[test]
    fn a_later_version_may_carry_more() {
        assert!(
            extracted(&["cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-comes-later"])
                .is_some()
        );
        assert!(extracted(&["cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"]).is_some());
    }

    #[test]
    fn anything_that_breaks_the_format_is_no_context() {
        let bad = [
            "",
            "00",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01more",
            "00_0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331_01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0g",
            " 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ];
        for text in bad {
            assert!(extracted(&[text]).is_none(), "{text:?}");
        }
        assert!(extracted(&[GOOD, GOOD]).is_none(), "two headers are ambiguous");
    }

    #[test]
    fn an_invalid_context_removes_what_stood_there() {
        let mut headers = HeaderMap::new();
        headers.insert(TRACEPARENT, HeaderValue::from_static(GOOD));
        inject(&SpanContext::NONE, &mut headers);
        assert!(headers.is_empty());
    }
}

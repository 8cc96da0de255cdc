//! This module parses and writes `grpc-timeout`: 1 to 8 digits and a unit (gRPC over HTTP/2, "Timeout").

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

/// The name of the header.
pub const HEADER: HeaderName = HeaderName::from_static("grpc-timeout");

/// A value of another form, or two of them.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`grpc-timeout` must be one to eight digits and a unit: H, M, S, m, u or n")]
pub struct Malformed;

/// The timeout of a request; nothing if it has none.
///
/// # Errors
/// [`Malformed`], also if there are two: which of them holds would depend on who reads it.
pub fn of(headers: &HeaderMap) -> Result<Option<Duration>, Malformed> {
    let mut given = headers.get_all(HEADER).iter();
    match (given.next(), given.next()) {
        (value, None) => value.map(parse).transpose(),
        (_, Some(_)) => Err(Malformed),
    }
}

/// Reads a value.
///
/// # Errors
/// [`Malformed`] if it has another form; a library that dropped it instead would give the call no deadline at
/// all.
pub fn parse(value: &HeaderValue) -> Result<Duration, Malformed> {
    let (unit, digits) = value.as_bytes().split_last().ok_or(Malformed)?;
    // The digits are checked by hand, because `parse` would also take a sign, which gRPC does not allow.
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Malformed);
    }
    let number = digits.iter().fold(0_u64, |number, digit| number * 10 + u64::from(digit - b'0'));
    match unit {
        b'H' => Ok(Duration::from_secs(number * 3600)),
        b'M' => Ok(Duration::from_secs(number * 60)),
        b'S' => Ok(Duration::from_secs(number)),
        b'm' => Ok(Duration::from_millis(number)),
        b'u' => Ok(Duration::from_micros(number)),
        b'n' => Ok(Duration::from_nanos(number)),
        _ => Err(Malformed),
    }
}

/// Writes a duration in the finest unit that holds it in eight digits, rounded down.
pub fn format(timeout: Duration) -> HeaderValue {
    // Nanoseconds are left out: eight digits of them are a tenth of a second.
    let finest =
        [(timeout.as_micros(), 'u'), (timeout.as_millis(), 'm'), (u128::from(timeout.as_secs()), 'S')];
    let (number, unit) =
        finest.into_iter().find(|(number, _)| *number < 100_000_000).unwrap_or((99_999_999, 'S'));
    let value = HeaderValue::from_str(&format!("{number}{unit}"));
    let mut value = value.unwrap_or_else(|_| HeaderValue::from_static("0S"));
    // Hardly ever the same again: HPACK need not keep it (RFC 7541 §6.2.3).
    value.set_sensitive(true);
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_one_timeout_or_none() {
        let mut headers = HeaderMap::new();
        assert_eq!(of(&headers), Ok(None));
        headers.append(HEADER, HeaderValue::from_static("3S"));
        assert_eq!(of(&headers), Ok(Some(Duration::from_secs(3))));
        headers.append(HEADER, HeaderValue::from_static("3S"));
        assert_eq!(of(&headers), Err(Malformed));
    }

    #[test]
    fn well_formed_values_are_read() {
        for (text, timeout) in
            [("1n", 1), ("20u", 20_000), ("7m", 7_000_000), ("3S", 3_000_000_000), ("2M", 120_000_000_000)]
        {
            assert_eq!(parse(&HeaderValue::from_static(text)), Ok(Duration::from_nanos(timeout)), "{text}");
        }
        assert_eq!(parse(&HeaderValue::from_static("99999999H")), Ok(Duration::from_secs(99_999_999 * 3600)));
    }

    #[test]
    fn anything_else_is_malformed() {
        for text in ["", "S", "abc", "-1S", "5X", "123456789S", "1 S", "1.5S", "1"] {
            assert_eq!(parse(&HeaderValue::from_str(text).unwrap()), Err(Malformed), "{text:?}");
        }
    }

    #[test]
    fn what_is_written_is_read_back_not_longer() {
        for timeout in [
            Duration::from_micros(1),
            Duration::from_millis(700),
            Duration::from_secs(30),
            Duration::from_secs(1 << 40),
        ] {
            let back = parse(&format(timeout)).unwrap();
            assert!(
                back <= timeout && back >= timeout.min(Duration::from_secs(99_999_999)).mul_f64(0.99),
                "{timeout:?} {back:?}"
            );
        }
    }
}

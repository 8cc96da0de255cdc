//! This module reads and writes the headers that are the same for each call, whether a provider or the
//! gateway itself answers it: the bus's own headers of an answer, and the language that the caller asks for.

use chapar_model::{CallId, header};
use http::{HeaderMap, HeaderValue};

/// Returns the bus's headers of every answer.
pub(crate) fn bus_headers(id: CallId) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(4);
    if let Some(value) = header_value(id.encode(&mut [0; 36])) {
        headers.insert(header::CALL_ID, value);
    }
    headers
}

/// Makes a header value that HPACK does not put into its table, at either end (RFC 7541 §6.2.3): the value is
/// different for each call, and would evict useful entries.
pub(crate) fn header_value(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Returns whether the caller asks for Persian: its first language is `fa`.
pub(crate) fn wants_persian(headers: &HeaderMap) -> bool {
    let language = headers.get(http::header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
    language.is_some_and(|text| {
        text == "fa" || text.starts_with("fa-") || text.starts_with("fa,") || text.starts_with("fa;")
    })
}

//! The session's cookie. `__Host-` (RFC 6265bis §4.1.3.2) ties it to this host, to TLS and to all paths;
//! `Strict` sends it with no request that another site began.

use http::{HeaderMap, HeaderValue, header as h};

const NAME: &str = "__Host-chapar-counter";
const ATTRIBUTES: &str = "Path=/; Secure; HttpOnly; SameSite=Strict";

/// The session's id, if the request has one.
pub(super) fn session_id(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(h::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs =
        cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == NAME).map(|(_, id)| id)
}

/// Has the browser send the id until it is closed.
pub(super) fn set(headers: &mut HeaderMap, id: &str) {
    put(headers, &format!("{NAME}={id}; {ATTRIBUTES}"));
}

pub(super) fn clear(headers: &mut HeaderMap) {
    put(headers, &format!("{NAME}=; {ATTRIBUTES}; Max-Age=0"));
}

fn put(headers: &mut HeaderMap, text: &str) {
    // An id is base64, so it is always a header's value.
    if let Ok(value) = HeaderValue::from_str(text) {
        headers.append(h::SET_COOKIE, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_found_among_other_cookies() {
        let mut headers = HeaderMap::new();
        set(&mut headers, "abc");
        let sent = headers[h::SET_COOKIE].to_str().unwrap();
        assert_eq!(sent, "__Host-chapar-counter=abc; Path=/; Secure; HttpOnly; SameSite=Strict");
        headers.insert(h::COOKIE, HeaderValue::from_static("a=b; __Host-chapar-counter=abc; c"));
        assert_eq!(session_id(&headers), Some("abc"));
        headers.insert(h::COOKIE, HeaderValue::from_static("chapar-counter=abc"));
        assert_eq!(session_id(&headers), None);
    }
}

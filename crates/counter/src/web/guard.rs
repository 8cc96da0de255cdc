//! What stands before every page: forms of other sites are refused, and each answer may be kept by no cache,
//! shown in no frame, and runs no script.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header as h};

use super::{language_of, refused};

/// Headers of every answer.
const HEADERS: [(HeaderName, &str); 7] = [
    (
        h::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (h::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (h::X_FRAME_OPTIONS, "DENY"),
    // Under `no-referrer` browsers send the page's own forms with `Origin: null` (Fetch standard, "append a
    // request `Origin` header"), which is any other site's as well.
    (h::REFERRER_POLICY, "same-origin"),
    (h::STRICT_TRANSPORT_SECURITY, "max-age=31536000"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Refuses forms of other sites, and sets the headers.
pub(super) async fn guarded(request: Request, next: Next) -> Response {
    let is_foreign =
        request.method() == Method::POST && is_foreign(request.headers(), request.uri().authority());
    let mut response = match is_foreign {
        true => refused(StatusCode::FORBIDDEN, language_of(request.uri()), None),
        false => next.run(request).await,
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // Citizens' records, on a machine that clerks share.
    headers.entry(h::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Whether a request says that it comes from another site (OWASP, "Verifying Origin With Standard Headers").
fn is_foreign(headers: &HeaderMap, authority: Option<&http::uri::Authority>) -> bool {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let host = authority.map(http::uri::Authority::as_str).or_else(|| text(&h::HOST)).unwrap_or_default();
    let is_other_origin = headers
        .get(h::ORIGIN)
        .is_some_and(|origin| origin.as_bytes() != format!("https://{host}").as_bytes());
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    is_other_origin || site.is_some_and(|site| !matches!(site, b"same-origin" | b"none"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_of_another_site_is_foreign() {
        let foreign = |headers: &[(&'static str, &str)]| {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.insert(*name, value.parse().unwrap());
            }
            is_foreign(&map, None)
        };
        let host = ("host", "counter.example:8600");
        assert!(!foreign(&[host]));
        assert!(!foreign(&[
            host,
            ("origin", "https://counter.example:8600"),
            ("sec-fetch-site", "same-origin")
        ]));
        for other in
            ["https://evil.example", "http://counter.example:8600", "https://counter.example", "null"]
        {
            assert!(foreign(&[host, ("origin", other)]), "{other}");
        }
        for site in ["cross-site", "same-site", "x"] {
            assert!(foreign(&[host, ("sec-fetch-site", site)]), "{site}");
        }
    }
}

//! What stands before every page: requests of other sites' pages are refused, and each answer is kept by no
//! cache, shown in no frame, and runs no script.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header as h};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use chapar_transport::admin::foreign;

/// Headers of every answer.
const HEADERS: [(HeaderName, &str); 7] = [
    (
        h::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (h::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (h::X_FRAME_OPTIONS, "DENY"),
    (h::REFERRER_POLICY, "no-referrer"),
    (h::CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Why a request was made by another site's page without being a visit: an image or a script of it, say. Its
/// answer could not be read there, and would cost the operator's rate at the gateways (Fetch Metadata Request
/// Headers, W3C).
fn embedded(headers: &HeaderMap) -> Option<&'static str> {
    let is =
        |name: &str, value: &str| headers.get(name).is_some_and(|sent| sent.as_bytes() == value.as_bytes());
    let is_other = is("sec-fetch-site", "cross-site") || is("sec-fetch-site", "same-site");
    let is_visit = is("sec-fetch-mode", "navigate") && is("sec-fetch-dest", "document");
    (is_other && !is_visit).then_some("the request is part of a page of another site\n")
}

/// Refuses what does not come from this machine's own browser or tools, and sets the headers.
pub(super) async fn guarded(request: Request, next: Next) -> Response {
    let only_reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let refused = foreign(request.headers()).or_else(|| embedded(request.headers()));
    let mut response = match refused {
        Some(why) => (StatusCode::FORBIDDEN, why).into_response(),
        None if !only_reads => (StatusCode::METHOD_NOT_ALLOWED, "the console only reads\n").into_response(),
        None => next.run(request).await,
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

//! This module has prebuilt responses for calls that load shedding refuses. They are built at start, because
//! a refusal must cost almost no CPU on an overloaded worker. Their retry pushback is spread over 1 to 2 s.

use std::sync::Arc;
use std::time::Duration;

use chapar_model::{CallId, Reason};
use chapar_transport::dial::jitter;
use http::{HeaderMap, HeaderValue, Response, header as h};
use tonic::body::Body;

use crate::headers::{bus_headers, wants_persian};
use crate::refusal::{Audience, PROVIDER_RETRY, Refusal};

/// Number of different retry pushbacks, from one to two times [`PROVIDER_RETRY`], so that callers that are
/// refused together do not return together.
const VARIANTS: u32 = 16;

/// `Shed` holds all prebuilt answers. Clones share them.
#[derive(Clone)]
pub(crate) struct Shed {
    english: Arc<[HeaderMap]>,
    persian: Arc<[HeaderMap]>,
}

impl Shed {
    /// `help`: where the reasons' pages are.
    pub(crate) fn new(help: &Arc<str>) -> Self {
        let all = |persian| {
            let audience = Audience { help: Arc::clone(help), persian };
            let waits = (0..VARIANTS).map(|part| PROVIDER_RETRY + PROVIDER_RETRY * part / VARIANTS);
            waits.map(|wait| headers(wait, &audience)).collect()
        };
        Self { english: all(false), persian: all(true) }
    }

    /// Returns one of them, for a request with the headers `asked`.
    pub(crate) fn answer(&self, asked: &HeaderMap) -> Response<Body> {
        let all = if wants_persian(asked) { &self.persian } else { &self.english };
        let mut response = Response::new(Body::empty());
        *response.headers_mut() = all.get(jitter::below(all.len())).cloned().unwrap_or_default();
        // The call id is the one part that differs. It costs no lookup, and lets the caller report a refusal.
        response.headers_mut().extend(bus_headers(CallId::now()));
        response
    }
}

/// A whole answer in gRPC's trailers-only form.
fn headers(wait: Duration, audience: &Audience) -> HeaderMap {
    let mut headers = Refusal::from(Reason::Overloaded).retry_after(wait).to_trailers(audience);
    headers.insert(h::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_refusal_like_any_other_and_spreads_those_who_come_back() {
        let shed = Shed::new(&"https://docs.example/".into());
        let mut waits = std::collections::BTreeSet::new();
        for _ in 0..1_000 {
            let headers = shed.answer(&HeaderMap::new()).headers().clone();
            let status = tonic::Status::from_header_map(&headers).expect("a status");
            assert_eq!(status.code(), tonic::Code::Unavailable);
            let wait: u64 = headers["grpc-retry-pushback-ms"].to_str().unwrap().parse().unwrap();
            assert!((1_000..2_000).contains(&wait) && headers.contains_key("chapar-call-id"), "{headers:?}");
            waits.insert(wait);
        }
        assert_eq!(waits.len(), VARIANTS as usize);
        let asked = HeaderMap::from_iter([(h::ACCEPT_LANGUAGE, HeaderValue::from_static("fa"))]);
        assert!(shed.answer(&asked).headers()["grpc-status-details-bin"].len() > 100);
    }
}

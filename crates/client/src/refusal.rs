//! `Refusal` is read from a gRPC status and its `google.rpc` details.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, PAD};
use chapar_model::header;
use http::HeaderMap;
use serde::Serialize;
use tonic::Status;
use tonic_types::StatusExt as _;

/// What the bus, or the agency through it, said instead of an answer.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Refusal {
    /// The gRPC status, 1 to 16.
    pub code: u8,
    /// The word of the catalogue; empty if the other end is not a bus.
    pub reason: String,
    /// One sentence.
    pub message: String,
    /// The sentence in the language that the call asked for.
    pub localized: Option<String>,
    /// When a retry can help.
    pub retry_after: Option<Duration>,
    /// Request fields at fault, and the rule that each breaks.
    pub violations: Vec<Violation>,
    /// Limits reached: whose, and how much.
    pub limits: Vec<Violation>,
    /// Pages about the reason.
    pub help: Vec<String>,
    /// The bus's name of the call.
    pub call_id: Option<String>,
    /// The record of the refusal: `ORIGIN/INDEX`.
    pub entry: Option<String>,
}

/// Something that a rule is about, and the rule.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Violation {
    /// A field's path, or whose limit it is.
    pub subject: String,
    /// The rule.
    pub rule: String,
}

impl Refusal {
    /// The gRPC status by its name, e.g. `PERMISSION_DENIED`.
    pub fn code_name(&self) -> &'static str {
        chapar_model::status_name(self.code)
    }

    /// Reads `trailers`, which in a trailers-only answer are the headers. `call_id` is that of the headers
    /// before. Nothing for the status OK; an answer that ends without a status is none of the bus's.
    pub(crate) fn read(trailers: &HeaderMap, call_id: Option<String>) -> Result<Option<Self>, &'static str> {
        let status = status(trailers).ok_or("the answer ends without a status")?;
        if status.code() == tonic::Code::Ok {
            return Ok(None);
        }
        let details = status.get_error_details();
        let fields = details.bad_request().map(|bad| bad.field_violations.as_slice()).unwrap_or_default();
        let limits = details.quota_failure().map(|quota| quota.violations.as_slice()).unwrap_or_default();
        let links = details.help().map(|help| help.links.as_slice()).unwrap_or_default();
        let violation =
            |subject: &String, rule: &String| Violation { subject: subject.clone(), rule: rule.clone() };
        Ok(Some(Self {
            // The library gives 0 to 16, so the default (2, UNKNOWN) is never used.
            code: u8::try_from(i32::from(status.code())).unwrap_or(2),
            reason: details.error_info().map(|info| info.reason.clone()).unwrap_or_default(),
            message: status.message().to_owned(),
            localized: details.localized_message().map(|localized| localized.message.clone()),
            retry_after: details.retry_info().and_then(|retry| retry.retry_delay),
            violations: fields.iter().map(|bad| violation(&bad.field, &bad.description)).collect(),
            limits: limits.iter().map(|limit| violation(&limit.subject, &limit.description)).collect(),
            help: links.iter().map(|link| link.url.clone()).collect(),
            // In a trailers-only answer the call id is among these trailers.
            call_id: call_id.or_else(|| text(trailers, header::CALL_ID)),
            entry: text(trailers, header::ENTRY),
        }))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason.as_str() {
            "" => write!(f, "refused with status {}: {}", self.code, self.message),
            reason => write!(f, "refused: {reason}: {}", self.message),
        }
    }
}

impl std::error::Error for Refusal {}

/// The status in `trailers`. Details that are not base64 are left out first: tonic's own reading of them
/// panics.
fn status(trailers: &HeaderMap) -> Option<Status> {
    const DETAILS: &str = "grpc-status-details-bin";
    let readable = |details: &http::HeaderValue| BASE64.decode(details.as_bytes()).is_ok();
    if trailers.get(DETAILS).is_none_or(readable) {
        return Status::from_header_map(trailers);
    }
    let mut without = trailers.clone();
    without.remove(DETAILS);
    Status::from_header_map(&without)
}

/// Standard base64, padded or not: gRPC allows both.
const BASE64: GeneralPurpose =
    GeneralPurpose::new(&STANDARD, PAD.with_decode_padding_mode(DecodePaddingMode::Indifferent));

/// The value of a header that is there and is text.
pub(crate) fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use tonic::Code;
    use tonic_types::ErrorDetails;

    use super::*;

    fn headers(status: Status) -> HeaderMap {
        let mut headers = HeaderMap::new();
        status.add_header(&mut headers).unwrap();
        headers
    }

    #[test]
    fn every_detail_of_a_refusal_is_read() {
        let mut details = ErrorDetails::with_error_info("RATE_LIMITED", "chapar", HashMap::new());
        details
            .set_retry_info(Some(Duration::from_millis(640)))
            .add_quota_failure_violation("welfare-getperson", "20 calls per second")
            .add_bad_request_violation("national_id", "is not an Iranian national id")
            .add_help_link("RATE_LIMITED", "https://docs.example/RATE_LIMITED")
            .set_localized_message("fa", "بیش از حد مجاز");
        let mut headers =
            headers(Status::with_error_details(Code::ResourceExhausted, "over the limit، آری", details));
        headers.insert(header::CALL_ID, "in-trailers".parse().unwrap());
        headers.insert(header::ENTRY, "log.example/7".parse().unwrap());
        let violation =
            |subject: &str, rule: &str| Violation { subject: subject.to_owned(), rule: rule.to_owned() };
        let wanted = Refusal {
            code: 8,
            reason: "RATE_LIMITED".to_owned(),
            message: "over the limit، آری".to_owned(),
            localized: Some("بیش از حد مجاز".to_owned()),
            retry_after: Some(Duration::from_millis(640)),
            violations: vec![violation("national_id", "is not an Iranian national id")],
            limits: vec![violation("welfare-getperson", "20 calls per second")],
            help: vec!["https://docs.example/RATE_LIMITED".to_owned()],
            call_id: Some("in-trailers".to_owned()),
            entry: Some("log.example/7".to_owned()),
        };
        assert_eq!(Refusal::read(&headers, None).unwrap().unwrap(), wanted);
        assert_eq!(wanted.code_name(), "RESOURCE_EXHAUSTED");
        assert_eq!(wanted.to_string(), "refused: RATE_LIMITED: over the limit، آری");
        let of_headers = Refusal::read(&headers, Some("in-headers".to_owned())).unwrap().unwrap();
        assert_eq!(of_headers.call_id.as_deref(), Some("in-headers"));
    }

    #[test]
    fn a_status_of_some_other_server_has_no_reason() {
        let refusal = Refusal::read(&headers(Status::internal("oops")), None).unwrap().unwrap();
        assert_eq!((refusal.code, refusal.code_name(), refusal.reason.as_str()), (13, "INTERNAL", ""));
        assert_eq!(refusal.to_string(), "refused with status 13: oops");
    }

    #[test]
    fn ok_is_no_refusal_and_an_answer_without_a_status_is_no_answer() {
        assert_eq!(Refusal::read(&headers(Status::ok("")), None), Ok(None));
        assert!(Refusal::read(&HeaderMap::new(), None).is_err());
        let mut broken = headers(Status::internal("oops"));
        for details in ["%%%", "AAAAA", "/w", "é"] {
            broken.insert(
                "grpc-status-details-bin",
                http::HeaderValue::from_bytes(details.as_bytes()).unwrap(),
            );
            let refusal = Refusal::read(&broken, None).unwrap().unwrap();
            assert_eq!(refusal.message, "oops", "details that cannot be read are left out");
        }
    }
}

//! A gRPC status as an error of the Connect protocol: JSON with a code in words, the message, and the same
//! details (<https://connectrpc.com/docs/protocol#error-codes>). `debug` shows the details that people read.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use http::{HeaderMap, HeaderValue, StatusCode};
use percent_encoding::percent_decode;
use prost::Message as _;
use serde_json::{Map, Value, json};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use tonic_types::pb::Status as Details;

/// A status that is no OK, taken out of headers or trailers; nothing if there is none, or it says OK. Message
/// and details may be an agency's own server's: what cannot be read of them is left out.
pub(crate) fn take_status(trailers: &mut HeaderMap) -> Option<Status> {
    let [code, message, details] =
        ["grpc-status", "grpc-message", "grpc-status-details-bin"].map(|name| trailers.remove(name));
    let code = Code::from_bytes(code?.as_bytes());
    let message = message.unwrap_or(HeaderValue::from_static(""));
    let message = percent_decode(message.as_bytes()).decode_utf8_lossy().into_owned();
    let details = details.and_then(|details| {
        // With or without padding (gRPC over HTTP/2, "Binary-Header").
        let digits = details.as_bytes().trim_ascii_end();
        let digits = digits.strip_suffix(b"==").or(digits.strip_suffix(b"=")).unwrap_or(digits);
        BASE64_STANDARD_NO_PAD.decode(digits).ok()
    });
    let status = Status::with_details(code, message, details.unwrap_or_default().into());
    (code != Code::Ok).then_some(status)
}

/// The words of the code, and the HTTP status that stands for it.
fn code(code: Code) -> (&'static str, StatusCode) {
    match code {
        // 499 is nginx's, for a client that has gone; `http` has no name for it.
        Code::Cancelled => ("canceled", StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST)),
        Code::Ok | Code::Unknown => ("unknown", StatusCode::INTERNAL_SERVER_ERROR),
        Code::InvalidArgument => ("invalid_argument", StatusCode::BAD_REQUEST),
        Code::DeadlineExceeded => ("deadline_exceeded", StatusCode::GATEWAY_TIMEOUT),
        Code::NotFound => ("not_found", StatusCode::NOT_FOUND),
        Code::AlreadyExists => ("already_exists", StatusCode::CONFLICT),
        Code::PermissionDenied => ("permission_denied", StatusCode::FORBIDDEN),
        Code::ResourceExhausted => ("resource_exhausted", StatusCode::TOO_MANY_REQUESTS),
        Code::FailedPrecondition => ("failed_precondition", StatusCode::BAD_REQUEST),
        Code::Aborted => ("aborted", StatusCode::CONFLICT),
        Code::OutOfRange => ("out_of_range", StatusCode::BAD_REQUEST),
        Code::Unimplemented => ("unimplemented", StatusCode::NOT_IMPLEMENTED),
        Code::Internal => ("internal", StatusCode::INTERNAL_SERVER_ERROR),
        Code::Unavailable => ("unavailable", StatusCode::SERVICE_UNAVAILABLE),
        Code::DataLoss => ("data_loss", StatusCode::INTERNAL_SERVER_ERROR),
        Code::Unauthenticated => ("unauthenticated", StatusCode::UNAUTHORIZED),
    }
}

pub(super) fn http_status(status: &Status) -> StatusCode {
    code(status.code()).1
}

/// The seconds after which the same call may be tried again, rounded up, if the status says so.
pub(super) fn retry_after(status: &Status) -> Option<u64> {
    let wait = status.get_details_retry_info()?.retry_delay?;
    Some(wait.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX))
}

/// The error as JSON.
pub(super) fn to_json(status: &Status) -> Value {
    let mut error = Map::new();
    error.insert("code".to_owned(), code(status.code()).0.into());
    if !status.message().is_empty() {
        error.insert("message".to_owned(), status.message().into());
    }
    // Details that cannot be read are left out: code and message say what happened.
    let details = Details::decode(status.details()).unwrap_or_default().details;
    if !details.is_empty() {
        let shown = shown(status);
        let detail = |any: &prost_types::Any| {
            let name = any.type_url.rsplit('/').next().unwrap_or_default();
            let mut detail = json!({"type": name, "value": BASE64_STANDARD_NO_PAD.encode(&any.value)});
            if let Some(debug) = shown.get(name) {
                detail["debug"] = debug.clone();
            }
            detail
        };
        error.insert("details".to_owned(), details.iter().map(detail).collect());
    }
    Value::Object(error)
}

/// The details of a refusal in JSON, by their type.
fn shown(status: &Status) -> Map<String, Value> {
    let details = status.get_error_details();
    let mut shown = Map::new();
    let mut show = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            shown.insert(format!("google.rpc.{name}"), value);
        }
    };
    show("ErrorInfo", details.error_info().map(|info| json!({"reason": info.reason, "domain": info.domain})));
    // protobuf writes a duration in JSON as seconds with 0, 3, 6 or 9 decimals.
    let delay = details.retry_info().and_then(|info| info.retry_delay);
    show("RetryInfo", delay.map(|delay| json!({"retryDelay": format!("{:.3}s", delay.as_secs_f64())})));
    show(
        "QuotaFailure",
        details.quota_failure().map(|failure| {
            let violation = |it: &tonic_types::QuotaViolation| {
                json!({"subject": it.subject, "description": it.description})
            };
            json!({"violations": failure.violations.iter().map(violation).collect::<Vec<_>>()})
        }),
    );
    show(
        "BadRequest",
        details.bad_request().map(|request| {
            let violation =
                |it: &tonic_types::FieldViolation| json!({"field": it.field, "description": it.description});
            json!({"fieldViolations": request.field_violations.iter().map(violation).collect::<Vec<_>>()})
        }),
    );
    show(
        "Help",
        details.help().map(|help| {
            let link = |it: &tonic_types::HelpLink| json!({"description": it.description, "url": it.url});
            json!({"links": help.links.iter().map(link).collect::<Vec<_>>()})
        }),
    );
    let localized = details.localized_message();
    show("LocalizedMessage", localized.map(|it| json!({"locale": it.locale, "message": it.message})));
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_of_any_bytes_is_read_as_far_as_it_goes() {
        for (details, kept) in
            [("!", 0), ("", 0), ("CAMSA2FiYw", 7), ("CAMSA2FiYw==", 7), ("////", 3), ("a", 0)]
        {
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", HeaderValue::from_static("5"));
            trailers.insert("grpc-message", HeaderValue::from_bytes(b"a%20\xffb%zz").unwrap());
            trailers.insert("grpc-status-details-bin", HeaderValue::from_str(details).unwrap());
            let status = take_status(&mut trailers).unwrap();
            assert_eq!((status.code(), status.details().len()), (Code::NotFound, kept), "{details}");
            assert!(status.message().starts_with("a ") && trailers.is_empty());
            // Bytes that are no details are not shown.
            assert_eq!(to_json(&status)["code"], "not_found");
        }
        for (code, expected) in [("0", None), ("17", Some(Code::Unknown)), ("x", Some(Code::Unknown))] {
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", HeaderValue::from_static(code));
            assert_eq!(take_status(&mut trailers).map(|status| status.code()), expected, "{code}");
        }
    }
}

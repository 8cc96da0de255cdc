//! This module turns a `Failure` into a gRPC status with `google.rpc` details and into a log line. The caller
//! sees the reason's sentence and a field's path; the log also has the detail. Neither has a value of a
//! record.

use std::collections::HashMap;
use std::time::Duration;

use chapar_model::{Code, MethodPath, Reason, header};
use chapar_telemetry::RefusalLines;
use http::HeaderMap;
use tonic_types::{ErrorDetails, StatusExt};

use crate::source::Failure;

/// The domain of every `ErrorInfo`.
const DOMAIN: &str = "chapar";
/// Retry delay that the caller is told for a busy or lost source.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// Reasons for a gateway that asks in a wrong way. Its caller has no part in it, and is told
/// `ADAPTER_UNAVAILABLE`.
const FOR_GATEWAYS: [Reason; 5] = [
    Reason::EncodingUnsupported,
    Reason::IdentityUnknown,
    Reason::MetadataAmbiguous,
    Reason::MethodUnknown,
    Reason::TimeoutMalformed,
];

/// The failure as a gRPC status, with `chapar-reason` beside it.
pub(crate) fn status(failure: &Failure) -> tonic::Status {
    let reason = failure.reason;
    debug_assert!(
        reason.is_for_adapters() || FOR_GATEWAYS.contains(&reason),
        "the gateway would pass no {reason} on"
    );
    let mut metadata = HashMap::new();
    let mut details = ErrorDetails::new();
    if let Some(field) = &failure.field {
        metadata.insert("field".to_owned(), field.to_string());
        // Other codes carry no `BadRequest`: the field is then the database's, and the caller cannot correct
        // it.
        if reason.code() == Code::InvalidArgument {
            details.add_bad_request_violation(field.to_string(), reason.english());
        }
    }
    details.set_error_info(reason.as_str(), DOMAIN, metadata);
    if matches!(reason, Reason::SourceBusy | Reason::SourceDown) {
        details.set_retry_info(Some(RETRY_AFTER));
    }
    let code = tonic::Code::from_i32(reason.code() as i32);
    let mut status = tonic::Status::with_error_details(code, reason.english(), details);
    // The gateway goes by this word and never by the text of the status.
    status
        .metadata_mut()
        .insert(header::REASON, tonic::metadata::MetadataValue::from_static(reason.as_str()));
    status
}

/// The reason in the head of a response that is a refusal as a whole.
pub(crate) fn reason<B>(response: &http::Response<B>) -> Option<&str> {
    response.headers().get(header::REASON).and_then(|reason| reason.to_str().ok())
}

/// The failure as the trailers of a response that has begun.
pub(crate) fn trailers(failure: &Failure) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    if status(failure).add_header(&mut trailers).is_err() {
        // Details that cannot be a header are left out, but the status itself must arrive.
        trailers.insert("grpc-status", http::HeaderValue::from(u16::from(failure.reason.code() as u8)));
    }
    trailers
}

/// One line for the operator, unless there were too many for this reason: a warning if the agency's side is
/// at fault.
pub(crate) fn log(lines: &RefusalLines, method: Option<&MethodPath>, call: &str, failure: &Failure) {
    let Some(suppressed) = lines.line(failure.reason) else { return };
    let method = method.map_or("unknown", MethodPath::as_str);
    let reason = failure.reason.as_str();
    let detail = &*failure.detail;
    let field = failure.field.as_deref().unwrap_or_default();
    match failure.reason.code() {
        // Callers can cause these at will, so they are no warnings for the operator.
        Code::NotFound | Code::InvalidArgument | Code::Cancelled => {
            tracing::info!(method, call, reason, field, detail, suppressed, "call refused");
        }
        _ => tracing::warn!(method, call, reason, field, detail, suppressed, "call refused"),
    }
}

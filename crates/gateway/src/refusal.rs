//! `Refusal` is what a caller sees of a failed call: one reason with `google.rpc` details and no citizen's
//! data, or the status of an agency's own server. The detail is for the operator and is never sent to the
//! caller.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chapar_model::Reason;
use chapar_transport::encoding;
use http::{HeaderMap, HeaderValue, Response, header as h};
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// The `google.rpc.ErrorInfo` domain of every refusal.
pub const DOMAIN: &str = "chapar";

/// Default address of the reasons' pages.
pub const DEFAULT_HELP: &str = "https://docs.chapar.example/errors/";

/// Retry pushback while a provider, or the gateway itself, is in trouble. It is as long as the circuit
/// breaker's first pause without its jitter.
pub(crate) const PROVIDER_RETRY: Duration = Duration::from_secs(1);

/// `Audience` says how a refusal is written: the address of the reasons' pages, and whether Persian is added.
#[derive(Clone, Debug)]
pub(crate) struct Audience {
    /// A page is at this address followed by the reason's word.
    pub(crate) help: Arc<str>,
    /// Adds a `LocalizedMessage` in Persian.
    pub(crate) persian: bool,
}

/// `Refusal` says why a call is not answered by its provider.
#[derive(Clone, Debug)]
pub struct Refusal {
    reason: Reason,
    detail: String,
    retry_after: Option<Duration>,
    quota: Option<Box<Quota>>,
    violations: Vec<Violation>,
    provider: Option<Box<ProviderStatus>>,
}

/// The status of an agency's own server, which passes as it is. Its text is the agency's to answer for.
#[derive(Clone, Debug, Default)]
pub(crate) struct ProviderStatus {
    /// 1 to 16.
    pub(crate) code: u8,
    /// `grpc-message`, percent-encoded.
    pub(crate) message: Option<HeaderValue>,
    /// `grpc-status-details-bin`.
    pub(crate) details: Option<HeaderValue>,
    /// Trailers that may pass.
    pub(crate) metadata: HeaderMap,
}

#[derive(Clone, Debug)]
struct Quota {
    subject: String,
    limit: String,
}

#[derive(Clone, Debug)]
struct Violation {
    path: String,
    rule: String,
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self {
            reason,
            detail: String::new(),
            retry_after: None,
            quota: None,
            violations: Vec::new(),
            provider: None,
        }
    }
}

impl Refusal {
    /// The status code of the provider's own server, if its status passes.
    pub(crate) fn provider_code(&self) -> Option<u8> {
        self.provider.as_ref().map(|status| status.code)
    }

    /// The provider's own server ended the call: its status passes.
    pub(crate) fn provider(status: ProviderStatus) -> Self {
        let detail = format!("the server ended with status {}", status.code);
        Self { provider: Some(Box::new(status)), ..Self::from(Reason::ProviderStatus) }.with_detail(detail)
    }

    /// Returns the reason of the catalogue.
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// Returns what happened, for the operator's log. It is empty if the reason says everything.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Adds what the operator should know. Never a value of a citizen.
    pub(crate) fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }

    /// Adds when the same call may be tried again.
    pub(crate) fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// Adds the limit that was reached: whose it is, and how much.
    pub(crate) fn quota(mut self, subject: impl Into<String>, limit: impl Into<String>) -> Self {
        self.quota = Some(Box::new(Quota { subject: subject.into(), limit: limit.into() }));
        self
    }

    /// Adds a request field that breaks a rule: its path and the rule, never its value.
    pub(crate) fn violation(mut self, path: impl Into<String>, rule: impl Into<String>) -> Self {
        self.violations.push(Violation { path: path.into(), rule: rule.into() });
        self
    }

    /// The refusal as a gRPC status with its details.
    pub(crate) fn to_status(&self, audience: &Audience) -> Status {
        self.to_status_saying(audience, &self.message())
    }

    /// The same with another sentence than the catalogue's.
    pub(crate) fn to_status_saying(&self, audience: &Audience, message: &str) -> Status {
        let word = self.reason.as_str();
        let mut details = ErrorDetails::with_error_info(word, DOMAIN, HashMap::new());
        if let Some(wait) = self.retry_after {
            details.set_retry_info(Some(wait));
        }
        if let Some(quota) = &self.quota {
            details.add_quota_failure_violation(quota.subject.clone(), quota.limit.clone());
        }
        for Violation { path, rule } in &self.violations {
            details.add_bad_request_violation(path.clone(), rule.clone());
        }
        details.add_help_link(word, format!("{}{word}", audience.help));
        if audience.persian {
            details.set_localized_message("fa", self.reason.persian());
        }
        let mut status =
            Status::with_error_details(Code::from_i32(self.reason.code() as i32), message, details);
        if let Some(wait) = self.retry_after {
            // Zero would mean "at once" to a client (gRPC A6), so the shortest pushback is 1 ms.
            let millis = wait.as_millis().max(1);
            if let Ok(value) = millis.to_string().parse() {
                status.metadata_mut().insert("grpc-retry-pushback-ms", value);
            }
        }
        status
    }

    /// The status with its details, as trailers.
    pub(crate) fn to_trailers(&self, audience: &Audience) -> HeaderMap {
        if let Some(provider) = &self.provider {
            return provider.to_trailers();
        }
        let mut trailers = HeaderMap::new();
        // Details that cannot be written as a header must not cost the caller its status.
        if self.to_status(audience).add_header(&mut trailers).is_err() {
            trailers.insert("grpc-status", HeaderValue::from(self.reason.code() as u16));
        }
        if self.reason == Reason::EncodingUnsupported {
            trailers.insert(encoding::ACCEPT, HeaderValue::from_static(encoding::ACCEPTED));
        }
        trailers
    }

    /// The refusal as a whole answer (gRPC's trailers-only form), with `extra` headers of the bus.
    pub(crate) fn to_response(&self, audience: &Audience, extra: HeaderMap) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        *response.headers_mut() = self.to_trailers(audience);
        response.headers_mut().insert(h::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        response.headers_mut().extend(extra);
        response
    }

    fn message(&self) -> String {
        let text = self.reason.english();
        match self.violations.as_slice() {
            [] => text.to_owned(),
            all => {
                let fields: Vec<String> =
                    all.iter().map(|Violation { path, rule }| format!("`{path}` {rule}")).collect();
                format!("{text}: {}", fields.join("; "))
            }
        }
    }
}

impl ProviderStatus {
    fn to_trailers(&self) -> HeaderMap {
        let mut trailers = self.metadata.clone();
        trailers.insert("grpc-status", HeaderValue::from(u16::from(self.code)));
        if let Some(message) = &self.message {
            trailers.insert("grpc-message", message.clone());
        }
        if let Some(details) = &self.details {
            trailers.insert("grpc-status-details-bin", details.clone());
        }
        trailers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn audience(persian: bool) -> Audience {
        Audience { help: DEFAULT_HELP.into(), persian }
    }

    #[test]
    fn a_refusal_carries_reason_retry_quota_help_and_persian() {
        let refusal = Refusal::from(Reason::RateLimited)
            .retry_after(Duration::from_millis(640))
            .quota("welfare-getperson", "20 calls per second, burst 40")
            .with_detail("for the operator only");

        let status = refusal.to_status(&audience(true));

        assert_eq!(status.code(), Code::ResourceExhausted);
        let details = status.get_error_details();
        assert_eq!(details.error_info().map(|info| info.reason.as_str()), Some("RATE_LIMITED"));
        assert_eq!(details.retry_info().and_then(|info| info.retry_delay), Some(Duration::from_millis(640)));
        assert_eq!(details.quota_failure().map(|failure| failure.violations.len()), Some(1));
        assert!(details.help().is_some() && details.localized_message().is_some());
        assert_eq!(status.metadata().get("grpc-retry-pushback-ms").map(|v| v.as_bytes()), Some(&b"640"[..]));
        assert!(!format!("{status:?}").contains("operator"), "the detail is not for the caller");
    }

    #[test]
    fn a_field_violation_names_the_path_and_the_rule() {
        let refusal =
            Refusal::from(Reason::FieldInvalid).violation("national_id", "is not an Iranian national id");
        let status = refusal.to_status(&audience(false));
        assert!(
            status.message().ends_with("`national_id` is not an Iranian national id"),
            "{}",
            status.message()
        );
    }
}

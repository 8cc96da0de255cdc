//! `CallSpec` names the method that is called, and holds the metadata that is sent with the message.

use std::time::Duration;

use chapar_model::{CaseNumber, ClerkId, MemberId, MethodPath, Purpose, RequestId, header};
use chapar_transport::timeout;
use http::header::{ACCEPT_LANGUAGE, CONTENT_TYPE, TE};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::error::CallError;

/// `CallSpec` is one call without its message.
#[derive(Clone, Debug)]
pub struct CallSpec {
    /// The method.
    pub method: MethodPath,
    /// The metadata that is sent with the message.
    pub metadata: CallMetadata,
}

/// The metadata of a call (design.md, "On the wire"). What the contract or the grant does not ask for may be
/// left out.
#[derive(Clone, Debug, Default)]
pub struct CallMetadata {
    /// The purpose of the call.
    pub purpose: Option<Purpose>,
    /// The caller's file number.
    pub case: Option<CaseNumber>,
    /// The person at the keyboard.
    pub clerk: Option<ClerkId>,
    /// The member whose right is used.
    pub on_behalf_of: Option<MemberId>,
    /// The idempotency key.
    pub request_id: Option<RequestId>,
    /// The time for the whole answer, streams included. Absent: as long as the gateway allows.
    pub timeout: Option<Duration>,
    /// `accept-language` for refusals: `fa` adds the reason in Persian.
    pub language: Option<String>,
    /// The W3C trace that the call belongs to.
    pub traceparent: Option<String>,
}

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

impl CallMetadata {
    /// As the headers of a request.
    pub(crate) fn headers(&self) -> Result<HeaderMap, CallError> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        // gRPC requires `te: trailers`, by which proxies that drop trailers are found.
        headers.insert(TE, HeaderValue::from_static("trailers"));
        if let Some(time) = self.timeout {
            headers.insert(timeout::HEADER, timeout::format(time));
        }
        let bus = HeaderName::from_static;
        let texts = [
            (bus(header::PURPOSE), header::PURPOSE, self.purpose.as_ref().map(ToString::to_string)),
            (bus(header::CASE), header::CASE, self.case.as_ref().map(ToString::to_string)),
            (bus(header::CLERK), header::CLERK, self.clerk.as_ref().map(ToString::to_string)),
            (
                bus(header::ON_BEHALF_OF),
                header::ON_BEHALF_OF,
                self.on_behalf_of.as_ref().map(ToString::to_string),
            ),
            (bus(header::REQUEST_ID), header::REQUEST_ID, self.request_id.as_ref().map(ToString::to_string)),
            (ACCEPT_LANGUAGE, "accept-language", self.language.clone()),
            (TRACEPARENT, "traceparent", self.traceparent.clone()),
        ];
        for (key, name, text) in texts {
            let Some(text) = text else { continue };
            // A text that cannot be a header is an error here. Left out, the call would be made for another
            // purpose than was asked.
            headers.insert(key, HeaderValue::from_str(&text).map_err(|_| CallError::Unsendable { name })?);
        }
        Ok(headers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_given_is_sent() {
        let names = |metadata: &CallMetadata| {
            let mut names: Vec<_> =
                metadata.headers().unwrap().keys().map(|name| name.as_str().to_owned()).collect();
            names.sort();
            names.join(" ")
        };
        assert_eq!(names(&CallMetadata::default()), "content-type te");
        let all = CallMetadata {
            purpose: Some("loan.farm".parse().unwrap()),
            case: Some("1404/118".parse().unwrap()),
            clerk: Some("z.saki".parse().unwrap()),
            on_behalf_of: Some("com/agri-bank".parse().unwrap()),
            request_id: Some(RequestId::now()),
            timeout: Some(Duration::from_millis(700)),
            language: Some("fa".to_owned()),
            traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        };
        let wanted = "accept-language chapar-case chapar-clerk chapar-on-behalf-of chapar-purpose chapar-request-id \
                      content-type grpc-timeout te traceparent";
        assert_eq!(names(&all), wanted);
    }

    #[test]
    fn a_text_that_no_header_can_hold_is_named() {
        let metadata = CallMetadata { language: Some("fa\n".to_owned()), ..CallMetadata::default() };
        assert_eq!(metadata.headers().unwrap_err().to_string(), "`accept-language` takes plain ASCII text");
    }
}

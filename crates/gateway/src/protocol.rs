//! The protocols of callers: gRPC, gRPC-Web (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md>)
//! and the Connect protocol (<https://connectrpc.com/docs/protocol>), whose single calls are plain HTTP with
//! JSON. A request of the others is read as gRPC, and the answer is written back, so that pipeline, rights,
//! limits and evidence are the same for all.

mod connect;
mod error;
mod grpc_web;
mod inbound;
mod structure;

use chapar_contract::json::{self, JsonError};
use chapar_model::Reason;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version, header as h};
use prost_reflect::MessageDescriptor;
use tonic::body::Body;

use connect::Writer;
pub(crate) use error::take_status;
pub(crate) use inbound::{BoxError, RequestStream, Rest, Unreadable};
pub(crate) use structure::{from_struct, to_struct};

/// How the messages of a call are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Codec {
    /// protobuf's JSON mapping.
    Json,
    /// protobuf's wire format.
    Proto,
}

/// The protocol of one request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Protocol {
    Grpc,
    GrpcWeb,
    /// A single call of the Connect protocol: the body is the message.
    ConnectUnary(Codec),
    /// Messages in envelopes.
    ConnectStream(Codec),
}

/// The types of a method, as the contract in force has them.
#[derive(Clone, Debug)]
pub(crate) struct Types {
    pub(crate) input: MessageDescriptor,
    pub(crate) output: MessageDescriptor,
    pub(crate) streams_requests: bool,
    pub(crate) streams_responses: bool,
    /// Maximum size of a request in bytes.
    pub(crate) limit: usize,
    /// Whether the order of a map's entries matters, as it does to whoever compares or hashes the request's
    /// bytes.
    pub(crate) is_ordered: bool,
}

/// The type of the messages of an answer that goes out as JSON, and in which form.
#[derive(Clone, Debug)]
pub(crate) enum AnsweredInJson {
    /// As text.
    Text(MessageDescriptor),
    /// In a `google.protobuf.Struct`.
    Struct(MessageDescriptor),
}

impl AnsweredInJson {
    /// Whether a message can be written so: what JSON has no form for must be found before it counts as
    /// disclosed.
    ///
    /// # Errors
    /// [`JsonError`] if not.
    pub(crate) fn check(&self, message: &[u8]) -> Result<(), JsonError> {
        match self {
            Self::Text(output) => json::to_json(output, message).map(drop),
            Self::Struct(output) => to_struct(output, message).map(drop),
        }
    }
}

/// Headers of HTTP, and of the Connect protocol, that mean nothing to a call.
const HTTP_HEADERS: [&str; 12] = [
    "accept",
    "accept-encoding",
    "connect-accept-encoding",
    "connect-content-encoding",
    "connect-protocol-version",
    "content-encoding",
    "content-length",
    "cookie",
    "origin",
    "referer",
    "x-grpc-web",
    "x-user-agent",
];
/// Headers of gRPC that a call of the Connect protocol does not have.
const GRPC_HEADERS: [&str; 3] = ["grpc-accept-encoding", "grpc-encoding", "grpc-timeout"];
const CONNECT_TIMEOUT: &str = "connect-timeout-ms";
/// Longest value of the above, in digits (Connect protocol, "Unary-Request").
const TIMEOUT_DIGITS: usize = 10;

impl Protocol {
    /// The protocol of a request.
    ///
    /// # Errors
    /// A plain HTTP error response, if the request uses none of these protocols.
    pub(crate) fn of<B>(request: &Request<B>) -> Result<Self, Box<Response<Body>>> {
        let mut content_types = request.headers().get_all(h::CONTENT_TYPE).iter();
        // Names of media types know no case (RFC 9110 §8.3.1).
        let content_type = content_types.next().map(HeaderValue::as_bytes).map(media_type);
        let content_type = content_type.map(<[u8]>::to_ascii_lowercase);
        // RFC 9113 §8.3.1: `host` and `:authority` name one place. Two of a kind, and two readers may take
        // one each.
        let authority = request.uri().authority().map(|authority| authority.as_str().as_bytes());
        let hosts = || request.headers().get_all(h::HOST).iter();
        let is_http2 = request.version() == Version::HTTP_2;
        let is_ambiguous = content_types.next().is_some()
            || hosts().any(|host| {
                authority.is_some_and(|authority| !host.as_bytes().eq_ignore_ascii_case(authority))
            })
            // RFC 9112 §3.2.
            || (!is_http2 && hosts().count() != 1);
        if request.method() != Method::POST {
            // Also GET, which the Connect protocol knows: its requests stand in addresses, and so in logs.
            let mut refused = plain(StatusCode::METHOD_NOT_ALLOWED, "a call is a POST");
            refused.headers_mut().insert(h::ALLOW, HeaderValue::from_static("POST"));
            return Err(Box::new(refused));
        }
        if is_ambiguous {
            return Err(Box::new(plain(StatusCode::BAD_REQUEST, "host or content-type is ambiguous")));
        }
        match content_type.as_deref() {
            Some(b"application/grpc" | b"application/grpc+proto") if is_http2 => Ok(Self::Grpc),
            Some(b"application/grpc" | b"application/grpc+proto") => {
                Err(Box::new(plain(StatusCode::HTTP_VERSION_NOT_SUPPORTED, "gRPC needs HTTP/2")))
            }
            Some(b"application/grpc-web" | b"application/grpc-web+proto") => Ok(Self::GrpcWeb),
            Some(b"application/json") => Ok(Self::ConnectUnary(Codec::Json)),
            Some(b"application/proto") => Ok(Self::ConnectUnary(Codec::Proto)),
            Some(b"application/connect+json") => Ok(Self::ConnectStream(Codec::Json)),
            Some(b"application/connect+proto") => Ok(Self::ConnectStream(Codec::Proto)),
            _ => Err(Box::new(plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, ACCEPTED))),
        }
    }

    /// Makes the headers of the request gRPC's. Gives what cannot be served of the form that they ask for.
    pub(crate) fn translate(self, headers: &mut HeaderMap) -> Option<Misfit> {
        let encoding = match self {
            Self::ConnectStream(_) => "connect-content-encoding",
            _ => "content-encoding",
        };
        let is = |name: &str, value: &str| headers.get(name).is_none_or(|given| given == value);
        let is_connect = self != Self::GrpcWeb;
        // Two timeouts are ambiguous, and gRPC-Web has its own header.
        let mut waits = headers.get_all(CONNECT_TIMEOUT).iter().filter(|_| is_connect);
        let timeout = match (waits.next(), waits.next()) {
            (None, _) => Ok(None),
            (Some(wait), None) => timeout(wait).map(Some).ok_or(()),
            (Some(_), Some(_)) => Err(()),
        };
        let unsupported = Reason::EncodingUnsupported;
        let misfit = if !is(encoding, "identity") {
            Some((unsupported, encoding, "must be identity: bodies are not compressed"))
        } else if !is("connect-protocol-version", "1") {
            Some((unsupported, "connect-protocol-version", "must be 1"))
        } else if timeout.is_err() {
            Some((Reason::RequestMalformed, CONNECT_TIMEOUT, "must be one number of 1 to 10 digits"))
        } else {
            None
        };
        // Browsers add these to every request, and an agency must not get them as metadata of the call.
        let fetch: Vec<HeaderName> =
            headers.keys().filter(|name| name.as_str().starts_with("sec-")).cloned().collect();
        let grpc = GRPC_HEADERS.into_iter().filter(|_| is_connect);
        for name in HTTP_HEADERS.into_iter().chain(grpc).chain([CONNECT_TIMEOUT]) {
            headers.remove(name);
        }
        for name in fetch {
            headers.remove(name);
        }
        if let Ok(Some(timeout)) = timeout {
            headers.insert("grpc-timeout", timeout);
        }
        misfit
    }

    /// The body of the request as gRPC frames. An unsupported form fails when the body is first read, which
    /// is after authorization, so that it does not reveal a hidden method.
    pub(crate) fn frames(
        self,
        body: Rest,
        types: Option<&Types>,
        misfit: Option<Misfit>,
        limit: usize,
    ) -> RequestStream {
        let (codec, is_enveloped) = match self {
            Self::Grpc | Self::GrpcWeb => return RequestStream::Web(body),
            Self::ConnectUnary(codec) => (codec, false),
            Self::ConnectStream(codec) => (codec, true),
        };
        // Nobody reads the request of a method that is not known; those of reflection are for gRPC.
        let misfit = misfit.or_else(|| types.and_then(|types| self.misfit(types)));
        match (misfit, types) {
            (None, Some(types)) => {
                RequestStream::connect(body, codec, is_enveloped, types, limit.min(types.limit))
            }
            (misfit, _) => {
                let (reason, name, rule) =
                    misfit.unwrap_or((Reason::EncodingUnsupported, CONTENT_TYPE, "of gRPC is needed"));
                RequestStream::unreadable(Unreadable { reason, field: Some((name.to_owned(), rule)) })
            }
        }
    }

    /// Why a method of these types cannot be called so.
    fn misfit(self, types: &Types) -> Option<Misfit> {
        let rule = match self {
            Self::Grpc | Self::GrpcWeb => return None,
            _ if types.streams_requests => "of gRPC is needed: the method takes a stream",
            Self::ConnectUnary(_) if types.streams_responses => {
                "must be application/connect+json or application/connect+proto: the method answers with a stream"
            }
            Self::ConnectStream(_) if !types.streams_responses => {
                "must be application/json or application/proto: the method answers with one message"
            }
            Self::ConnectUnary(_) | Self::ConnectStream(_) => return None,
        };
        Some((Reason::EncodingUnsupported, CONTENT_TYPE, rule))
    }

    /// Writes a gRPC answer in this protocol. `output`: the type of its messages, if the method is known.
    pub(crate) async fn answer(
        self,
        response: Response<Body>,
        output: Option<MessageDescriptor>,
        limit: usize,
    ) -> Response<Body> {
        match self {
            Self::Grpc => response,
            Self::GrpcWeb => grpc_web::answer(response),
            Self::ConnectUnary(codec) => Writer { codec, output, limit }.unary(response).await,
            Self::ConnectStream(codec) => Writer { codec, output, limit }.stream(response),
        }
    }

    /// Whether the caller is answered in JSON.
    pub(crate) fn is_json(self) -> bool {
        matches!(self, Self::ConnectUnary(Codec::Json) | Self::ConnectStream(Codec::Json))
    }
}

/// Why a request cannot be served in its form: the reason, a header, and what its value must be.
pub(crate) type Misfit = (Reason, &'static str, &'static str);

const CONTENT_TYPE: &str = "content-type";
const ACCEPTED: &str = "a call's content-type is application/grpc, application/grpc-web+proto, application/json, \
                        application/proto, application/connect+json or application/connect+proto";

/// A media type without its parameters (RFC 9110 §8.3.1), such as `charset=utf-8`.
fn media_type(value: &[u8]) -> &[u8] {
    value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii()
}

/// `connect-timeout-ms` as `grpc-timeout`.
fn timeout(value: &HeaderValue) -> Option<HeaderValue> {
    let digits = value.to_str().ok()?;
    let is_number =
        (1..=TIMEOUT_DIGITS).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    let millis: u64 = is_number.then(|| digits.parse().ok()).flatten()?;
    // A gRPC timeout has 8 digits at most (gRPC over HTTP/2, "Requests").
    let text = if millis < 100_000_000 { format!("{millis}m") } else { format!("{}S", millis / 1000) };
    HeaderValue::from_str(&text).ok()
}

/// An answer in HTTP's own words.
pub(crate) fn plain(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::new(http_body_util::Full::from(format!("{text}\n"))));
    *response.status_mut() = status;
    response.headers_mut().insert(h::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(method: Method, headers: &[(&str, &str)]) -> Result<Protocol, u16> {
        let mut request = Request::builder().method(method).version(Version::HTTP_2).uri("https://a/s/M");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Protocol::of(&request.body(()).unwrap()).map_err(|response| response.status().as_u16())
    }

    #[test]
    fn each_content_type_is_one_protocol_and_anything_else_is_answered_by_http() {
        let json = Ok(Protocol::ConnectUnary(Codec::Json));
        for (content_type, expected) in [
            ("application/grpc", Ok(Protocol::Grpc)),
            ("application/grpc+proto", Ok(Protocol::Grpc)),
            ("application/grpc-web+proto", Ok(Protocol::GrpcWeb)),
            ("application/json", json),
            ("application/json; charset=utf-8", json),
            ("Application/JSON", json),
            ("application/proto", Ok(Protocol::ConnectUnary(Codec::Proto))),
            ("application/connect+json", Ok(Protocol::ConnectStream(Codec::Json))),
            ("application/grpc+json", Err(415)),
            ("application/grpc-web-text", Err(415)),
            ("application/x-www-form-urlencoded", Err(415)),
            ("application/jsonp", Err(415)),
        ] {
            assert_eq!(status(Method::POST, &[("content-type", content_type)]), expected, "{content_type}");
        }
        assert_eq!(status(Method::GET, &[("content-type", "application/json")]), Err(405));
        assert_eq!(status(Method::POST, &[]), Err(415));
        let twice = [("content-type", "application/json"), ("content-type", "application/grpc")];
        assert_eq!(status(Method::POST, &twice), Err(400));
        assert_eq!(status(Method::POST, &[("content-type", "application/json"), ("host", "b")]), Err(400));
        let http1 = |hosts: &[&str]| {
            let mut request = Request::post("/s/M").header("content-type", "application/json");
            for host in hosts {
                request = request.header("host", *host);
            }
            Protocol::of(&request.body(()).unwrap()).map_err(|response| response.status().as_u16())
        };
        assert_eq!([http1(&["a"]), http1(&[]), http1(&["a", "a"])], [json, Err(400), Err(400)]);
    }

    #[test]
    fn a_timeout_is_translated_and_what_is_none_is_refused() {
        let translated = |value: &'static str| {
            let mut headers = HeaderMap::from_iter([
                (HeaderName::from_static(CONNECT_TIMEOUT), HeaderValue::from_static(value)),
                (h::COOKIE, HeaderValue::from_static("session")),
            ]);
            let misfit = Protocol::ConnectUnary(Codec::Json).translate(&mut headers);
            let timeout = headers.get("grpc-timeout").map(|timeout| timeout.to_str().unwrap().to_owned());
            assert_eq!((misfit.is_some(), headers.contains_key(h::COOKIE)), (timeout.is_none(), false));
            timeout
        };
        for (value, expected) in [
            ("250", Some("250m")),
            ("99999999", Some("99999999m")),
            ("9999999999", Some("9999999S")),
            ("", None),
            ("-1", None),
            ("1.5", None),
            ("12345678901", None),
        ] {
            assert_eq!(translated(value).as_deref(), expected, "{value}");
        }
    }
}

//! This module loads `server` and `metadata` of a `[[service]]`: which metadata may pass to and from an
//! agency's own gRPC server.

use super::{File, Loader};
use crate::entry::{PassedMetadata, Server};
use crate::finding::Kind;
use crate::raw::{self, Text};

/// Names by which proxies and meshes tell who is calling. Identity comes from the certificate of a connection
/// and never from a caller's header, so none of them can be passed on.
const IDENTITY: &[&str] = &[
    "authorization",
    "proxy-authorization",
    "cookie",
    "forwarded",
    "via",
    "from",
    "x-real-ip",
    "x-client-ip",
    "x-agency-id",
    "x-user-id",
    "x-remote-user",
    "remote-user",
    "x-spiffe-id",
    "x-ssl-cert",
    "ssl-client-cert",
    "x-tls-client-cert",
];

/// Prefixes of identity headers, and of headers that the bus, gRPC and HTTP set themselves.
const RESERVED_PREFIXES: &[&str] = &[
    "chapar-",
    "chapar_",
    "grpc-",
    "x-forwarded-",
    "x-envoy-",
    "x-client-cert",
    "x-ssl-client",
    "x-auth-",
    "l5d-",
    "x-linkerd-",
    "x-amzn-",
    "x-goog-",
];

/// Names that gRPC, HTTP/2 and tracing use on each hop.
const OF_THE_HOP: &[&str] = &[
    "content-type",
    "content-length",
    "te",
    "host",
    "connection",
    "keep-alive",
    "proxy-connection",
    "transfer-encoding",
    "upgrade",
    "trailer",
    "user-agent",
    "accept-encoding",
    "content-encoding",
    "traceparent",
    "tracestate",
    "baggage",
];

impl Loader<'_> {
    pub(super) fn server(&mut self, file: &File, service: &raw::Service) -> Server {
        let passed = |draft: &mut Self, names: &[Text]| {
            names.iter().filter_map(|name| draft.metadata_name(file, name)).collect::<Vec<_>>()
        };
        // The names are checked whatever the kind of server is, so that all errors show in one load.
        let metadata = PassedMetadata {
            request: passed(self, &service.metadata.request),
            response: passed(self, &service.metadata.response),
        };
        match service.server.as_ref().map(|server| (server, server.get_ref().as_str())) {
            // Only an agency's own server is passed metadata. An adapter answers from SQL and reads none.
            Some((_, "grpc")) => return Server::Grpc(metadata),
            None | Some((_, "adapter")) => {}
            Some((written, other)) => {
                let message = format!("`{other}` is no kind of server");
                let finding = self.findings.at(&file.source, written.span(), Kind::Malformed, message);
                finding
                    .label("not one of: adapter, grpc".to_owned())
                    .suggest(other, ["adapter", "grpc"].into_iter());
            }
        }
        // Refused and not ignored, so that nobody relies on metadata that never arrives.
        if let Some(name) = service.metadata.request.iter().chain(&service.metadata.response).next() {
            self.malformed(
                &file.source,
                name.span(),
                "an adapter has no metadata of its own: this is for `server = \"grpc\"`",
            );
        }
        Server::Adapter
    }

    /// The name, if it may be passed on.
    fn metadata_name(&mut self, file: &File, written: &Text) -> Option<String> {
        let name = written.get_ref();
        let well_formed = !name.is_empty()
            && name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.'));
        let problem = if !well_formed {
            "a name of metadata has letters `a-z`, digits, `-`, `_` and `.`"
        } else if reserved(name) {
            "this name is the bus's, gRPC's or HTTP's own, or tells who is calling: it is never passed on"
        } else {
            return Some(name.clone());
        };
        self.malformed(&file.source, written.span(), problem);
        None
    }
}

/// Whether a name may never be passed on. `_` counts as `-`, because servers treat both alike, and a suffix
/// `-bin` is ignored.
fn reserved(name: &str) -> bool {
    let name = name.replace('_', "-");
    let name = name.strip_suffix("-bin").unwrap_or(&name);
    // Prefixes are compared without their hyphen, so that `grpc` or `x-auth` alone is reserved as well.
    IDENTITY.contains(&name)
        || OF_THE_HOP.contains(&name)
        || RESERVED_PREFIXES.iter().any(|prefix| name.starts_with(prefix.trim_end_matches('-')))
}

#[cfg(test)]
mod tests {
    use super::reserved;

    #[test]
    fn names_that_tell_who_is_calling_are_never_passed_on_however_they_are_spelled() {
        for name in [
            "authorization",
            "x-forwarded-client-cert",
            "x_forwarded_for",
            "forwarded",
            "forwarded-bin",
            "x-agency-id",
            "x_agency_id",
            "l5d-client-id",
            "chapar-caller",
            "chapar_caller-bin",
            "grpc-timeout",
            "traceparent",
            "te",
        ] {
            assert!(reserved(name), "{name}");
        }
        for name in ["x-grpc-test-echo-initial", "x-grpc-test-echo-trailing-bin", "page-hint", "x-region"] {
            assert!(!reserved(name), "{name}");
        }
    }
}

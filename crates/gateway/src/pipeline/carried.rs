//! This module passes metadata that the registry names, encodings, and the server's status between a caller
//! and an agency's own gRPC server. To and from an adapter no metadata passes, and an adapter's status is
//! never passed on as it is.

use chapar_registry::Server;
use chapar_transport::encoding::{self, Encoding, Unsupported};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::refusal::{ProviderStatus, Refusal};

/// What a caller's headers bring for the server.
pub(super) struct FromCaller {
    /// How the caller's compressed messages are packed.
    pub(super) encoding: Option<Encoding>,
    /// How those messages are compressed again for the server; an adapter takes them plain.
    pub(super) encoding_to_server: Option<Encoding>,
    headers: HeaderMap,
}

impl FromCaller {
    /// Reads a call's headers.
    ///
    /// # Errors
    /// [`Unsupported`], for whatever kind of server: no message could be looked into.
    pub(super) fn read(headers: &HeaderMap, server: &Server) -> Result<Self, Unsupported> {
        let encoding =
            headers.get(encoding::HEADER).map_or(Ok(None), |value| Encoding::parse(value.as_bytes()))?;
        let Server::Grpc(passed) = server else {
            return Ok(Self { encoding, encoding_to_server: None, headers: HeaderMap::new() });
        };
        let mut carried = named(headers, &passed.request);
        if let Some(encoding) = encoding {
            carried.insert(encoding::HEADER, HeaderValue::from_static(encoding.as_str()));
        }
        if let Some(accepted) = accepted(headers) {
            carried.insert(encoding::ACCEPT, accepted);
        }
        Ok(Self { encoding, encoding_to_server: encoding, headers: carried })
    }

    /// Adds the metadata that may pass to the headers of the request to the server.
    pub(super) fn add_to(&self, headers: &mut HeaderMap) {
        headers.extend(self.headers.iter().map(|(name, value)| (name.clone(), value.clone())));
    }
}

/// Those of the caller's encodings that the gateway can look into: the server must not choose another.
fn accepted(headers: &HeaderMap) -> Option<HeaderValue> {
    let text = headers.get(encoding::ACCEPT)?.to_str().ok()?;
    let known = text.split(',').map(str::trim).filter(|name| Encoding::parse(name.as_bytes()).is_ok());
    HeaderValue::from_str(&known.collect::<Vec<_>>().join(",")).ok().filter(|list| !list.is_empty())
}

/// What a server's headers or trailers bring for the caller.
pub(super) fn from_server(headers: &HeaderMap, server: &Server) -> HeaderMap {
    match server {
        Server::Adapter => HeaderMap::new(),
        Server::Grpc(passed) => named(headers, &passed.response),
    }
}

/// The end that the server's own status makes of a call; nothing if it says OK, or nothing that is a status.
pub(super) fn status(trailers: &HeaderMap, server: &Server) -> Option<Refusal> {
    let code = trailers.get("grpc-status")?.to_str().ok()?.parse::<u32>().ok().filter(|code| *code > 0)?;
    Some(Refusal::provider(ProviderStatus {
        // Codes that gRPC does not know are UNKNOWN (gRPC, "Status codes and their use").
        code: u8::try_from(code).ok().filter(|code| *code <= 16).unwrap_or(2),
        message: trailers.get("grpc-message").cloned(),
        details: trailers.get("grpc-status-details-bin").cloned(),
        metadata: from_server(trailers, server),
    }))
}

/// Returns all values of the names that may pass.
fn named(headers: &HeaderMap, names: &[String]) -> HeaderMap {
    let mut found = HeaderMap::new();
    for name in names {
        let Ok(key) = HeaderName::from_bytes(name.as_bytes()) else { continue };
        for value in headers.get_all(&key) {
            found.append(key.clone(), value.clone());
        }
    }
    found
}

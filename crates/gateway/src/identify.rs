//! The step *identify* maps a connection's client certificate to the registered subsystem. The check runs for
//! every request, because the registry, a revocation list or the clock may have moved on since the handshake.
//! A connection whose certificate is no longer valid (`CertificateStatus`) is also asked to close.

use std::sync::Arc;

use chapar_model::Reason;
use chapar_registry::{Registry, Subsystem};
use chapar_transport::{CertificateStatus, Peer};

use crate::refusal::Refusal;

/// Returns the subsystem at the other end of the connection.
pub(crate) fn identify(registry: &Registry, peer: &Peer) -> Result<Arc<Subsystem>, Refusal> {
    let identity = peer
        .identity
        .as_ref()
        .map_err(|error| Refusal::from(Reason::IdentityAmbiguous).with_detail(error.to_string()))?;
    peer.certificate_status().map_err(|status| {
        // The connection is closed as well, so that a peer whose certificate is no longer valid does not keep
        // its slot.
        peer.leave();
        let reason = match status {
            CertificateStatus::Revoked => Reason::CertificateRevoked,
            CertificateStatus::Expired => Reason::CertificateExpired,
            CertificateStatus::Untrusted => Reason::IssuerNotAllowed,
        };
        Refusal::from(reason).with_detail(status.to_string())
    })?;
    registry.identify(identity, &peer.issuer_spki_sha256).map_err(Refusal::from)
}

//! Identify: the client certificate of the connection → the registered subsystem. Asked again for every request, so that a
//! registry or a clock that has moved on is heard on a connection that was opened long ago.

use std::sync::Arc;

use chapar_model::{Clock, Reason};
use chapar_registry::{Registry, Subsystem};
use chapar_transport::Peer;

use crate::refusal::Refusal;

/// Who is at the other end of the connection.
pub(crate) fn identify(registry: &Registry, clock: &Clock, peer: &Peer) -> Result<Arc<Subsystem>, Refusal> {
    let identity =
        peer.identity.as_ref().map_err(|error| Refusal::from(Reason::IdentityAmbiguous).because(error.to_string()))?;
    if clock.now() > peer.not_after {
        return Err(Reason::CertificateExpired.into());
    }
    registry.identify(identity, &peer.issuer_spki_sha256).map_err(Refusal::from)
}

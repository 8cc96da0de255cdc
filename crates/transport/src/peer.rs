//! `Peer` holds the SPIFFE ID of a peer's verified certificate, and `CertificateStatus` says why that
//! certificate is no longer valid. Authorization is left out.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use chapar_model::{Clock, Identity, show_sha256};
use jiff::Timestamp;
use rustls::CertificateError;
use rustls_pki_types::{CertificateDer, UnixTime};
use tokio_util::sync::CancellationToken;
use webpki::KeyUsage;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::dial::jitter;
use crate::identity::{IdentityError, identity};
use crate::tls::{ServerTls, Trust};

/// Maximum time after a reload until a connection verifies its peer again by itself.
const REJUDGE_SPREAD: Duration = Duration::from_millis(1500);

/// Why a certificate that once was good is so no longer.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CertificateStatus {
    /// Its issuer, or the issuer of an intermediate, has revoked it.
    #[error("the certificate has been revoked")]
    Revoked,
    /// Its time, or an intermediate's, is over.
    #[error("the certificate is not valid at this time")]
    Expired,
    /// It has no valid chain to a trusted CA any more, or there is no current revocation list for it.
    #[error("the certificate's issuer is no longer trusted")]
    Untrusted,
}

/// The peer of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The one SPIFFE ID in the certificate's URI names; its common name and other names say nothing.
    pub identity: Result<Identity, IdentityError>,
    /// SHA-256 of the DER SubjectPublicKeyInfo of the CA that signed the certificate, as path validation
    /// found it.
    pub issuer_spki_sha256: [u8; 32],
    /// The certificate's serial number, as encoded.
    pub serial: Vec<u8>,
    /// When the certificate ends.
    pub not_after: Timestamp,
    /// Where the connection comes from.
    pub remote: SocketAddr,
    clock: Clock,
    judge: Option<Arc<Judge>>,
    leave: CancellationToken,
    /// Whether a refusal of this peer was logged.
    refusal_is_logged: Arc<AtomicBool>,
}

impl Peer {
    /// Reads a chain that the handshake has verified, leaf first. Nothing if the chain does not verify.
    pub(crate) fn read(
        chain: &[CertificateDer<'_>],
        tls: &ServerTls,
        clock: &Clock,
        remote: SocketAddr,
        leave: CancellationToken,
    ) -> Option<Self> {
        let (leaf, intermediates) = chain.split_first()?;
        let state = tls.state();
        let issuer_spki_sha256 =
            state.trust.verify(leaf, intermediates, time(clock), KeyUsage::client_auth()).ok()?;
        let (_, certificate) = X509Certificate::from_der(leaf).ok()?;
        // The judge keeps the whole chain, because a later revocation may be of an intermediate.
        let judge = Judge::new(tls.clone(), chain, &state, clock)?;
        Some(Self {
            identity: identity(&certificate),
            issuer_spki_sha256,
            serial: certificate.raw_serial().to_vec(),
            not_after: end_of(&certificate),
            remote,
            clock: clock.clone(),
            judge: Some(Arc::new(judge)),
            leave,
            refusal_is_logged: Arc::default(),
        })
    }

    /// The server at the other end of a connection that was dialled, whose chain the handshake has verified.
    /// Its standing is its own certificate's time only, and who issued it is not known: `issuer_spki_sha256`
    /// is zero. Nothing if the certificate cannot be read.
    pub fn dialled(leaf: &CertificateDer<'_>, clock: &Clock, remote: SocketAddr) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(leaf).ok()?;
        let mut peer = Self::known(identity(&certificate), end_of(&certificate), clock, remote);
        peer.serial = certificate.raw_serial().to_vec();
        Some(peer)
    }

    /// A peer that is known by other means than a certificate, as where a test stands in for the connection.
    pub fn known(
        identity: Result<Identity, IdentityError>,
        not_after: Timestamp,
        clock: &Clock,
        remote: SocketAddr,
    ) -> Self {
        Self {
            identity,
            issuer_spki_sha256: [0; 32],
            serial: Vec::new(),
            not_after,
            remote,
            clock: clock.clone(),
            judge: None,
            leave: CancellationToken::new(),
            refusal_is_logged: Arc::default(),
        }
    }

    /// Whether the connection was made by this side: then the handshake has held the peer to the CAs that may
    /// speak for it.
    pub fn was_dialled(&self) -> bool {
        self.judge.is_none()
    }

    /// Checks whether the certificate is still valid. It is called for every call, so it is cheap: the chain
    /// is verified again only after a reload of the TLS files, or when a certificate or list of the last
    /// verdict has expired.
    ///
    /// # Errors
    /// [`CertificateStatus`], saying why not.
    pub fn certificate_status(&self) -> Result<(), CertificateStatus> {
        let now = self.clock.now();
        // The date of the leaf is compared for every call: it costs no verification, and a reload does not
        // change it.
        if now > self.not_after {
            return Err(CertificateStatus::Expired);
        }
        self.judge.as_ref().map_or(Ok(()), |judge| judge.verdict(now.as_second()))
    }

    /// Logs that this peer is refused, with its identity, its issuer and its address: once for a connection,
    /// so that a peer that goes on asking does not fill the log.
    pub fn log_refusal(&self, reason: &str) {
        if self.refusal_is_logged.swap(true, Ordering::Relaxed) {
            return;
        }
        let identity = self.identity.as_ref().map_or_else(ToString::to_string, ToString::to_string);
        // Of a peer that was dialled the issuer is not known here: its handshake was held to the right ones.
        let issuer = (!self.was_dialled()).then(|| show_sha256(&self.issuer_spki_sha256));
        let remote = self.remote;
        tracing::warn!(identity, issuer, %remote, reason, "a peer is refused for its identity");
    }

    /// Asks the connection to end in good order: no new call is taken, and running ones may finish for a
    /// while.
    pub fn leave(&self) {
        self.leave.cancel();
    }

    /// Ends once the connection was asked to end, by [`Peer::leave`] or because of a reload after which the
    /// certificate no longer holds.
    pub(crate) async fn left(&self) {
        let Some(judge) = &self.judge else { return self.leave.cancelled().await };
        let mut changes = judge.tls.changes();
        loop {
            let changed = self.leave.run_until_cancelled(async {
                if changes.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
                // A reload wakes all connections at once. Each waits for a random time, so that they do not
                // verify their chains in the same moment.
                tokio::time::sleep(REJUDGE_SPREAD.mul_f64(jitter::half_to_one())).await;
            });
            if changed.await.is_none() || self.certificate_status().is_err() {
                return;
            }
        }
    }
}

/// Judges a chain again when there is reason to.
struct Judge {
    tls: ServerTls,
    chain: Vec<CertificateDer<'static>>,
    /// When each certificate of the chain ends, in seconds since 1970.
    ends: Vec<i64>,
    last: ArcSwap<Verdict>,
}

struct Verdict {
    generation: u64,
    /// Until when it stands, in seconds since 1970.
    until: i64,
    status: Result<(), CertificateStatus>,
}

impl Judge {
    fn new(
        tls: ServerTls,
        chain: &[CertificateDer<'_>],
        state: &crate::tls::LoadedTls,
        clock: &Clock,
    ) -> Option<Self> {
        let end = |certificate: &CertificateDer<'_>| {
            X509Certificate::from_der(certificate).ok().map(|(_, read)| read.validity().not_after.timestamp())
        };
        // A certificate that cannot be parsed ends the connection, because its end could not be judged later.
        let ends = chain.iter().map(end).collect::<Option<Vec<_>>>()?;
        let until = until(&ends, &state.trust, clock.now().as_second());
        let last = ArcSwap::from_pointee(Verdict { generation: state.generation, until, status: Ok(()) });
        let chain = chain.iter().map(|certificate| certificate.clone().into_owned()).collect();
        Some(Self { tls, chain, ends, last })
    }

    fn verdict(&self, now: i64) -> Result<(), CertificateStatus> {
        // The generation and the list are taken from one state, so that a verdict is never stored for a state
        // by which it was not made.
        let state = self.tls.state();
        let last = self.last.load();
        if last.generation == state.generation && now <= last.until {
            return last.status;
        }
        let status = match self.chain.split_first() {
            None => Err(CertificateStatus::Untrusted),
            Some((leaf, intermediates)) => {
                match state.trust.verify(leaf, intermediates, unix(now), KeyUsage::client_auth()) {
                    Ok(_) => Ok(()),
                    Err(CertificateError::Revoked) => Err(CertificateStatus::Revoked),
                    Err(
                        CertificateError::Expired
                        | CertificateError::ExpiredContext { .. }
                        | CertificateError::NotValidYet
                        | CertificateError::NotValidYetContext { .. },
                    ) => Err(CertificateStatus::Expired),
                    Err(_) => Err(CertificateStatus::Untrusted),
                }
            }
        };
        // The verdict is kept until it can change by time alone, so that a busy connection does not verify a
        // chain for each call.
        let until = until(&self.ends, &state.trust, now);
        self.last.store(Arc::new(Verdict { generation: state.generation, until, status }));
        status
    }
}

impl std::fmt::Debug for Judge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Judge").field("status", &self.last.load().status).finish_non_exhaustive()
    }
}

/// When next a verdict may change by time alone.
fn until(ends: &[i64], trust: &Trust, now: i64) -> i64 {
    ends.iter().copied().filter(|end| *end >= now).min().unwrap_or(i64::MAX).min(trust.next_change(now))
}

fn time(clock: &Clock) -> UnixTime {
    unix(clock.now().as_second())
}

fn unix(seconds: i64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(seconds.unsigned_abs()))
}

/// When a certificate ends. One without an end (`99991231235959Z`, RFC 5280 §4.1.2.5) ends some hours after
/// the last moment that the library of times has; then that moment is taken.
fn end_of(certificate: &X509Certificate<'_>) -> Timestamp {
    Timestamp::from_second(certificate.validity().not_after.timestamp()).unwrap_or(Timestamp::MAX)
}

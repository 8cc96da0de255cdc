//! `GatewayConnection` keeps one reverse connection to a gateway: it connects, serves, and reconnects with
//! exponential backoff and jitter.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chapar_model::Clock;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::service::Service;
use rustls_pki_types::{CertificateDer, UnixTime};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::hearing::{Heard, Hearing};
use super::{PROTOCOL, ReverseTls, Settings};
use crate::dial::connect::Endpoint;
use crate::dial::jitter;
use crate::peer::Peer;
use crate::serve::{self, serve_connection};

/// Lifetime from which a connection counts as good. After a good connection the back-off starts with the
/// first pause again.
const STABLE_AFTER: Duration = Duration::from_secs(5);
/// Message for a connection that the gateway closed at once. A gateway gives no reason to a peer that it does
/// not know, so the message names the possible ones.
const REFUSED_BY_GATEWAY: &str = "the gateway closed the connection at once: its registry names no adapter \
                                  with the identity and the issuer of this certificate, or the gateway is \
                                  stopping";
/// Beginning of rustls's error for a TLS alert of the peer, e.g. about this side's certificate (RFC 8446
/// §6.2).
const TLS_ALERT_PREFIX: &str = "received fatal alert";

/// `GatewayConnection` is where one connection goes, and what it shares with the others.
pub(super) struct GatewayConnection<'a> {
    pub(super) gateway: &'a Endpoint,
    pub(super) settings: &'a Settings,
    pub(super) serving: &'a Arc<serve::Settings>,
    pub(super) tls: watch::Receiver<Arc<ReverseTls>>,
    pub(super) heard: &'a watch::Sender<bool>,
    pub(super) stop: &'a CancellationToken,
}

impl GatewayConnection<'_> {
    /// Connects, serves, and reconnects, until the stop.
    pub(super) async fn keep<S, B>(mut self, service: &S, serving: &TaskTracker, cut: &CancellationToken)
    where
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let mut pauses = Pauses::default();
        // Ends the connection of an earlier certificate, which serves until its successor is taken.
        let mut old: Option<OldConnection> = None;
        while !self.stop.is_cancelled() {
            let began = Instant::now();
            let heard = Heard::default();
            // A child token: the stop ends every connection, and a renewal ends this one alone.
            let end = self.stop.child_token();
            let hearing =
                Hearing { service: service.clone(), here: heard.clone(), anywhere: self.heard.clone() };
            let mut good = false;
            match self.stop.clone().run_until_cancelled(self.open(hearing, end.clone())).await {
                None => return,
                Some(Ok((connection, chain))) => {
                    let cut = cut.clone();
                    let connection =
                        serving.spawn(async move { cut.run_until_cancelled(connection).await.flatten() });
                    match self.attend(connection, &heard, &mut old).await {
                        Next::Ended(why) if !heard.joined.is_cancelled() && !self.stop.is_cancelled() => {
                            let alert = why.filter(|why| why.contains(TLS_ALERT_PREFIX));
                            let gateway = self.gateway.authority();
                            let problem = alert.as_deref().unwrap_or(REFUSED_BY_GATEWAY);
                            tracing::warn!(
                                %gateway, problem,
                                "the gateway refused this adapter, which will reconnect with backoff"
                            );
                        }
                        Next::Ended(_) => good = began.elapsed() >= STABLE_AFTER,
                        Next::Leaving => good = true,
                        Next::Renewed => {
                            good = true;
                            // A connection that no gateway has accepted serves nothing, so it is closed
                            // without waiting for a successor.
                            if heard.joined.is_cancelled() {
                                let older = old.replace(OldConnection { end, chain });
                                older.into_iter().for_each(|older| older.end.cancel());
                            } else {
                                end.cancel();
                            }
                            // The gateway may have been revoked, or its CA dropped. Then a connection that it
                            // holds must not go on serving it, whether or not another one can be made.
                            if let Some(refused) = old.take_if(|old| !self.accepts(&old.chain)) {
                                refused.end.cancel();
                            }
                        }
                    }
                }
                Some(Err(problem)) => self.failed(&problem, pauses.failures),
            }
            // The pause also follows a good connection: gateways that restart together must not be dialled
            // all at once.
            let pause = pauses.next(self.settings, good);
            self.stop.run_until_cancelled(tokio::time::sleep(pause)).await;
        }
    }

    /// Waits for the reason to make another connection.
    async fn attend(
        &mut self,
        mut connection: tokio::task::JoinHandle<Option<String>>,
        heard: &Heard,
        old: &mut Option<OldConnection>,
    ) -> Next {
        let mut joined = false;
        loop {
            tokio::select! {
                ended = &mut connection => return Next::Ended(ended.unwrap_or_default()),
                () = heard.joined.cancelled(), if !joined => {
                    joined = true;
                    tracing::info!(gateway = %self.gateway.authority(), "joined the gateway");
                    // The connection of the old certificate ends only now that a gateway has taken the new
                    // one.
                    if let Some(old) = old.take() {
                        old.end.cancel();
                    }
                }
                () = heard.leaving.cancelled() => return Next::Leaving,
                Ok(()) = self.tls.changed() => return Next::Renewed,
            }
        }
    }

    fn failed(&self, problem: &str, before: u32) {
        let gateway = self.gateway.authority();
        // The first three failures are no warnings, because a gateway that is restarting is a normal case.
        match before < 3 {
            true => {
                tracing::info!(%gateway, problem, "cannot join the gateway yet; reconnecting with backoff")
            }
            false => tracing::warn!(%gateway, problem, "cannot join the gateway; reconnecting with backoff"),
        }
    }

    /// Connects; what comes back serves until the connection ends, and says why it did, if not in order.
    async fn open<S, B>(
        &mut self,
        service: S,
        end: CancellationToken,
    ) -> Result<(impl Future<Output = Option<String>> + Send + 'static, Chain), String>
    where
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Send + Sync + 'static,
        S::Future: Send + 'static,
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        // Marked as seen with the read, so that a renewal during the handshake leads to another connection.
        let tls = Arc::clone(&self.tls.borrow_and_update());
        let gateway = self.gateway.renewed(Arc::clone(&tls.config));
        let opening = tokio::time::timeout(self.settings.connect, gateway.open(PROTOCOL));
        let io = opening.await.map_err(|_| "timed out".to_owned())??;
        let peer = peer(&io, &self.serving.clock).ok_or("the gateway's certificate cannot be read")?;
        let chain = io.get_ref().1.peer_certificates().unwrap_or_default();
        let chain = chain.iter().map(|certificate| certificate.clone().into_owned()).collect();
        Ok((serve_connection(io, Arc::new(peer), service, Arc::clone(self.serving), end), chain))
    }

    /// Whether a gateway's chain would be accepted by a handshake now.
    fn accepts(&self, chain: &Chain) -> bool {
        let Some((leaf, intermediates)) = chain.split_first() else { return false };
        let now = self.serving.clock.now().as_second().unsigned_abs();
        let now = UnixTime::since_unix_epoch(Duration::from_secs(now));
        let verifier = Arc::clone(&self.tls.borrow().verifier);
        verifier.verify_server_cert(leaf, intermediates, self.gateway.name(), &[], now).is_ok()
    }
}

/// A gateway's certificates, its own first.
type Chain = Vec<CertificateDer<'static>>;

/// The connection of an earlier certificate, which serves until its successor is taken.
struct OldConnection {
    /// Ends it, after its running calls.
    end: CancellationToken,
    chain: Chain,
}

/// Why another connection is to be made.
enum Next {
    /// This one has ended, in order or for the reason given.
    Ended(Option<String>),
    /// The gateway will close it.
    Leaving,
    /// There is another certificate to show, or another gateway to expect.
    Renewed,
}

fn peer(io: &tokio_rustls::client::TlsStream<tokio::net::TcpStream>, clock: &Clock) -> Option<Peer> {
    let (stream, session) = io.get_ref();
    Peer::dialled(session.peer_certificates()?.first()?, clock, stream.peer_addr().ok()?)
}

/// The pauses between connections.
#[derive(Default)]
struct Pauses {
    failures: u32,
}

impl Pauses {
    /// After a connection that was good, or one that was not or never came to be.
    fn next(&mut self, settings: &Settings, good: bool) -> Duration {
        if good {
            self.failures = 0;
        }
        let doubled = settings.back_off.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        doubled.min(settings.back_off_most).mul_f64(jitter::half_to_one())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_a_good_connection_ends_them() {
        let settings = Settings::default();
        let mut pauses = Pauses::default();
        let first = pauses.next(&settings, false);
        assert!(first <= settings.back_off && first >= settings.back_off / 2);
        let later: Vec<_> = (0..20).map(|_| pauses.next(&settings, false)).collect();
        assert!(later[2] >= settings.back_off * 4, "{later:?}");
        assert!(later[19] >= settings.back_off_most / 2 && later[19] <= settings.back_off_most, "{later:?}");
        assert!(later[15] != later[16] && later[16] != later[17], "each by chance: {later:?}");
        assert!(pauses.next(&settings, true) <= settings.back_off);
    }
}

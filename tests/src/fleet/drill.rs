//! This module does what an operator does to gateways under load: it restarts them in turn, renews the files
//! that they serve with, and revokes a caller.

use std::time::{Duration, Instant};

use tonic::Code;

use super::{Client, Fleet, Gateway, Load};

/// Longest wait for a revocation to be enforced; far over what is promised, so that a miss is measured and
/// not cut off.
const ENFORCED_WITHIN: Duration = Duration::from_secs(30);
/// Calls between two steps, so that each meets traffic.
const BETWEEN: u64 = 20;

/// Replaces a gateway by a new process, as often as asked: the new one is ready before the old one is told to
/// go, which then ends with exit 0 and evidence that verifies.
pub async fn restarts(fleet: &Fleet, mut old: Gateway, times: usize, load: &Load) -> Gateway {
    for _ in 0..times {
        let new = fleet.start().await;
        load.more(BETWEEN).await;
        old.stop().await;
        load.more(BETWEEN).await;
        old = new;
    }
    old
}

/// Gives the listener a new certificate and key, as often as asked; each is shown to new connections before
/// the next.
pub async fn rotations(fleet: &Fleet, gateway: &Gateway, times: usize, load: &Load) {
    fleet.pki().issue("gov/welfare/benefits", "looker");
    for _ in 0..times {
        let leaf = fleet.pki().issue("bus/lorestan/gateway", "gateway");
        let pki = fleet.pki();
        let address = fleet.address();
        gateway
            .until("the new certificate is shown", async |_| pki.shown_at(address, "looker").await == leaf)
            .await;
        load.more(BETWEEN).await;
    }
}

/// Changes a grant's text, as often as asked; each change is in force before the next.
pub async fn reloads(fleet: &Fleet, gateway: &Gateway, times: usize, load: &Load) {
    for number in 0..times {
        let before = gateway.reloads("policy").await;
        fleet.edit_grant(&format!("Decree of the day {number}"));
        gateway
            .until("the registry is taken up", async |gateway| gateway.reloads("policy").await > before)
            .await;
        load.more(BETWEEN).await;
    }
}

/// Renews trusted authorities and the revocation list, as often as asked; each is taken up before the next.
pub async fn renewals(fleet: &Fleet, gateway: &Gateway, times: usize, load: &Load) {
    for number in 0..times {
        for renew in
            [|fleet: &Fleet, odd| fleet.pki().renew_trust(odd), |fleet: &Fleet, _| fleet.pki().renew_list()]
        {
            let before = gateway.reloads("identity").await;
            renew(fleet, number % 2 == 0);
            gateway
                .until("trust is taken up", async |gateway| gateway.reloads("identity").await > before)
                .await;
            load.more(BETWEEN).await;
        }
    }
}

/// Revokes a caller with a live connection: how long after the list was in its place the first call was
/// refused, for each try.
///
/// # Panics
/// If a caller is not refused, or refused before it was revoked.
pub async fn revocations(fleet: &Fleet, times: usize) -> Vec<Duration> {
    let mut took = Vec::with_capacity(times);
    for number in 0..times {
        let name = format!("revoked-{number}");
        let client = fleet.client(&name);
        client.get_person().await.expect("a caller in good standing is answered");
        fleet.pki().revoke(&name);
        took.push(refused(&client).await);
    }
    took
}

async fn refused(client: &Client) -> Duration {
    let began = Instant::now();
    loop {
        match client.get_person().await {
            Ok(_) => assert!(began.elapsed() < ENFORCED_WITHIN, "a revoked caller is answered"),
            Err(status) if status.code() == Code::Unauthenticated => return began.elapsed(),
            Err(status) => panic!("a revoked caller is refused in the bus's words, not with {status:?}"),
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

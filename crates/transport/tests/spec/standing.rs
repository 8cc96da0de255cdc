//! Tests of TLS files that are reloaded while the listener serves: they are replaced all together or not at
//! all, and peers that are connected are checked by the new ones.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chapar_transport::serve::Settings;
use chapar_transport::tls::{self, Expect, Files, ServerTls};
use chapar_transport::{CertificateStatus, Peer, dial};

use crate::pki::{ADAPTER, GATEWAY, Pki, WELFARE, named, with_serial};
use crate::world::{Calls, Running, free, get};

struct Listener {
    pki: Pki,
    files: Files,
    tls: ServerTls,
    server: Running,
}

impl Listener {
    /// With a revocation list that names these serial numbers.
    async fn revoking(serials: &[u8]) -> Self {
        let pki = Pki::new();
        let files =
            Files { crl: Some(pki.revoke(serials, true)), ..pki.issue("adapter", &named(&[ADAPTER])) };
        let tls = tls::server(&files).unwrap();
        let server = Running::with(free(), tls.clone(), Settings::default()).await;
        Self { pki, files, tls, server }
    }

    /// A caller with that serial number, who has made a call; and as whom the server knows it.
    async fn caller(&mut self, serial: u8) -> (Calls, Arc<Peer>) {
        let files = self.pki.issue(&format!("caller-{serial}"), &with_serial(named(&[GATEWAY]), serial));
        let calls = self.server.pool(&files, dial::Settings { connections: 1, ..dial::Settings::default() });
        get(&calls, "/hello").await.unwrap();
        (calls, self.server.peers.recv().await.unwrap())
    }

    /// Why a reload is refused.
    fn refused(&self, files: &Files) -> String {
        self.tls.reload(files).unwrap_err().to_string()
    }
}

#[tokio::test]
async fn who_is_revoked_while_connected_is_known_at_the_next_call_and_asked_to_leave() {
    let mut listener = Listener::revoking(&[]).await;
    let (bad, known_as_bad) = listener.caller(11).await;
    let (good, known_as_good) = listener.caller(12).await;
    assert_eq!(known_as_bad.certificate_status(), Ok(()));

    listener.pki.revoke_numbered(&[11], 2);
    listener.tls.reload(&listener.files).unwrap();

    assert_eq!(known_as_bad.certificate_status(), Err(CertificateStatus::Revoked));
    assert_eq!(known_as_good.certificate_status(), Ok(()));
    let gone = async {
        while get(&bad, "/hello").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone)
        .await
        .expect("its connection ends, and it gets no other");
    assert_eq!(get(&good, "/hello").await.unwrap(), "hello");
}

#[tokio::test]
async fn who_comes_from_a_ca_that_is_trusted_no_longer_is_known_at_the_next_call() {
    let mut listener = Listener::revoking(&[]).await;
    let (_calls, peer) = listener.caller(11).await;
    let other = Pki::new();
    let crl = Some(other.revoke(&[], true));

    listener
        .tls
        .reload(&Files { trust: other.folder().join("ca.crt"), crl, ..listener.files.clone() })
        .unwrap();

    assert_eq!(peer.certificate_status(), Err(CertificateStatus::Untrusted));
}

#[tokio::test]
async fn who_is_asked_to_leave_may_finish_and_comes_back_on_another_connection() {
    let mut listener = Listener::revoking(&[]).await;
    let (calls, peer) = listener.caller(11).await;
    let asked_to_leave = async {
        listener.server.peers.recv().await.unwrap();
        peer.leave();
    };

    let (slow, ()) = tokio::join!(get(&calls, "/slow"), asked_to_leave);

    assert_eq!(slow.unwrap(), "hello");
    let moved = async {
        loop {
            // A call that crosses the GOAWAY is known not to have been begun.
            match get(&calls, "/hello").await {
                Ok(_) if listener.server.peers.recv().await.unwrap().remote != peer.remote => return,
                Ok(_) => {}
                Err(error) => assert!(!error.may_have_been_processed(), "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), moved).await.unwrap();
}

#[tokio::test]
async fn the_next_handshake_takes_the_new_certificate() {
    let mut listener = Listener::revoking(&[]).await;
    let (calls, _) = listener.caller(11).await;
    let renewed = listener.pki.issue("renewed", &named(&[WELFARE]));
    let crl = listener.files.crl.clone();

    listener.tls.reload(&Files { crl, ..renewed }).unwrap();

    assert_eq!(get(&calls, "/hello").await.unwrap(), "hello", "the old connection goes on");
    let files = listener.pki.issue("late", &named(&[GATEWAY]));
    let late = get(&listener.server.pool(&files, dial::Settings::default()), "/hello").await.unwrap_err();
    assert!(late.to_string().contains("NotValidForName"), "{late}");
}

#[tokio::test]
async fn a_bad_reload_is_refused_whole_and_changes_nothing() {
    let mut listener = Listener::revoking(&[11]).await;
    listener.pki.revoke_numbered(&[11], 300);
    listener.tls.reload(&listener.files).unwrap();
    let (calls, peer) = listener.caller(12).await;
    let files = listener.files.clone();
    let pki = &listener.pki;
    let crl = |path: &Path| Files { crl: Some(path.to_owned()), ..files.clone() };

    let mut told = vec![
        listener.refused(&Files { key: pki.issue("other", &named(&[ADAPTER])).key, ..files.clone() }),
        listener.refused(&Files { crl: None, ..files.clone() }),
        listener.refused(&crl(&pki.folder().join("gone.crl"))),
        listener.refused(&crl(&pki.write("empty.crl", ""))),
        listener.refused(&crl(&pki.write("huge.crl", &"-".repeat((16 << 20) + 1)))),
    ];
    let newest = std::fs::read_to_string(files.crl.as_ref().unwrap()).unwrap();
    told.push(listener.refused(&crl(&pki.write("twice.crl", &newest.repeat(2)))));
    told.push(listener.refused(&crl(&pki.revoke_numbered(&[], 255))));
    // Of a CA of the same name with another key.
    let forger = Pki::new();
    told.push(listener.refused(&crl(&forger.revoke(&[], true))));

    let problems = [
        "is not the key of the certificate",
        "comes without the revocation lists that there were before",
        "No such file",
        "holds no PEM revocation list",
        "is larger than 16 MiB",
        "holds two lists of",
        "is older than the last one",
        "is not signed by it",
    ];
    for (told, problem) in told.iter().zip(problems) {
        assert!(told.contains(problem), "{told}");
    }
    assert_eq!(peer.certificate_status(), Ok(()));
    assert_eq!(get(&calls, "/hello").await.unwrap(), "hello");
    let revoked = pki.issue("revoked", &with_serial(named(&[GATEWAY]), 11));
    let why = get(&listener.server.pool(&revoked, dial::Settings::default()), "/hello").await.unwrap_err();
    assert!(why.to_string().contains("CertificateRevoked"), "{why}");
}

#[tokio::test]
async fn a_list_is_used_for_the_grace_after_its_time_and_then_its_issuer_is_believed_no_more() {
    let pki = Pki::new();
    let files = Files { crl: Some(pki.revoke(&[11], false)), ..pki.issue("adapter", &named(&[ADAPTER])) };
    let good = pki.issue("good", &with_serial(named(&[GATEWAY]), 12));
    let bad = pki.issue("bad", &with_serial(named(&[GATEWAY]), 11));
    let years = Duration::from_secs(100 * 365 * 24 * 60 * 60);
    for (grace, admitted, alert) in
        [(years, true, "CertificateRevoked"), (Duration::ZERO, false, "UnknownCA")]
    {
        let tls = tls::server_with_grace(&files, grace).unwrap();
        let server = Running::with(free(), tls, Settings::default()).await;
        let answer = get(&server.pool(&good, dial::Settings::default()), "/hello").await;
        assert_eq!(answer.is_ok(), admitted, "{answer:?}");
        let why = get(&server.pool(&bad, dial::Settings::default()), "/hello").await.unwrap_err();
        assert!(why.to_string().contains(alert), "{why}");
    }
}

#[tokio::test]
async fn a_client_uses_a_list_for_a_day_after_its_time_and_then_believes_its_issuer_no_more() {
    let pki = Pki::new();
    let adapter = pki.issue("adapter", &with_serial(named(&[ADAPTER]), 12));
    let server = Running::start(free(), &adapter, Settings::default()).await;
    let now = u64::try_from(chapar_model::Clock::system().now().as_second()).unwrap();
    for (hours, revoked, admitted) in [(1, 11, true), (1, 12, false), (23, 11, true), (25, 11, false)] {
        let crl = Some(pki.revoke_until(&[revoked], now - hours * 60 * 60));
        let files = Files { crl, ..pki.issue("gateway", &named(&[GATEWAY])) };
        let expect = Expect::identities(vec![ADAPTER.parse().unwrap()]);
        let tls = tls::client_remembering(&files, expect, &tls::ListsSeen::default()).unwrap().config;
        let url = format!("https://{}", server.address);
        let calls = dial::Pool::new(&url, tls, dial::Settings::default()).unwrap();
        let answer = get(&calls, "/hello").await;
        assert_eq!(answer.is_ok(), admitted, "over by {hours} h, {revoked} revoked: {answer:?}");
    }
}

#[tokio::test]
async fn a_list_that_ends_while_a_caller_is_connected_ends_its_good_standing() {
    let pki = Pki::new();
    let files = Files { crl: Some(pki.revoke(&[], true)), ..pki.issue("adapter", &named(&[ADAPTER])) };
    let clock = chapar_model::Clock::manual("2026-06-01T00:00:00Z".parse().unwrap());
    let tls = tls::server_with_grace(&files, Duration::ZERO).unwrap();
    let settings = Settings { clock: clock.clone(), ..Settings::default() };
    let mut server = Running::with(free(), tls, settings).await;
    get(&server.gateway(&pki), "/hello").await.unwrap();
    let peer = server.peers.recv().await.unwrap();

    // After the list's end and before the certificates'.
    clock.set("4001-01-01T00:00:00Z".parse().unwrap());

    assert_eq!(peer.certificate_status(), Err(CertificateStatus::Untrusted));
}

#[test]
fn revocation_does_not_go_back_over_a_restart_under_the_same_number_or_by_a_list_of_another_scope() {
    let pki = Pki::new();
    let memory = pki.folder().join("state/revocation.toml");
    let files =
        Files { crl: Some(pki.revoke_numbered(&[11], 7)), ..pki.issue("adapter", &named(&[ADAPTER])) };
    let started =
        |files: &Files| tls::server_remembering(files, &memory).map(drop).map_err(|error| error.to_string());
    started(&files).unwrap();
    started(&files).expect("the same list again");

    pki.revoke_numbered(&[], 6);
    assert!(started(&files).unwrap_err().contains("is older than the last one"));
    pki.revoke_numbered(&[], 7);
    assert!(started(&files).unwrap_err().contains("has the number of the last one, and other content"));
    pki.revoke_of_users(&[], 8);
    assert!(
        started(&files).unwrap_err().contains("of the same scope as the last one, which is still in force")
    );
    let without = started(&Files { crl: None, ..files.clone() }).unwrap_err();
    assert!(
        without.contains("comes without the revocation lists") && without.contains("revocation.toml"),
        "{without}"
    );
    pki.revoke_numbered(&[11, 12], 256);
    started(&files).expect("a newer list, whose number is longer");
}

#[test]
fn a_running_listener_forgets_lists_only_where_there_is_none_and_the_file_that_remembers_them_is_gone() {
    let pki = Pki::new();
    let memory = pki.folder().join("state/revocation.toml");
    let files =
        Files { crl: Some(pki.revoke_numbered(&[11], 7)), ..pki.issue("adapter", &named(&[ADAPTER])) };
    let none = Files { crl: None, ..pki.issue("adapter", &named(&[ADAPTER])) };
    let listener = tls::server_remembering(&files, &memory).unwrap();
    let seen = tls::ListsSeen::remembered_in(&memory).unwrap();
    let client = |files: &Files| {
        let expect = Expect::identities(vec![GATEWAY.parse().unwrap()]);
        tls::client_remembering(files, expect, &seen).map(drop)
    };
    assert!(listener.reload(&none).is_err() && client(&none).is_err());

    std::fs::remove_file(&memory).unwrap();

    pki.revoke_numbered(&[], 6);
    for refused in [listener.reload(&files), client(&files)] {
        assert!(refused.unwrap_err().to_string().contains("is older than the last one"));
    }
    listener.reload(&none).unwrap();
    client(&none).unwrap();
}

//! Signing in to Redis: by a password, and by TLS with both certificates.

use chapar_limit::RedisServer;
use chapar_test_servers::Redis;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use crate::replica::{Replica, limits, prefix, server};

#[tokio::test(flavor = "multi_thread")]
async fn a_password_from_a_file_signs_in_and_without_it_redis_is_down() {
    let redis = Redis::with_password("a word");
    let url = format!("redis://127.0.0.1:{}", redis.port());
    let known = RedisServer::new(&url, Some("a word"), None, None, false).unwrap();
    let replica = Replica::start(known, &prefix(), limits("1/h", 4), 1).await;
    assert!(replica.admits().await);

    let stranger = Replica::alone(server(redis.port()), &prefix(), limits("1/h", 4));
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert!(!stranger.shared.usage().is_up);
    assert!(stranger.admits().await, "of its own share");
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_with_both_certificates() {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    // A name of its own: one that is the same as its certificates' makes them look self-signed.
    authority.distinguished_name.push(DnType::CommonName, "authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let signed = |name: &str| {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &authority).unwrap().pem(), key.serialize_pem())
    };
    let (cert, key) = signed("localhost");
    let redis = Redis::with_tls(&cert, &key, &authority.pem());
    let url = format!("rediss://localhost:{}", redis.port());
    let (cert, key) = signed("gateway");
    let identity = Some((cert.into_bytes(), key.into_bytes()));
    let ca = Some(authority.pem().into_bytes());
    let known = RedisServer::new(&url, None, ca.clone(), identity, false).unwrap();
    let replica = Replica::start(known, &prefix(), limits("1/h", 4), 1).await;
    assert!(replica.admits().await);

    let without = RedisServer::new(&url, None, ca, None, false).unwrap();
    let stranger = Replica::alone(without, &prefix(), limits("1/h", 4));
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert!(!stranger.shared.usage().is_up, "redis asks for a client's certificate");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_with_the_documented_rights_is_enough() {
    let redis = Redis::start();
    let rights =
        "+evalsha +script|load +del +time +get +set +type +zadd +zrem +zremrangebyscore +zcard +pexpire";
    assert_eq!(redis.ask(&format!("ACL SETUSER gateway on >word ~role:* {rights}")), "OK");
    let url = format!("redis://gateway@127.0.0.1:{}", redis.port());
    let known = || RedisServer::new(&url, Some("word"), None, None, false).unwrap();
    let replica = Replica::start(known(), "role", limits("1/h", 4), 1).await;
    assert!(replica.admits().await);
    assert_eq!(replica.limiter.reset(&replica.grant).await, Some(true));
    replica.stop().await;
    assert_eq!(redis.ask("KEYS *gateways*"), "", "it has left");

    let elsewhere = Replica::alone(known(), "other", limits("1/h", 4));
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert!(!elsewhere.shared.usage().is_up, "of keys of another prefix it has no right");
}

//! Tests that each error about a file that cannot be used names the file and what is wrong with it.

use chapar_transport::tls::{self, Expect, Files, OwnCertificate};

use crate::pki::{ADAPTER, Pki, WELFARE, named, with_serial};

fn both(files: &Files) -> [String; 2] {
    let server = tls::server(files).err().unwrap().to_string();
    let client = tls::client(files, Expect::DnsName).err().unwrap().to_string();
    [server, client]
}

#[test]
fn each_bad_file_is_named_with_its_problem() {
    let pki = Pki::new();
    let good = pki.issue("adapter", &named(&[ADAPTER]));
    let other = pki.issue("welfare", &named(&[WELFARE]));
    let missing = pki.folder().join("missing.pem");
    let empty = pki.write("empty.pem", "");
    let noise = pki.write("noise.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let cases = [
        (Files { cert: missing.clone(), ..good.clone() }, "missing.pem", "No such file"),
        (Files { key: missing.clone(), ..good.clone() }, "missing.pem", "No such file"),
        (Files { trust: missing.clone(), ..good.clone() }, "missing.pem", "No such file"),
        (Files { crl: Some(missing), ..good.clone() }, "missing.pem", "No such file"),
        (Files { cert: pki.folder().to_owned(), ..good.clone() }, "", "directory"),
        (Files { cert: empty.clone(), ..good.clone() }, "empty.pem", "holds no PEM certificate"),
        (Files { key: empty.clone(), ..good.clone() }, "empty.pem", "holds no PEM private key"),
        (Files { trust: empty.clone(), ..good.clone() }, "empty.pem", "holds no PEM certificate"),
        (Files { crl: Some(empty), ..good.clone() }, "empty.pem", "holds no PEM revocation list"),
        (Files { key: good.cert.clone(), ..good.clone() }, "adapter.crt", "holds no PEM private key"),
        (Files { trust: noise, ..good.clone() }, "noise.pem", "its certificate number 1 is damaged"),
        (Files { key: other.key, ..good.clone() }, "welfare.key", "is not the key of the certificate in"),
    ];
    for (files, name, problem) in cases {
        for told in both(&files) {
            assert!(told.contains(name) && told.contains(problem), "{told}");
        }
    }
    let crl = pki.write("noise.crl", "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n");
    let files = Files { crl: Some(crl), ..good };
    assert!(both(&files).iter().all(|told| told.contains("noise.crl: is damaged, or is no revocation list")));
}

#[test]
fn a_list_without_a_number_is_refused() {
    let pki = Pki::new();
    let files = Files {
        trust: pki.write("no_number.crt", include_str!("../data/no_number.crt")),
        crl: Some(pki.write("no_number.crl", include_str!("../data/no_number.crl"))),
        ..pki.issue("adapter", &named(&[ADAPTER]))
    };
    let server = tls::server(&files).err().unwrap().to_string();
    let expect = Expect::identities(vec![WELFARE.parse().unwrap()]);
    let client = tls::client(&files, expect).err().unwrap().to_string();
    for told in [server, client] {
        assert!(told.contains("no_number.crl") && told.contains("has no CRLNumber"), "{told}");
    }
}

#[test]
fn what_is_wrong_with_a_chain_is_named() {
    let pki = Pki::new();
    let good = pki.issue("adapter", &named(&[ADAPTER]));
    let own = std::fs::read_to_string(&good.cert).unwrap();
    let ca = pki.ca().pem();
    let damaged = ca.replacen("MII", "AAA", 1);
    for (pem, problem) in [
        (format!("{ca}{own}"), "begins with a CA's certificate: your own certificate must come first"),
        (format!("{own}{damaged}"), "its certificate number 2 is damaged"),
    ] {
        let files = Files { cert: pki.write("chain.crt", &pem), ..good.clone() };
        for told in both(&files) {
            assert!(told.contains("chain.crt") && told.contains(problem), "{told}");
        }
    }
    let weak = Files {
        cert: pki.write("weak.crt", include_str!("../data/rsa_1024.crt")),
        key: pki.write_key("weak.key", include_str!("../data/rsa_1024.key")),
        ..good
    };
    assert!(
        both(&weak).iter().all(|told| told.contains("weak.crt: has an RSA key of 1024 bits: 2048 or more"))
    );
}

#[test]
fn what_is_known_of_revocation_is_told_for_each_authority() {
    let pki = Pki::new();
    let mut files = pki.issue("adapter", &named(&[ADAPTER]));
    let told = |files: &Files| -> Vec<(String, bool)> {
        let now = 1_795_000_000;
        let known = tls::server(files).unwrap().revocation();
        known.iter().map(|known| (known.at(now).to_string(), known.is_sound(now))).collect()
    };
    assert!(told(&files)[0].0.starts_with("revocation is not checked") && !told(&files)[0].1);
    files.crl = Some(pki.revoke(&[], true));
    let [(list, true)] = &told(&files)[..] else { panic!("{:?}", told(&files)) };
    assert!(
        list.starts_with("certificate revocation list 1 of CN=throw-away CA is valid for another"),
        "{list}"
    );
    files.trust = pki.write("two.crt", &format!("{}{}", pki.ca().pem(), Pki::new().ca().pem()));
    let [(list, true), (none, false)] = &told(&files)[..] else { panic!("{:?}", told(&files)) };
    assert!(
        list.contains("is valid for") && none.contains("no certificate revocation list of CN=throw-away CA"),
        "two of one name are two: {none}"
    );
    files.trust = pki.write("one.crt", &pki.ca().pem());
    files.crl = Some(pki.revoke(&[], false));
    let [(list, false)] = &told(&files)[..] else { panic!("{:?}", told(&files)) };
    assert!(
        list.contains(" ago: this CA's certificates are refused")
            && list.starts_with("certificate revocation list"),
        "{list}"
    );
}

#[test]
fn a_client_does_not_go_back_to_an_older_list() {
    let pki = Pki::new();
    let mut files = pki.issue("adapter", &named(&[ADAPTER]));
    let seen = tls::ListsSeen::default();
    let again = |files: &Files| {
        let expect = Expect::identities(vec![WELFARE.parse().unwrap()]);
        tls::client_remembering(files, expect, &seen).map(drop).map_err(|error| error.to_string())
    };
    files.crl = Some(pki.revoke_numbered(&[11], 2));
    again(&files).unwrap();
    pki.revoke_numbered(&[], 1);
    assert!(again(&files).unwrap_err().contains("is older than the last one"));
    pki.revoke_numbered(&[11], 3);
    again(&files).unwrap();
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    use chapar_transport::serve::{Server, Settings};
    let pki = Pki::new();
    let tls = tls::server(&pki.issue("adapter", &named(&[ADAPTER]))).unwrap();
    let holder = Server::bind(crate::world::free(), tls.clone(), Settings::default()).await.unwrap();
    let address = holder.local_addr();
    let told = Server::bind(address, tls, Settings::default()).await.err().unwrap().to_string();
    assert!(told.contains(&address.to_string()) && told.contains("in use"), "{told}");
}

#[test]
fn a_private_key_that_everyone_may_read_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let pki = Pki::new();
    let files = pki.issue("adapter", &named(&[ADAPTER]));
    for (mode, is_good) in [(0o600, true), (0o640, true), (0o644, false), (0o604, false)] {
        std::fs::set_permissions(&files.key, std::fs::Permissions::from_mode(mode)).unwrap();
        let server = tls::server(&files).map(drop).map_err(|error| error.to_string());
        assert_eq!(server.is_ok(), is_good, "{mode:o}");
        assert!(server.is_ok() || server.unwrap_err().contains("everyone on this machine may read or write"));
    }
}

#[test]
fn files_with_a_byte_order_mark_are_read_and_an_encrypted_key_is_named_as_such() {
    let pki = Pki::new();
    let mut files = pki.issue("adapter", &named(&[ADAPTER]));
    files.crl = Some(pki.revoke(&[], true));
    for path in [&files.cert, &files.key, &files.trust, files.crl.as_ref().unwrap()] {
        let text = std::fs::read_to_string(path).unwrap();
        std::fs::write(path, format!("\u{feff}{text}")).unwrap();
    }
    tls::server(&files).map(drop).unwrap();
    for key in [
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
        "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n",
    ] {
        std::fs::write(&files.key, key).unwrap();
        let told = tls::server(&files).map(drop).unwrap_err().to_string();
        assert!(told.contains("encrypted private key"), "{told}");
    }
}

#[test]
fn an_own_certificate_that_every_peer_would_refuse_is_told_before_the_first_connection() {
    let pki = Pki::new();
    let now: jiff::Timestamp = "2026-11-27T12:00:00Z".parse().unwrap();
    let shown =
        |files: &Files, shown| tls::own_certificate(files, shown, now).map_err(|error| error.to_string());
    let own = |files: &Files| shown(files, tls::Shown::OnBothSides);
    let until = |year: i32, month: u8, day: u8| {
        let mut params = named(&[ADAPTER]);
        params.not_after = rcgen::date_time_ymd(year, month, day);
        pki.issue("own", &with_serial(params, 7))
    };
    let good = own(&until(2027, 1, 1)).unwrap();
    assert!(good.remarks.is_empty() && good.is_usable, "{good:?}");
    let one = |files: &Files| match own(files) {
        Ok(OwnCertificate { remarks, is_usable, .. }) if remarks.len() == 1 => {
            let is_remark = remarks[0].contains("expires in") || remarks[0].contains("issued by none");
            assert_eq!(is_usable, is_remark, "{remarks:?}");
            remarks[0].clone()
        }
        other => panic!("{other:?}"),
    };
    assert!(
        one(&until(2026, 11, 26))
            .ends_with("the certificate expired 1 d 12 h ago, and peers refuse it: renew it")
    );
    assert!(one(&until(2026, 11, 29)).ends_with("the certificate expires in 1 d 12 h: renew it"));
    let mut early = named(&[ADAPTER]);
    early.not_before = rcgen::date_time_ymd(2026, 11, 28);
    assert!(
        one(&pki.issue("early", &early)).ends_with("the certificate is not valid for another 12 h 0 min")
    );
    let mut revoked = until(2027, 1, 1);
    revoked.crl = Some(pki.revoke(&[7], true));
    assert!(one(&revoked).contains("own.crt: the certificate is revoked by its issuer's list"));
    let stranger = Files { trust: pki.write("other.crt", &Pki::new().ca().pem()), ..until(2027, 1, 1) };
    assert!(one(&stranger).contains("is issued by none of the CAs in `trust`"));
    let mut client = named(&[ADAPTER]);
    client.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let client = pki.issue("client", &client);
    assert!(one(&client).contains("must have serverAuth and clientAuth"));
    assert!(shown(&client, tls::Shown::AsClient).unwrap().remarks.is_empty());
    assert!(shown(&client, tls::Shown::AsServer).unwrap().remarks[0].contains("must have serverAuth"));
    let mut backwards = named(&[ADAPTER]);
    (backwards.not_before, backwards.not_after) =
        (rcgen::date_time_ymd(2027, 1, 1), rcgen::date_time_ymd(2026, 1, 1));
    assert!(own(&pki.issue("backwards", &backwards)).unwrap_err().contains("ends before it begins"));

    for (names, problem) in [
        (named(&[]), "the certificate has 0 URI names where it must have one"),
        (named(&[ADAPTER, WELFARE]), "the certificate has 2 URI names where it must have one"),
        (named(&["https://lorestan.example/x"]), "is not a SPIFFE ID of the bus"),
    ] {
        let error = own(&pki.issue("nameless", &names)).unwrap_err();
        assert!(error.contains("nameless.crt") && error.contains(problem), "{error}");
    }
}

#[test]
fn a_cas_certificate_is_no_ones_own_and_an_own_one_is_no_ca() {
    let pki = Pki::new();
    let good = pki.issue("adapter", &named(&[ADAPTER]));
    let leaf = std::fs::read_to_string(&good.cert).unwrap();
    let own = Files {
        cert: pki.write("ca-as-own.crt", &pki.ca().pem()),
        key: pki.write_key("ca-as-own.key", &pki.ca().key().serialize_pem()),
        ..good.clone()
    };
    assert!(both(&own).iter().all(|told| told.contains("ca-as-own.crt: begins with a CA's certificate")));
    let trusted = Files { trust: pki.write("trust.crt", &format!("{}{leaf}", pki.ca().pem())), ..good };
    let server = tls::server(&trusted).err().unwrap().to_string();
    assert!(server.contains("trust.crt: its certificate number 2 is no CA's"), "{server}");
}

//! Files that cannot be used: each error names the file and what is wrong with it.

use chapar_transport::tls::{self, Expect, Files};

use crate::pki::{ADAPTER, Pki, WELFARE, named};

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
        (Files { trust: noise, ..good.clone() }, "noise.pem", "invalid peer certificate"),
        (Files { key: other.key, ..good.clone() }, "welfare.key", "is not the key of the certificate in"),
    ];
    for (files, name, problem) in cases {
        for told in both(&files) {
            assert!(told.contains(name) && told.contains(problem), "{told}");
        }
    }
    let crl = pki.write("noise.crl", "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n");
    let files = Files { crl: Some(crl), ..good };
    assert!(both(&files).iter().all(|told| told.contains("noise.crl")));
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
        assert!(server.is_ok() || server.unwrap_err().contains("everyone on this machine may read"));
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

//! Tests of `chapar pki`: what it issues and revokes, as another tool reads it, and what it refuses.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chapar_tests::binary::chapar;

const WELFARE: &str = "spiffe://lorestan.example/gov/welfare/benefits";

/// Runs a command in a folder; whether it succeeds, and what it says.
fn run(folder: &Path, program: &Path, arguments: &[&str]) -> (bool, String) {
    let output = Command::new(program).args(arguments).current_dir(folder).output().expect("it runs");
    (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

fn pki(folder: &Path, arguments: &[&str]) -> String {
    let (succeeded, said) = run(folder, &chapar(), &[&["pki"], arguments].concat());
    assert!(succeeded, "{arguments:?}: {said}");
    said
}

fn refused(folder: &Path, arguments: &[&str]) -> String {
    let (succeeded, said) = run(folder, &chapar(), &[&["pki"], arguments].concat());
    assert!(!succeeded, "{arguments:?}: {said}");
    said
}

/// What openssl thinks of a certificate, with its revocation list.
fn verify(folder: &Path, cert: &str) -> (bool, String) {
    let arguments =
        ["verify", "-x509_strict", "-CAfile", "pki/ca.crt", "-CRLfile", "pki/ca.crl", "-crl_check", cert];
    run(folder, Path::new("openssl"), &arguments)
}

fn authority() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let said = pki(folder.path(), &["init", "pki", "--name", "Lorestan bus CA"]);
    assert!(said.starts_with("sha256:"), "{said}");
    folder
}

#[test]
fn what_is_issued_is_valid_until_it_is_revoked() {
    let authority = authority();
    let folder = authority.path();
    let serial =
        pki(folder, &["issue", "pki", WELFARE, "--dns", "welfare.lorestan.example", "--out", "welfare"]);
    pki(folder, &["issue", "pki", "spiffe://lorestan.example/gov/police/traffic", "--out", "police"]);
    let (valid, said) = verify(folder, "welfare.crt");
    assert!(valid, "{said}");

    pki(folder, &["revoke", "pki", "welfare.crt", "--reason", "key-compromise"]);

    let (valid, said) = verify(folder, "welfare.crt");
    assert!(!valid && said.contains("certificate revoked"), "{said}");
    assert!(verify(folder, "police.crt").0, "of others nothing changes");
    assert!(refused(folder, &["revoke", "pki", serial.trim()]).contains("is revoked"), "once");
    assert!(refused(folder, &["renew", "pki", "welfare.crt", "--out", "again"]).contains("is revoked"));
}

#[test]
fn a_request_gets_the_identity_that_the_operator_says_and_no_other() {
    let authority = authority();
    let folder = authority.path();
    pki(folder, &["csr", WELFARE, "--out", "welfare"]);
    let other = "spiffe://lorestan.example/bus/lorestan/gateway";
    assert!(
        refused(folder, &["sign", "pki", "welfare.csr", other, "--out", "x"])
            .contains("the certificate signing request asks for")
    );

    pki(folder, &["sign", "pki", "welfare.csr", WELFARE, "--out", "welfare"]);

    assert!(verify(folder, "welfare.crt").0);
    let text = pki(folder, &["inspect", "welfare.crt"]);
    assert_eq!(text.matches("identity").count(), 1);
    assert!(text.contains(WELFARE), "{text}");
    // A request whose signature is not of its key.
    let csr = std::fs::read_to_string(folder.join("welfare.csr")).unwrap();
    let at = csr.rfind("\n-----END").unwrap() - 12;
    let flipped = if csr.as_bytes()[at] == b'A' { "B" } else { "A" };
    std::fs::write(folder.join("bad.csr"), format!("{}{flipped}{}", &csr[..at], &csr[at + 1..])).unwrap();
    assert!(
        refused(folder, &["sign", "pki", "bad.csr", WELFARE, "--out", "x"])
            .contains("is not signed with its own key")
    );
}

#[test]
fn a_renewed_certificate_has_the_same_key_and_names() {
    let authority = authority();
    let folder = authority.path();
    pki(
        folder,
        &["issue", "pki", WELFARE, "--dns", "welfare.lorestan.example", "--days", "1", "--out", "old"],
    );
    pki(folder, &["renew", "pki", "old.crt", "--days", "90", "--out", "new"]);
    assert!(verify(folder, "new.crt").0);
    let lines = |file: &str| -> Vec<String> {
        let text = pki(folder, &["inspect", file]);
        let kept =
            text.lines().filter(|line| ["identity", "dns", "key"].iter().any(|word| line.starts_with(word)));
        kept.map(str::to_owned).collect()
    };
    assert_eq!(lines("old.crt"), lines("new.crt"));
    assert_eq!(lines("new.crt").len(), 3);
}

#[test]
fn an_authority_vouches_for_nothing_that_it_did_not_issue() {
    let one = authority();
    let other = authority();
    pki(other.path(), &["issue", "pki", WELFARE, "--out", "welfare"]);
    let foreign = other.path().join("welfare.crt");
    let foreign = foreign.to_str().unwrap();
    for command in [["revoke", "pki", foreign].as_slice(), &["renew", "pki", foreign, "--out", "x"]] {
        assert!(refused(one.path(), command).contains("has not issued this certificate"), "{command:?}");
    }
    assert!(
        refused(one.path(), &["init", "pki", "--name", "again"]).contains("there is an authority already")
    );
}

#[test]
fn each_revocation_list_has_the_next_number() {
    let authority = authority();
    let folder = authority.path();
    assert!(pki(folder, &["crl", "pki"]).contains("the number 2"));
    let (_, said) = run(folder, Path::new("openssl"), &["crl", "-in", "pki/ca.crl", "-noout", "-crlnumber"]);
    assert!(said.contains("0x02") || said.contains("crlNumber=02"), "{said}");
}

#[test]
fn a_private_key_is_overwritten_only_when_that_is_said() {
    let authority = authority();
    let folder = authority.path();
    pki(folder, &["issue", "pki", WELFARE, "--out", "welfare"]);
    let key = std::fs::read(folder.join("welfare.key")).unwrap();
    for command in [&["issue", "pki", WELFARE, "--out", "welfare"][..], &["csr", WELFARE, "--out", "welfare"]]
    {
        assert!(refused(folder, command).contains("welfare.key exists"));
        assert_eq!(std::fs::read(folder.join("welfare.key")).unwrap(), key);
    }
    pki(folder, &["csr", WELFARE, "--out", "welfare", "--force"]);
    assert_ne!(std::fs::read(folder.join("welfare.key")).unwrap(), key);
}

#[test]
fn a_certificate_has_the_key_of_its_request_or_is_not_written() {
    let authority = authority();
    let folder = authority.path();
    let openssl =
        |arguments: &[&str]| assert!(run(folder, Path::new("openssl"), arguments).0, "{arguments:?}");
    for curve in ["prime256v1", "secp384r1"] {
        openssl(&["ecparam", "-name", curve, "-genkey", "-noout", "-out", "asked.key"]);
        openssl(&["req", "-new", "-key", "asked.key", "-subj", "/CN=asked", "-out", "asked.csr"]);
        let (signed, said) =
            run(folder, &chapar(), &["pki", "sign", "pki", "asked.csr", WELFARE, "--out", curve]);
        if !signed {
            assert!(
                said.contains("would not have the key of the request")
                    && !folder.join(format!("{curve}.crt")).exists(),
                "{said}"
            );
            continue;
        }
        let public = |arguments: &[&str]| run(folder, Path::new("openssl"), arguments).1;
        let certificate = format!("{curve}.crt");
        assert_eq!(
            public(&["x509", "-in", &certificate, "-pubkey", "-noout"]),
            public(&["req", "-in", "asked.csr", "-pubkey", "-noout"]),
            "{curve}"
        );
    }
}

#[test]
fn what_no_certificate_can_say_is_refused() {
    let authority = authority();
    let folder = authority.path();
    for (arguments, problem) in [
        (&["--days", "0"][..], "at least one day"),
        (&["--days", "100000"], "the authority itself ends before that"),
        (&["--dns", "127.0.0.1"], "is an address and no DNS name"),
        (&["--dns", "a b"], "`a b` is no DNS name"),
        (&["--dns", "a\nidentity  spiffe://x/y/z"], "is no DNS name"),
        (&["--dns", "a.*.b"], "is no DNS name"),
    ] {
        let said = refused(folder, &[&["issue", "pki", WELFARE, "--out", "x"], arguments].concat());
        assert!(said.contains(problem), "{said}");
        assert!(!folder.join("x.key").exists());
    }
    let said = refused(folder, &["csr", WELFARE, "--out", "x", "--dns", "127.0.0.1"]);
    assert!(said.contains("is an address and no DNS name") && !folder.join("x.key").exists(), "{said}");
    let said = refused(folder, &["init", "other", "--name", "x", "--days", "0"]);
    assert!(said.contains("at least one day") && !folder.join("other").exists(), "{said}");
}

#[test]
fn a_request_with_extensions_that_do_not_count_is_signed_and_one_that_was_altered_is_not() {
    let authority = authority();
    let folder = authority.path();
    // As Java's keytool makes them, and more.
    let made = run(
        folder,
        Path::new("openssl"),
        &[
            "req",
            "-new",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-subj",
            "/CN=welfare",
            "-keyout",
            "welfare.key",
            "-out",
            "welfare.csr",
            "-addext",
            "subjectKeyIdentifier=hash",
            "-addext",
            "certificatePolicies=1.2.3.4",
            "-addext",
            "subjectAltName=DNS:elsewhere.example",
        ],
    );
    assert!(made.0, "{}", made.1);

    pki(folder, &["sign", "pki", "welfare.csr", WELFARE, "--out", "welfare"]);

    assert!(verify(folder, "welfare.crt").0);
    let text = pki(folder, &["inspect", "welfare.crt"]);
    assert!(text.contains(WELFARE) && !text.contains("elsewhere.example"), "{text}");

    let java = std::fs::read_to_string(folder.join("welfare.csr")).unwrap();
    let java = java.replace("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST");
    std::fs::write(folder.join("java.csr"), java).unwrap();
    pki(folder, &["sign", "pki", "java.csr", WELFARE, "--out", "java"]);

    let (begin, end) = ("-----BEGIN CERTIFICATE REQUEST-----\n", "-----END CERTIFICATE REQUEST-----\n");
    let csr = std::fs::read_to_string(folder.join("welfare.csr")).unwrap();
    let body: String =
        csr.trim_start_matches(begin).split("-----END").next().unwrap().split_whitespace().collect();
    let mut der = STANDARD.decode(body).unwrap();
    let at = der.windows(7).position(|window| window == b"welfare").unwrap();
    der[at] = b'W';
    std::fs::write(folder.join("altered.csr"), format!("{begin}{}\n{end}", STANDARD.encode(der))).unwrap();
    let said = refused(folder, &["sign", "pki", "altered.csr", WELFARE, "--out", "altered"]);
    assert!(said.contains("is not signed with its own key"), "{said}");
}

#[test]
fn an_authority_whose_key_everyone_may_read_signs_nothing() {
    let authority = authority();
    let folder = authority.path();
    let key = folder.join("pki/ca.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let said = refused(folder, &["issue", "pki", WELFARE, "--out", "welfare"]);
    assert!(said.contains("ca.key") && said.contains("chmod o="), "{said}");
    assert!(!folder.join("welfare.crt").exists());
}

#[test]
fn files_with_a_byte_order_mark_are_read_like_others() {
    let authority = authority();
    let folder = authority.path();
    let mark = |name: &str| {
        let text = std::fs::read_to_string(folder.join(name)).unwrap();
        std::fs::write(folder.join(name), format!("\u{FEFF}{text}")).unwrap();
    };
    pki(folder, &["csr", WELFARE, "--out", "welfare"]);
    mark("welfare.csr");
    pki(folder, &["sign", "pki", "welfare.csr", WELFARE, "--out", "welfare"]);
    mark("welfare.crt");
    assert!(pki(folder, &["inspect", "welfare.crt"]).contains(WELFARE));
    pki(folder, &["revoke", "pki", "welfare.crt"]);
}

#[test]
fn commands_at_the_same_time_lose_no_revocation_and_use_no_list_number_twice() {
    let authority = authority();
    let folder = authority.path();
    let names: Vec<String> = (0..6).map(|number| format!("office-{number}")).collect();
    for name in &names {
        pki(folder, &["issue", "pki", WELFARE, "--out", name]);
    }
    std::thread::scope(|threads| {
        for name in &names {
            threads.spawn(move || pki(folder, &["revoke", "pki", &format!("{name}.crt")]));
            threads.spawn(|| pki(folder, &["crl", "pki"]));
        }
    });
    for name in &names {
        let (valid, said) = verify(folder, &format!("{name}.crt"));
        assert!(!valid && said.contains("certificate revoked"), "{said}");
    }
    // The first list is of the authority's beginning.
    assert_eq!(std::fs::read_to_string(folder.join("pki/crl-number")).unwrap(), "13\n");
}

#[test]
fn a_key_in_other_hands_ends_all_its_certificates_and_gets_no_other() {
    let authority = authority();
    let folder = authority.path();
    pki(folder, &["csr", WELFARE, "--out", "welfare"]);
    pki(folder, &["sign", "pki", "welfare.csr", WELFARE, "--out", "first"]);
    pki(folder, &["renew", "pki", "first.crt", "--out", "second"]);

    let said = pki(folder, &["revoke", "pki", "second.crt", "--reason", "key-compromise"]);

    assert_eq!(said.matches("is revoked").count(), 2, "{said}");
    assert!(!verify(folder, "first.crt").0 && !verify(folder, "second.crt").0);
    let said = refused(folder, &["sign", "pki", "welfare.csr", WELFARE, "--out", "third"]);
    assert!(said.contains("which was revoked for `key-compromise`"), "{said}");
}

#[test]
fn a_lost_number_is_read_from_the_list_and_a_revocation_that_was_not_listed_is_listed() {
    let authority = authority();
    let folder = authority.path();
    pki(folder, &["issue", "pki", WELFARE, "--out", "welfare"]);
    pki(folder, &["crl", "pki"]);
    std::fs::remove_file(folder.join("pki/crl-number")).unwrap();
    let before = std::fs::read(folder.join("pki/ca.crl")).unwrap();
    assert!(pki(folder, &["crl", "pki"]).contains("the number 3"));
    pki(folder, &["revoke", "pki", "welfare.crt"]);
    // As if the command before had ended before it wrote the list.
    std::fs::write(folder.join("pki/ca.crl"), before).unwrap();
    pki(folder, &["revoke", "pki", "welfare.crt"]);
    assert!(!verify(folder, "welfare.crt").0);
    std::fs::write(folder.join("pki/crl-number"), u64::MAX.to_string()).unwrap();
    assert!(refused(folder, &["crl", "pki"]).contains("is the largest number that there is"));
}

#[test]
fn an_authoritys_own_files_are_kept_and_looked_at() {
    let authority = authority();
    let folder = authority.path();
    let own = std::fs::read(folder.join("pki/ca.crt")).unwrap();
    pki(folder, &["csr", WELFARE, "--out", "welfare"]);
    for arguments in [
        &["sign", "pki", "welfare.csr", WELFARE, "--out", "pki/ca"][..],
        &["issue", "pki", WELFARE, "--out", "pki/ca", "--force"],
    ] {
        assert!(refused(folder, arguments).contains("is the authority's own"));
    }
    assert_eq!(std::fs::read(folder.join("pki/ca.crt")).unwrap(), own);
    let said = refused(folder, &["issue", "pki", WELFARE, "--out", "no-folder/welfare/x"]);
    assert!(said.contains("cannot write"), "{said}");
    assert!(!folder.join("pki/issued.jsonl").exists(), "nothing is issued that cannot be written");

    pki(folder, &["init", "other", "--name", "Another"]);
    std::fs::copy(folder.join("other/ca.key"), folder.join("pki/ca.key")).unwrap();
    let said = refused(folder, &["issue", "pki", WELFARE, "--out", "x"]);
    assert!(said.contains("is not the key of an authority's certificate in ca.crt"), "{said}");
    std::fs::write(folder.join("other/issued.jsonl"), "{\"serial\":\"12").unwrap();
    let said = refused(folder, &["issue", "other", WELFARE, "--out", "x"]);
    assert!(said.contains("issued.jsonl") && said.contains("its last line is incomplete"), "{said}");
}

#[test]
fn an_authority_whose_key_is_kept_elsewhere_is_not_overwritten() {
    let authority = authority();
    let folder = authority.path();
    std::fs::rename(folder.join("pki/ca.key"), folder.join("offline.key")).unwrap();
    let cert = std::fs::read(folder.join("pki/ca.crt")).unwrap();
    assert!(refused(folder, &["init", "pki", "--name", "Another"]).contains("there is an authority already"));
    assert_eq!(std::fs::read(folder.join("pki/ca.crt")).unwrap(), cert);
    assert!(!folder.join("pki/ca.key").exists());
}

//! Tests of `chapar init` and `chapar evidence keygen`: what they make, and that they never overwrite it.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use chapar_tests::binary::chapar;

/// Runs `chapar` in a folder; its exit code, and what it says.
fn run(folder: &Path, arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(chapar());
    let output = command.args(arguments).current_dir(folder).stdin(Stdio::null()).output().expect("it runs");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    (output.status.code().unwrap_or_default(), said)
}

fn init(folder: &Path, more: &[&str]) -> (i32, String) {
    run(folder, &[&["init", "bus", "--domain", "lorestan.example"], more].concat())
}

/// Every file below a folder, with its contents.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.clone(), std::fs::read(path).unwrap());
            }
        }
    }
    found
}

#[test]
fn what_is_made_is_good_and_its_secrets_are_the_owners_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (code, said) = init(folder.path(), &["--host", "bus.lorestan.example", "--listen", "127.0.0.1:0"]);
    assert_eq!(code, 0, "{said}");
    let bus = folder.path().join("bus");
    let (code, said) = run(&bus, &["gateway", "--config", "gateway.toml", "--check"]);
    assert_eq!((code, said.contains("gateway.toml: good")), (0, true), "{said}");
    let (_, said) = run(&bus, &["pki", "inspect", "pki/gateway.crt"]);
    assert!(
        said.contains("spiffe://lorestan.example/bus/lorestan/gateway")
            && said.contains("bus.lorestan.example"),
        "{said}"
    );
    let mut secrets = 0;
    for file in contents(&bus).keys().filter(|file| file.extension().is_some_and(|it| it == "key")) {
        let mode = std::fs::metadata(file).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", file.display());
        secrets += 1;
    }
    assert_eq!(secrets, 6, "authority, gateway, operator, evidence, period and approver");
    // No brace of a template is left, and the unit starts these files.
    for name in [
        "README.md",
        "gateway.toml",
        "registry/bus.toml",
        "registry/bus/lorestan.toml",
        "systemd/chapar-crl.service",
    ] {
        let text = std::fs::read_to_string(bus.join(name)).unwrap();
        assert!(
            !["{dir}", "{domain}", "{code}", "{issuer}", "{crl}"].iter().any(|brace| text.contains(brace)),
            "{name}"
        );
    }
    let unit = std::fs::read_to_string(bus.join("systemd/chapar-gateway.service")).unwrap();
    let config = bus.canonicalize().unwrap().join("gateway.toml");
    assert!(unit.contains(&format!("--config {}", config.display())), "{unit}");
}

#[test]
fn a_second_run_keeps_every_byte_and_makes_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    init(folder.path(), &[]);
    let bus = folder.path().join("bus");
    let before = contents(&bus);

    let (code, said) = init(folder.path(), &[]);
    assert_eq!((code, said.contains("Say so by `--yes`")), (1, true), "nobody can be asked: {said}");
    assert_eq!(contents(&bus), before);

    let (code, said) = init(folder.path(), &["--yes", "--listen", "127.0.0.1:9"]);
    assert_eq!((code, said.contains("made ")), (0, false), "{said}");
    assert_eq!(contents(&bus), before);

    std::fs::remove_file(bus.join("gateway.toml")).unwrap();
    let (code, said) = init(folder.path(), &["--yes"]);
    assert_eq!((code, said.matches("made ").count()), (0, 1), "{said}");
    assert_eq!(contents(&bus), before);
}

#[test]
fn half_of_what_belongs_together_is_told_and_not_completed() {
    for (lost, said) in [
        ("keys/period.key", "period.key is not there, and the other keys of the log are"),
        ("pki/gateway.crt", "gateway.key is there without gateway.crt"),
        ("pki/ca.crt", "ca.crt"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        init(folder.path(), &[]);
        std::fs::remove_file(folder.path().join("bus").join(lost)).unwrap();
        let before = contents(&folder.path().join("bus"));
        let (code, told) = init(folder.path(), &["--yes"]);
        assert_eq!((code, told.contains(said)), (1, true), "{lost}: {told}");
        assert_eq!(contents(&folder.path().join("bus")), before);
    }
}

#[test]
fn an_authority_that_exists_signs_the_requests() {
    let folder = tempfile::tempdir().unwrap();
    let (_, issuer) = run(folder.path(), &["pki", "init", "state", "--name", "State CA"]);
    let (code, said) = init(folder.path(), &["--ca", "state/ca.crt"]);
    assert_eq!(code, 0, "{said}");
    let bus = folder.path().join("bus");
    assert!(!bus.join("pki/ca.key").exists() && !bus.join("systemd/chapar-crl.timer").exists());
    assert!(std::fs::read_to_string(bus.join("registry/bus/lorestan.toml")).unwrap().contains(issuer.trim()));
    let gateway = "spiffe://lorestan.example/bus/lorestan/gateway";
    let sign = [
        "pki",
        "sign",
        "state",
        "bus/pki/gateway.csr",
        gateway,
        "--dns",
        "gateway.lorestan.example",
        "--out",
        "bus/pki/gateway",
    ];
    assert_eq!(run(folder.path(), &sign).0, 0);
    let (code, said) = run(&bus, &["gateway", "--config", "gateway.toml", "--check"]);
    assert_eq!(code, 0, "{said}");

    let (code, said) =
        run(folder.path(), &["init", "other", "--domain", "lorestan.example", "--ca", "bus/pki/gateway.crt"]);
    assert_eq!((code, said.contains("is no authority's")), (1, true), "{said}");
}

#[test]
fn names_that_cannot_be_are_mistakes_in_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [
        ["--domain", "Lorestan Bus"],
        ["--domain", ""],
        ["--code", "a/b"],
        ["--approver", "a/b"],
        ["--approver", "a b"],
    ] {
        let arguments = [&["init", "bus", "--domain", "lorestan.example"], &arguments[..]].concat();
        // A repeated option is refused by itself; the domain stands once.
        let arguments: Vec<&str> = match arguments.iter().filter(|argument| **argument == "--domain").count()
        {
            2 => [&["init", "bus"], &arguments[4..]].concat(),
            _ => arguments,
        };
        let (code, said) = run(folder.path(), &arguments);
        assert_eq!(code, 2, "{arguments:?}: {said}");
    }
}

#[test]
fn keys_of_a_log_are_made_once() {
    let folder = tempfile::tempdir().unwrap();
    let keygen = ["evidence", "keygen", "bus.lorestan.example/evidence", "--out", "keys"];
    let (code, key) = run(folder.path(), &keygen);
    assert_eq!((code, key.starts_with("bus.lorestan.example/evidence+")), (0, true), "{key}");
    let before = contents(folder.path());
    assert_eq!(before.len(), 3);
    // One of them is enough: keys that do not belong together are of no use.
    for left in ["evidence.key", "evidence.pub", "period.key"] {
        let (code, said) = run(folder.path(), &keygen);
        assert_eq!((code, said.contains("is there already")), (1, true), "{said}");
        assert_eq!(contents(folder.path()), before);
        let alone = tempfile::tempdir().unwrap();
        std::fs::create_dir(alone.path().join("keys")).unwrap();
        std::fs::write(alone.path().join("keys").join(left), "x").unwrap();
        assert_eq!(run(alone.path(), &keygen).0, 1, "{left}");
        assert_eq!(contents(alone.path()).len(), 1, "{left}");
    }
}

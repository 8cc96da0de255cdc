//! Tests of what a settings file may say, and at which line and column an error is reported.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed unwrap is a failed test")]

use super::*;

const WHOLE: &str = r#"
[gateway]
listen = "127.0.0.1:7443"
admin = "127.0.0.1:7480"
identity = { cert = "pki/gateway.crt", key = "pki/gateway.key", trust = "pki/ca.crt" }
registry = "registry"
contracts = ["contracts/civil"]
max_message = "512KiB"
drain = "2s"

[evidence]
path = "evidence"
origin = "bus.lorestan.example/evidence"
signing_key = "evidence.key"
period_key = "period.key"
checkpoint_every = "700ms"
"#;

fn load(text: &str) -> Result<Config, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gateway.toml");
    std::fs::write(&path, text).unwrap();
    Config::load(&path)
}

#[test]
fn units_stand_in_the_value_and_paths_start_at_the_file() {
    let config = load(WHOLE).unwrap();
    assert_eq!(config.gateway.max_message, 512 << 10);
    assert_eq!(config.evidence.checkpoint_every, Duration::from_millis(700));
    assert!(config.gateway.registry.is_absolute() && config.gateway.registry.ends_with("registry"));
}

#[test]
fn an_unknown_key_is_refused_with_its_line_and_column() {
    let text = WHOLE.replace("drain =", "dairn =");
    match load(&text).unwrap_err() {
        ConfigError::Parse { line, column, message, .. } => {
            assert_eq!((line, column), (9, 1));
            assert!(message.contains("dairn"), "{message}");
        }
        other => panic!("{other}"),
    }
}

#[test]
fn the_state_folder_is_beside_the_log_whatever_the_paths_form() {
    for path in ["evidence", "evidence/", "./evidence//"] {
        let config = load(&WHOLE.replace("path = \"evidence\"", &format!("path = \"{path}\"")));
        let state = config.unwrap_or_else(|error| panic!("{path}: {error}")).evidence_state();
        assert!(state.ends_with("evidence.state"), "{}", state.display());
    }
}

#[test]
fn settings_that_cannot_work_are_refused_with_their_line() {
    let at = |after: &str, line: &str| WHOLE.replace(after, &format!("{after}\n{line}"));
    let drain = "drain = \"2s\"";
    let period = "period_key = \"period.key\"";
    let cases = [
        (WHOLE.replace("127.0.0.1:7480", "0.0.0.0:7480"), 4, "`admin_beyond_loopback = true`"),
        (at(drain, "max_calls = 0"), 10, "`max_calls` is from 1"),
        (at(drain, "max_calls = 18446744073709551615"), 10, "max_calls"),
        (at(period, "queue = 8"), 16, "`queue` is at least twice `max_calls`, 8192 here"),
        (at(period, "queue = 7").replace(drain, "max_calls = 4"), 16, "8 here"),
        (WHOLE.replace("700ms", "0s"), 16, "`checkpoint_every` is from 10ms"),
        (WHOLE.replace("700ms", "2h"), 16, "`checkpoint_every` is from 10ms"),
    ];
    for (text, wanted, words) in cases {
        match load(&text).unwrap_err() {
            ConfigError::Parse { line, message, .. } => {
                assert!(line == wanted && message.contains(words), "{line}: {message}");
            }
            other => panic!("{other}"),
        }
    }
    let small = load(&at(period, "queue = 8").replace(drain, "max_calls = 4")).unwrap();
    assert_eq!(small.evidence_queue(), 8);
    assert_eq!(load(WHOLE).unwrap().evidence_queue(), 8192);
}

#[test]
fn a_size_without_a_unit_is_refused() {
    for wrong in ["\"512\"", "\"512kb\"", "\"64MiB\"", "\"1B\""] {
        let text = WHOLE.replace("\"512KiB\"", wrong);
        assert!(matches!(load(&text), Err(ConfigError::Parse { line: 8, .. })), "{wrong}");
    }
}

#[test]
fn a_redis_is_named_with_files_beside_the_settings() {
    let config =
        load(&format!("{WHOLE}[redis]\nurl = \"redis://127.0.0.1\"\npassword_file = \"a\"\n")).unwrap();
    let redis = config.redis.unwrap();
    assert!(redis.password_file.as_ref().unwrap().is_absolute());
    assert_eq!((redis.prefix.as_str(), config.gateway.replicas.get()), ("chapar", 1));
    for (line, told) in [
        ("prefix = \"\"", "`prefix` is 1 to 40"),
        ("prefix = \"a:b\"", "`prefix` is 1 to 40"),
        ("password = \"a\"", "unknown field `password`"),
    ] {
        let error = load(&format!("{WHOLE}[redis]\nurl = \"redis://127.0.0.1\"\n{line}\n")).unwrap_err();
        assert!(error.to_string().contains(told), "{error}");
    }
}

#[test]
fn what_a_redis_is_named_with_is_read_before_a_gateway_starts() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("password");
    std::fs::write(&secret, "a word\n").unwrap();
    let server = |url: &str, more: &str| {
        let path = folder.path().join("gateway.toml");
        std::fs::write(&path, format!("{WHOLE}[redis]\nurl = \"{url}\"\n{more}")).unwrap();
        Config::load(&path).unwrap().redis.unwrap().server().map_err(|error| error.to_string())
    };
    let with_password = || server("redis://127.0.0.1", "password_file = \"password\"\n");
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o604)).unwrap();
    assert!(with_password().unwrap_err().contains("/password, which is a secret that everyone"));
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    with_password().unwrap();
    for (url, more, told) in [
        ("redis://127.0.0.1", "password_file = \"none\"", "/none, which cannot be read: "),
        ("rediss://127.0.0.1", "cert = \"a\"", "`cert` and `key` belong together"),
        ("redis://a:b@127.0.0.1", "", "`url` holds a password"),
        ("redis://10.0.0.1", "", "`plaintext = true`"),
        ("redis://127.0.0.1", "ca = \"password\"", "are for `rediss://`"),
        ("rediss://127.0.0.1", "ca = \"password\"", "is no PEM of that kind"),
    ] {
        let error = server(url, more).unwrap_err();
        assert!(error.contains(told), "{error}");
    }
    server("redis://10.0.0.1", "plaintext = true").unwrap();
}

#[test]
fn gateways_that_serve_the_same_callers_are_1_to_100() {
    for (replicas, is_good) in [("0", false), ("1", true), ("100", true), ("101", false)] {
        let text = WHOLE.replace("drain = \"2s\"", &format!("replicas = {replicas}"));
        assert_eq!(load(&text).is_ok(), is_good, "{replicas}");
    }
}

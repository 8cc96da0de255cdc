//! Tests of files with an error: each is refused as a whole, with the place of the error, and no partial file
//! is left behind.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use chapar_tests::binary::chapar;
use chapar_tests::fleet::Fleet;
use chapar_tests::people::ZAHRA;
use chapar_tests::{Bus, repository};

#[tokio::test]
async fn a_registry_with_a_typing_error_names_file_line_and_what_was_meant() {
    let failed = Bus::builder()
        .edit("gov/civil-registry.toml", |text| {
            text.replacen("benefit.eligibility", "benefit.eligability", 1)
        })
        .try_start()
        .await
        .unwrap_err();

    assert!(failed.contains("civil-registry.toml:18"), "{failed}");
    assert!(failed.contains("benefit.eligibility"), "did you mean: {failed}");
}

#[tokio::test]
async fn all_findings_of_a_registry_are_told_at_once() {
    let failed = Bus::builder()
        .edit("gov/civil-registry.toml", |text| {
            text.replace("\"given_name\", \"birth_date\"", "\"givven_name\", \"birth_date\"")
                .replace("gov/school/admission", "gov/school/admision")
        })
        .try_start()
        .await
        .unwrap_err();
    assert!(failed.contains("givven_name") && failed.contains("admision"), "{failed}");
}

#[tokio::test]
async fn a_contract_that_has_changed_since_it_was_registered_is_refused() {
    let failed = Bus::builder()
        .edit("gov/civil-registry.toml", |text| text.replace("sha256:", "sha256:00"))
        .try_start()
        .await
        .unwrap_err();
    assert!(failed.contains("digest"), "{failed}");
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let failed = Bus::builder().listen(address).try_start().await.unwrap_err();
    assert!(failed.contains(&address.to_string()), "{failed}");
}

#[tokio::test]
async fn a_database_that_is_missing_or_no_database_is_named() {
    let missing = Bus::builder().database(None).try_start().await.unwrap_err();
    let garbage = Bus::builder().database(Some(&[0x55; 8192])).try_start().await.unwrap_err();
    for failed in [missing, garbage] {
        assert!(failed.contains("civil.db"), "{failed}");
    }
}

#[tokio::test]
async fn a_statement_that_does_not_fit_the_database_closes_its_method_alone_at_a_start() {
    let bus =
        Bus::builder().statement("GetPerson", |sql| sql.replace("father_name", "fathers_name")).start().await;
    let welfare = bus.welfare().await;
    let closed = welfare.get_person(ZAHRA).send().await.unwrap_err();
    assert_eq!(closed.reason, "SCHEMA_DRIFT");
    let children = welfare.ask("civil.v1.CivilRegistry/ListChildren").purpose("benefit.eligibility");
    assert!(children.field("national_id", ZAHRA).send().await.is_ok());
}

#[tokio::test]
async fn a_start_on_a_database_that_no_statement_fits_names_every_file() {
    let wrong = |sql: String| sql.replace("FROM ", "FROM old_");
    let failed = Bus::builder()
        .statement("GetPerson", wrong)
        .statement("ListChildren", wrong)
        .statement("VerifyIdentity", wrong)
        .try_start()
        .await
        .unwrap_err();
    for file in ["GetPerson.sql", "ListChildren.sql", "VerifyIdentity.sql"] {
        assert!(failed.contains(file), "{failed}");
    }
}

#[test]
fn the_example_configuration_is_read_by_the_real_parser() {
    let folder = repository().join("deploy/config");
    let gateway = chapar_gateway::Config::load(&folder.join("gateway.toml")).unwrap();
    assert_eq!(gateway.gateway.listen.port(), 7443);
    let adapter = chapar_adapter::Config::load(&folder.join("adapter.toml")).unwrap();
    let dials = |gateways: &[String]| gateways == ["gateway.lorestan.example:7443"];
    assert!(matches!(&adapter.mode, chapar_adapter::ConnectMode::Dial { gateways, .. } if dials(gateways)));
    let counter = chapar_counter::Config::load(&folder.join("counter.toml")).unwrap();
    assert_eq!(counter.gateway.server_name, "gateway.lorestan.example");
    let auditor = chapar_auditor::Config::load(&folder.join("auditor.toml")).unwrap();
    assert_eq!((auditor.logs.len(), auditor.state.to_str()), (1, Some("/var/lib/chapar-auditor")));
    let witness = chapar_auditor::WitnessConfig::load(&folder.join("witness.toml")).unwrap();
    assert_eq!(witness.logs.len(), 1);
}

/// The units, with the binary that is tested in place of the installed one.
fn units() -> (tempfile::TempDir, Vec<PathBuf>) {
    let folder = tempfile::tempdir().unwrap();
    let mut copies = Vec::new();
    for unit in std::fs::read_dir(repository().join("deploy/systemd")).unwrap() {
        let unit = unit.unwrap().path();
        let text = std::fs::read_to_string(&unit).unwrap();
        let copy = folder.path().join(unit.file_name().unwrap());
        std::fs::write(&copy, text.replace("/usr/bin/chapar", chapar().to_str().unwrap())).unwrap();
        copies.push(copy);
    }
    copies.sort();
    (folder, copies)
}

#[test]
fn systemd_takes_every_unit_as_it_is_and_finds_little_exposed() {
    let (folder, units) = units();
    let verified =
        Command::new("systemd-analyze").args(["verify", "--man=no"]).args(&units).output().unwrap();
    let said = String::from_utf8_lossy(&verified.stderr);
    // Whatever it does not understand it tells and passes over, with exit 0.
    assert!(verified.status.success() && said.is_empty(), "{said}");

    // Exposure from 0 to 100; a unit without any restriction has 96.
    let services = units.iter().filter(|unit| unit.extension().is_some_and(|it| it == "service"));
    for unit in services {
        let name = PathBuf::from(".").join(unit.file_name().unwrap());
        let judged = Command::new("systemd-analyze")
            .args(["security", "--offline=true", "--threshold=15", "--no-pager"])
            .arg(&name)
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(judged.status.success(), "{}: {}", unit.display(), String::from_utf8_lossy(&judged.stdout));
    }

    // What is misspelt would be passed over when the unit starts.
    let broken = folder.path().join("chapar-gateway.service");
    let text = std::fs::read_to_string(&broken).unwrap().replace("NoNewPrivileges", "NoNewPrivilege");
    std::fs::write(&broken, text).unwrap();
    let verified =
        Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&broken).output().unwrap();
    assert!(String::from_utf8_lossy(&verified.stderr).contains("NoNewPrivilege"), "{verified:?}");
}

#[test]
fn the_units_try_again_for_ever_and_may_use_socket_files() {
    let units = std::fs::read_dir(repository().join("deploy/systemd")).unwrap();
    let units = units
        .map(|unit| unit.unwrap().path())
        .filter(|unit| unit.extension().is_some_and(|it| it == "service"));
    let mut count = 0;
    for unit in units {
        let text = std::fs::read_to_string(&unit).unwrap();
        for line in [
            "StartLimitIntervalSec=0",
            "Restart=on-failure",
            "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX",
        ] {
            assert!(text.lines().any(|known| known == line), "{line}: {}", unit.display());
        }
        count += 1;
    }
    assert_eq!(count, 6);
}

#[test]
fn a_command_that_cannot_print_its_answer_fails() {
    let civil = repository().join("proto/civil");
    let check = |stdout: std::process::Stdio| {
        let mut check = Command::new(chapar());
        check.args(["contract", "check"]).arg(&civil).stdout(stdout).output().expect("the binary runs")
    };
    assert_eq!(check(std::process::Stdio::piped()).status.code(), Some(0));
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = check(full.into());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && said.contains("standard output is incomplete"), "{said}");
}

#[test]
fn contracts_are_compared_by_their_services_whatever_their_folders_are_called() {
    let folder = tempfile::tempdir().unwrap();
    let [old, new] = ["old", "new"].map(|name| folder.path().join(name));
    for (dir, names) in [(&old, ["civil", "health"]), (&new, ["civil-2", "health"])] {
        for (name, from) in names.into_iter().zip(["civil", "health"]) {
            let from = repository().join("proto").join(from);
            std::fs::create_dir_all(dir).unwrap();
            let copied = Command::new("cp").arg("-r").arg(from).arg(dir.join(name)).status().unwrap();
            assert!(copied.success());
        }
    }
    let compare = || {
        let mut compare = Command::new(chapar());
        let output = compare.args(["contract", "breaking"]).args([&old, &new]).output().expect("it runs");
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        (output.status.code(), said)
    };
    let (code, said) = compare();
    assert!(code == Some(0) && said.contains("0 breaking changes"), "{said}");

    let proto = new.join("civil-2/v1/civil.proto");
    let text = std::fs::read_to_string(&proto).unwrap();
    std::fs::write(&proto, text.replace("string given_name = 2 ", "string given_name = 12 ")).unwrap();
    let (code, said) = compare();
    assert!(code == Some(1) && said.contains("given_name"), "{said}");

    std::fs::remove_dir_all(new.join("health")).unwrap();
    let (code, said) = compare();
    assert!(code == Some(1) && said.contains("the service health.v1.InsuranceRegistry is gone"), "{said}");
}

#[tokio::test]
async fn a_check_fails_where_a_start_would_and_for_an_own_certificate_that_is_revoked() {
    let fleet = Fleet::new().await;
    let folder = fleet.start().await.stop().await;
    let check = || {
        let mut check = Command::new(chapar());
        check.args(["gateway", "--check", "--config"]).arg(folder.join("gateway.toml"));
        let output = check.output().expect("the binary runs");
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        (output.status.code(), said)
    };
    let (code, said) = check();
    assert_eq!(code, Some(0), "{said}");

    let token = folder.join("evidence.state/admin.token");
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o644)).unwrap();
    let (code, said) = check();
    assert!(code == Some(1) && said.contains("admin.token"), "{said}");
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)).unwrap();

    let settings = folder.join("gateway.toml");
    let with_lists = std::fs::read_to_string(&settings).unwrap();
    let (before, after) = with_lists.split_once(", crl = ").expect("a list");
    let (_, after) = after.split_once(" }").expect("the end of the identity");
    std::fs::write(&settings, format!("{before} }}{after}")).unwrap();
    let (code, said) = check();
    assert_eq!(code, Some(1), "as at a start: {said}");
    assert!(said.contains("comes without the revocation lists that there were before"), "{said}");
    std::fs::write(&settings, with_lists).unwrap();

    fleet.pki().revoke("gateway");

    let (code, said) = check();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("gateway.crt: the certificate is revoked"), "{said}");
}

/// Runs a command of the binary in a folder: its exit code, and what it says.
fn run(folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let output =
        Command::new(chapar()).args(arguments).current_dir(folder).output().expect("the binary runs");
    (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

const CHECK: [&str; 4] = ["gateway", "--check", "--config", "gateway.toml"];

#[tokio::test]
async fn a_check_tells_of_a_revocation_list_that_is_over_missing_or_not_configured() {
    let fleet = Fleet::new().await;
    let folder = fleet.start().await.stop().await;
    let (_, told) = run(&folder, &CHECK);
    assert!(told.contains("of CN=test CA is valid for another"), "{told}");

    fleet.pki().renew_trust(true);
    let (_, told) = run(&folder, &CHECK);
    assert!(told.contains("there is no certificate revocation list of CN=second CA"), "{told}");
    fleet.pki().renew_trust(false);

    fleet.pki().let_list_end();
    let (_, told) = run(&folder, &CHECK);
    assert!(
        told.contains("of CN=test CA expired") && told.contains("this CA's certificates are refused"),
        "{told}"
    );

    let settings = folder.join("gateway.toml");
    let text = std::fs::read_to_string(&settings).unwrap();
    let without = text.replace(", crl = \"../pki/ca.crl\"", "");
    assert_ne!(without, text);
    std::fs::write(&settings, without).unwrap();
    // As an operator does who wants to do without.
    std::fs::remove_file(folder.join("evidence.state/revocation.toml")).unwrap();
    let (code, told) = run(&folder, &CHECK);
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("revocation is not checked"), "{told}");
}

/// Writes `ROOT/NAME/v1/NAME.proto`, which imports `common/v1/t.proto`, and that file beside it.
fn contract_with_an_import(root: &Path, name: &str, fields: [&str; 2]) {
    let write = |path: PathBuf, text: String| {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let [first, second] = fields;
    write(
        root.join("common/v1/t.proto"),
        format!(
            "syntax = \"proto3\";\npackage common.v1;\nmessage Name {{ string {first} = 1; string {second} = 2; }}\n"
        ),
    );
    write(
        root.join(format!("{name}/v1/{name}.proto")),
        format!(
            "syntax = \"proto3\";\npackage {name}.v1;\nimport \"chapar/contract/v1/options.proto\";\n\
             import \"common/v1/t.proto\";\nservice S {{ rpc Get(Ask) returns (Say); }}\n\
             message Ask {{ string id = 1; }}\n\
             message Say {{ string id = 1 [(chapar.contract.v1.field).class = CLASS_PUBLIC]; }}\n"
        ),
    );
}

#[test]
fn two_contracts_that_bring_one_file_with_two_contents_are_refused_together_by_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    contract_with_an_import(&folder.join("one"), "a", ["given", "family"]);
    contract_with_an_import(&folder.join("other"), "b", ["family", "given"]);
    std::fs::create_dir(folder.join("registry")).unwrap();
    std::fs::write(folder.join("registry/bus.toml"), "[bus]\ntrust_domain = \"lorestan.example\"\n").unwrap();
    std::fs::write(
        folder.join("gateway.toml"),
        "[gateway]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n\
         identity = { cert = \"none.crt\", key = \"none.key\", trust = \"none.crt\" }\n\
         registry = \"registry\"\ncontracts = [\"one/a\", \"other/b\"]\n\
         [evidence]\npath = \"evidence\"\norigin = \"test.example/evidence\"\n\
         signing_key = \"none.key\"\nperiod_key = \"none.key\"\n",
    )
    .unwrap();
    for alone in ["one/a", "other/b"] {
        for command in
            [&["contract", "check", alone][..], &["registry", "check", "registry", "--contracts", alone]]
        {
            let (code, told) = run(folder, command);
            assert_eq!(code, Some(0), "{command:?}: {told}");
        }
    }
    for command in [
        &["contract", "check", "one/a", "other/b"][..],
        &["registry", "check", "registry", "--contracts", "one/a", "--contracts", "other/b"],
        &["registry", "check", "registry", "--config", "gateway.toml"],
        &CHECK,
    ] {
        let (code, told) = run(folder, command);
        assert_eq!(code, Some(1), "{command:?}: {told}");
        for named in ["common/v1/t.proto", "a.v1.S", "b.v1.S"] {
            assert!(told.contains(named), "{command:?} does not name {named}: {told}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stray_file_among_the_segments_is_named_once_and_keeps_no_gateway_from_starting() {
    let fleet = Fleet::new().await;
    let folder = fleet.start().await.stop().await;
    std::fs::write(folder.join("evidence/segments/.DS_Store"), "of a file manager").unwrap();

    let gateway = fleet.start_in(folder).await;

    fleet.client("welfare").get_person().await.unwrap();
    let log = gateway.log();
    let warnings = log.lines().filter(|line| line.contains("\"WARN\"") && line.contains(".DS_Store"));
    assert_eq!(warnings.count(), 1, "{log}");
    gateway.stop().await;
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").args([from, to]).status().expect("cp runs").success());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_copy_of_the_evidence_starts_no_gateway_until_its_loss_is_accepted() {
    let fleet = Fleet::new().await;
    let gateway = fleet.start().await;
    fleet.client("first").get_person().await.unwrap();
    let folder = gateway.stop().await;
    let [evidence, older] = ["evidence", "older"].map(|name| folder.join(name));
    copy(&evidence, &older);
    let gateway = fleet.start_in(folder.clone()).await;
    fleet.client("second").get_person().await.unwrap();
    gateway.stop().await;
    std::fs::copy(evidence.join("checkpoint"), folder.join("kept")).unwrap();
    let verify = ["evidence", "verify", "evidence", "--trust", "evidence.pub", "--since", "kept"];
    let since = || run(&folder, &verify);
    let (code, told) = since();
    assert_eq!(code, Some(0), "{told}");

    std::fs::rename(&evidence, folder.join("newer")).unwrap();
    copy(&older, &evidence);

    let (code, told) = since();
    assert_eq!(code, Some(4), "{told}");
    assert!(told.contains("2 entries were signed before, the log holds 1"), "{told}");
    let (code, told) = run(&folder, &CHECK);
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("chapar evidence accept-loss"), "{told}");
    // The fleet holds the port that its settings name.
    let settings = std::fs::read_to_string(folder.join("gateway.toml")).unwrap();
    let anywhere = settings.replace(&fleet.address().to_string(), "127.0.0.1:0");
    std::fs::write(folder.join("anywhere.toml"), anywhere).unwrap();
    let started = Command::new("timeout")
        .arg("20")
        .arg(chapar())
        .args(["gateway", "--config", "anywhere.toml"])
        .current_dir(&folder)
        .output()
        .expect("timeout runs");
    let told = String::from_utf8_lossy(&started.stderr);
    assert_eq!(started.status.code(), Some(1), "{told}");
    assert!(told.contains("chapar evidence accept-loss"), "{told}");

    let accept = ["evidence", "accept-loss", "--config", "gateway.toml", "--who", "m.rezaei"];
    let (code, told) = run(&folder, &[&accept[..], &["--reason", "disk 2 failed"]].concat());
    assert_eq!(code, Some(0), "{told}");

    let (code, told) = run(&folder, &CHECK);
    assert_eq!(code, Some(0), "{told}");
    let gateway = fleet.start_in(folder.clone()).await;
    fleet.client("third").get_person().await.unwrap();
    gateway.stop().await;
    assert_eq!(since().0, Some(4), "whoever kept a checkpoint sees the loss");
}

#[test]
fn completions_and_manual_pages_are_made_of_every_command() {
    let run = |arguments: &[&str]| Command::new(chapar()).arg("generate").args(arguments).output().unwrap();
    let script = run(&["completions", "bash"]).stdout;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chapar.bash");
    std::fs::write(&file, &script).unwrap();
    // Bash takes it, and offers what there is.
    let offer = format!(
        ". {}; COMP_WORDS=(chapar eviden) COMP_CWORD=1; _chapar chapar eviden chapar; printf '%s ' \"${{COMPREPLY[@]}}\"",
        file.display()
    );
    let offered = Command::new("bash").args(["--norc", "-c", &offer]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&offered.stdout).trim(), "evidence", "{offered:?}");

    let pages = folder.path().join("man");
    std::fs::create_dir(&pages).unwrap();
    assert!(run(&["man", pages.to_str().unwrap()]).status.success());
    for page in ["chapar.1", "chapar-check.1", "chapar-evidence-verify.1", "chapar-registry-suspend.1"] {
        let text = std::fs::read_to_string(pages.join(page)).unwrap();
        assert!(text.contains(".TH ") && text.contains(".SH SYNOPSIS"), "{page}");
    }
    let failed = run(&["man", folder.path().join("not-there").to_str().unwrap()]);
    assert!(failed.status.code() == Some(1) && String::from_utf8_lossy(&failed.stderr).contains("not-there"));
}

//! Files with an error: each is refused whole, with the place, and nothing half-made is left behind.

use std::process::Command;

use chapar_tests::binary::chapar;
use chapar_tests::fleet::Fleet;
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
async fn a_statement_that_does_not_fit_the_database_is_named_with_its_file() {
    let failed = Bus::builder()
        .statement("GetPerson", |sql| sql.replace("father_name", "fathers_name"))
        .try_start()
        .await
        .unwrap_err();
    assert!(failed.contains("GetPerson.sql"), "{failed}");
}

#[test]
fn the_example_configuration_is_read_by_the_real_parser() {
    let folder = repository().join("deploy/config");
    let gateway = chapar_gateway::Config::load(&folder.join("gateway.toml")).unwrap();
    assert_eq!(gateway.gateway.listen.port(), 7443);
    let adapter = chapar_adapter::Config::load(&folder.join("adapter.toml")).unwrap();
    let dials = |gateways: &[String]| gateways == ["gateway.lorestan.example:7443"];
    assert!(matches!(&adapter.mode, chapar_adapter::ConnectMode::Dial { gateways, .. } if dials(gateways)));
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

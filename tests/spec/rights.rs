//! Tests of what the registry can say beyond a grant to one subsystem: groups, hours, suspensions, and
//! services that are hidden.

use std::path::Path;
use std::process::Command;

use chapar_tests::binary::chapar;
use chapar_tests::people::ZAHRA;
use chapar_tests::{Bus, Caller, copy_folder, repository};

const CIVIL: &str = "gov/civil-registry.toml";
const COUNTER: &str = "office/khorramabad-12/counter";

async fn reason(caller: &Caller) -> String {
    caller.get_person(ZAHRA).send().await.err().map_or_else(|| "OK".to_owned(), |refused| refused.reason)
}

#[tokio::test]
async fn a_suspension_stops_the_next_call_of_a_connection_that_is_open_and_its_end_lets_it_go_on() {
    let bus = Bus::builder().at("2026-06-01T08:00:00Z").start().await;
    let welfare = bus.welfare().await;
    assert_eq!(reason(&welfare).await, "OK");

    bus.add(
        "suspensions.toml",
        "[[suspension]]\nof = \"gov/welfare\"\nuntil = 2026-06-01T13:30:00+03:30\nreason = \"a stolen laptop\"\n",
    );
    assert_eq!(bus.reload().await, "reloaded\n");

    let refused = welfare.get_person(ZAHRA).send().await.unwrap_err();
    assert_eq!((refused.reason.as_str(), refused.code), ("SUSPENDED", 7));
    assert!(!refused.message.contains("laptop"), "nobody is told why: {}", refused.message);
    assert!(welfare.rights().await.is_empty());
    bus.set_clock("2026-06-01T10:00:00Z");
    assert_eq!(reason(&welfare).await, "OK");
}

#[tokio::test]
async fn a_hidden_method_answers_as_an_unknown_one_to_the_last_byte() {
    let bus = Bus::builder()
        .edit(CIVIL, |text| text.replace("[[service]]", "[[service]]\nhidden = true"))
        .start()
        .await;
    let guest = bus.caller("office/khorramabad-12/guest").await;
    let ask = |path: &str| guest.ask("civil.v1.CivilRegistry/GetPerson").path(path);

    let mut answers = Vec::new();
    for path in ["/civil.v1.CivilRegistry/GetPerson", "/civil.v1.CivilRegistry/GetNobody"] {
        let plain = ask(path).purpose("loan.farm").send().await.unwrap_err();
        let without = ask(path).without_purpose().send().await.unwrap_err();
        let reserved = ask(path).header("chapar-caller", "x").send().await.unwrap_err();
        answers
            .push([plain, without, reserved].map(|refused| (refused.reason, refused.code, refused.message)));
    }

    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0][0].0, "METHOD_UNKNOWN");
    assert!(bus.welfare().await.get_person(ZAHRA).send().await.is_ok(), "who has a grant is answered");
}

#[tokio::test]
async fn the_directory_shows_what_could_be_asked_for_and_nothing_that_is_hidden() {
    const SERVICE: &str = "civil.v1.CivilRegistry";
    let bus = Bus::start().await;
    let guest = bus.caller("office/khorramabad-12/guest").await;
    assert!(guest.rights().await.is_empty(), "the guest may call nothing");
    assert_eq!(guest.directory().await, [SERVICE]);
    let (digest, descriptors) = guest.contract(SERVICE).await.unwrap();
    let read = chapar_contract::Contract::from_descriptor_set(descriptors.into()).unwrap();
    assert_eq!(read.digest(), digest, "the contract is whole");

    bus.edit_registry(CIVIL, |text| text.replace("[[service]]", "[[service]]\nhidden = true"));
    assert_eq!(bus.reload().await, "reloaded\n");

    assert!(guest.directory().await.is_empty());
    let hidden = guest.contract(SERVICE).await.unwrap_err();
    let unknown = guest.contract("civil.v1.Nothing").await.unwrap_err();
    assert_eq!((hidden.code, &hidden.message), (unknown.code, &unknown.message));
    assert_eq!(hidden.code, 5);
    assert_eq!(bus.welfare().await.directory().await, [SERVICE], "who has a grant knows of it");
}

#[tokio::test]
async fn offices_of_a_county_share_one_grant() {
    let group = "\n[[group]]\nid = \"counters\"\nwhere = { county = [\"1501\"] }\nclass = \"office\"\nsubsystem = \"counter\"\n";
    let grant = "\n[[grant]]\nid = \"counters-getperson\"\nto = \"group/counters\"\nmethod = \"civil.v1.CivilRegistry/GetPerson\"\n\
        purposes = [\"counter.identity_check\"]\nfields = [\"given_name\"]\nvalid = { from = 2026-01-01, until = 2027-12-31 }\nbasis = \"Test decree 6\"\n";
    let bus = Bus::builder()
        .edit("bus.toml", move |text| text + group)
        .edit(CIVIL, move |text| text + grant)
        .edit("office/khorramabad-12.toml", |text| {
            text.replace(
                "[[subsystem]]\nid = \"counter\"",
                "attributes = { county = \"1501\" }\n\n[[subsystem]]\nid = \"counter\"",
            )
        })
        .start()
        .await;
    let ask = |caller: &Caller| caller.get_person(ZAHRA).purpose("counter.identity_check");

    let counter = ask(&bus.caller(COUNTER).await).send().await.unwrap();
    let guest = ask(&bus.caller("office/khorramabad-12/guest").await).send().await.unwrap_err();

    assert_eq!(counter.json()["givenName"], "زهرا");
    assert_eq!(guest.reason, "NOT_GRANTED", "the group is of counters only");
    let records = bus.records().await;
    assert!(records.iter().any(|record| record.grant == "counters-getperson" && record.caller == COUNTER));
}

#[tokio::test]
async fn a_grant_with_hours_answers_within_them() {
    let hours = "hours    = { days = \"sat-wed\", from = \"07:30\", until = \"14:00\" }\nlimit    =";
    let bus = Bus::builder()
        .edit(CIVIL, move |text| text.replacen("limit    =", hours, 1))
        .at("2026-06-06T03:59:59Z") // a Saturday, 07:29:59 in Tehran
        .start()
        .await;
    let welfare = bus.welfare().await;
    assert_eq!(reason(&welfare).await, "OUT_OF_HOURS");
    bus.set_clock("2026-06-06T04:00:00Z");
    assert_eq!(reason(&welfare).await, "OK");
    bus.set_clock("2026-06-06T10:30:00Z");
    assert_eq!(reason(&welfare).await, "OUT_OF_HOURS");
}

/// `chapar registry …` in a folder, with the contracts of the repository.
fn registry(folder: &Path, arguments: &[&str]) {
    let mut command = Command::new(chapar());
    command
        .current_dir(folder)
        .arg("registry")
        .args(arguments)
        .arg("--contracts")
        .arg(repository().join("proto"));
    let output = command.output().expect("the command runs");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn a_gateway_that_reads_a_store_follows_its_generations() {
    let bus = Bus::start().await;
    let welfare = bus.welfare().await;
    let root = bus.folder();
    let draft = root.join("draft");
    std::fs::rename(root.join("registry"), &draft).unwrap();
    registry(root, &["apply", "--store", "store", "--new", "draft", "--by", "dara"]);
    std::os::unix::fs::symlink("store/current", root.join("registry")).unwrap();
    assert_eq!(bus.reload().await, "reloaded\n");
    assert_eq!(reason(&welfare).await, "OK");

    let file = draft.join(CIVIL);
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replacen("\"benefit.eligibility\"", "\"counter.identity_check\"", 1)).unwrap();
    let key = Command::new(chapar())
        .current_dir(root)
        .args(["registry", "key", "dara", "--out", "dara.key"])
        .output();
    assert!(key.unwrap().status.success());
    registry(root, &["plan", "store", "draft", "--key", "dara.key", "--out", "plan"]);
    registry(root, &["apply", "plan", "--store", "store", "--new", "draft", "--by", "dara"]);

    // By itself: the link has another file behind it now.
    for _ in 0..100 {
        if reason(&welfare).await == "PURPOSE_NOT_GRANTED" {
            registry(root, &["rollback", "store", "1", "--by", "dara", "--reason", "a mistake"]);
            assert_eq!(bus.reload().await, "reloaded\n");
            assert_eq!(reason(&welfare).await, "OK");
            return;
        }
        // Slower than the grant's rate.
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("the new generation is not taken up");
}

#[tokio::test]
async fn a_past_call_is_explained_by_its_receipt() {
    let bus = Bus::builder().at("2026-06-01T08:00:00Z").start().await;
    let welfare = bus.welfare().await;
    let answer = welfare.get_person(ZAHRA).send().await.unwrap();
    let receipt = welfare.receipt(answer.entry().unwrap()).await.unwrap();
    std::fs::write(bus.folder().join("receipt.txt"), receipt).unwrap();
    std::fs::write(bus.folder().join("key"), bus.trust().to_string()).unwrap();
    let explain = |more: &[&str]| {
        let mut command = Command::new(chapar());
        command.current_dir(bus.folder()).args([
            "explain",
            "registry",
            "--receipt",
            "receipt.txt",
            "--trust",
            "key",
        ]);
        let output = command.args(more).arg("--contracts").arg(repository().join("proto")).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };

    let (code, said) = explain(&[]);
    let (then, other) = explain(&["--at", "2028-01-01T00:00:00Z"]);

    for part in [
        "recorded outcome: OK",
        "gov/welfare/benefits calls civil.v1.CivilRegistry/GetPerson at 2026-06-01T08:00:00Z",
        "allowed by the grant welfare-getperson",
    ] {
        assert!(said.contains(part), "{part} in\n{said}");
    }
    assert!(!said.contains("another registry") && !said.contains(ZAHRA), "{said}");
    assert!(other.contains("refused: GRANT_EXPIRED"), "what if it were later: {other}");
    assert_eq!((code, then), (Some(0), Some(1)));
}

#[tokio::test]
async fn a_plan_tells_from_the_evidence_when_what_it_takes_was_last_used() {
    // The command looks back from today.
    let today = chapar_model::Clock::system().now().to_string();
    let bus =
        Bus::builder().at(&today).edit(CIVIL, |text| text.replace("2027-12-31", "2099-12-31")).start().await;
    let welfare = bus.welfare().await;
    let root = bus.folder().to_owned();
    for _ in 0..3 {
        welfare.get_person(ZAHRA).send().await.unwrap();
    }
    let draft = root.join("draft");
    copy_folder(&root.join("registry"), &draft);
    let text = std::fs::read_to_string(draft.join(CIVIL)).unwrap();
    let (before, after) = text.split_once("[[grant]]\nid       = \"welfare-getperson\"").unwrap();
    let (_, after) = after.split_once("[[grant]]").unwrap();
    let after = after.replace("\"given_name\", \"father_name\"", "\"given_name\"");
    std::fs::write(draft.join(CIVIL), format!("{before}[[grant]]{after}")).unwrap();
    let log = bus.stop().await;

    let mut command = Command::new(chapar());
    command.current_dir(log.path()).args([
        "registry",
        "plan",
        "registry",
        "draft",
        "--evidence",
        "evidence",
        "--contracts",
    ]);
    let output = command.arg(repository().join("proto")).output().unwrap();

    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    for part in [
        "  - grant welfare-getperson",
        "  school-getperson: not used in 30 days",
        "  welfare-getperson: 3 calls in 30 days, the last at 2",
        "by gov/welfare/benefits",
    ] {
        assert!(said.contains(part), "{part} in\n{said}");
    }
}

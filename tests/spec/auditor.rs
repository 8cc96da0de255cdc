//! Tests that a gateway's evidence log is watched from outside: witnesses cosign it, whatever a hostile one
//! answers, and an auditor reads all of it and finds what is done to it.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use chapar_auditor::{AuditStatus, Auditor, Config, Index};
use chapar_evidence::verify::{self, Witnesses};
use chapar_evidence::{AddCheckpoint, WitnessKey, cosigned_path};
use chapar_tests::binary::chapar;
use chapar_tests::operator::OPERATIONS;
use chapar_tests::people::{OMID, ZAHRA};
use chapar_tests::witness::{AUDITOR, WitnessAt};
use chapar_tests::{Bus, copy_folder, until};
use tokio_util::sync::CancellationToken;

const SOON: Duration = Duration::from_secs(15);

/// Waits until the newest cosigned checkpoint covers so many entries.
async fn until_cosigned(bus: &Bus, size: u64) {
    let covers = async || bus.log().cosigned().is_some_and(|(checkpoint, _)| checkpoint.size >= size);
    until("it is cosigned", SOON, covers, || format!("{:?}", bus.log().cosigned())).await;
}

async fn ask(bus: &Bus) -> Result<String, String> {
    match bus.welfare().await.get_person(ZAHRA).send().await {
        Ok(person) => Ok(person.entry().unwrap().to_owned()),
        Err(refused) => Err(refused.reason),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_is_cosigned_by_all_witnesses_and_receipts_and_the_folder_verify_by_their_keys() {
    let (mut first, mut second) = (WitnessAt::new("a.example"), WitnessAt::new("b.example"));
    let bus = Bus::builder().with_witnesses(&[&first, &second], 2, "").start().await;
    let _serving = (first.serve(&bus.trust(), bus.clock()), second.serve(&bus.trust(), bus.clock()));
    let entry = ask(&bus).await.unwrap();
    until_cosigned(&bus, 1).await;

    let receipt = bus.welfare().await.receipt(&entry).await.unwrap();
    let keys = || vec![first.key().clone(), second.key().clone()];
    let both = Witnesses::new(keys(), 2).unwrap();
    let verified = verify::receipt_cosigned(&receipt, &bus.trust(), &both).unwrap();
    for name in ["a.example on 2026-11-23T08:00:00Z", "b.example on 2026-11-23T08:00:00Z"] {
        assert!(verified.sentence().contains(name), "{}", verified.sentence());
    }
    // Whoever does not know the witnesses is told that their lines say nothing.
    let plain = verify::receipt(&receipt, &bus.trust()).unwrap();
    assert!(plain.sentence().contains("2 signatures of other keys not checked"), "{}", plain.sentence());
    for at in 0..receipt.len() {
        let mut altered = receipt.clone();
        altered[at] ^= 1;
        assert!(verify::receipt_cosigned(&altered, &bus.trust(), &both).is_err(), "bit 0 of byte {at}");
    }
    let stranger = WitnessAt::new("a.example");
    let other = Witnesses::new(vec![stranger.key().clone()], 1).unwrap();
    assert!(verify::receipt_cosigned(&receipt, &bus.trust(), &other).is_err());

    let folder = bus.stop().await;
    let log = folder.path().join("evidence");
    let note = std::fs::read(cosigned_path(&log)).unwrap();
    let trust = chapar_tests::trust(folder.path());
    let since = verify::checkpoint(&note, &trust, &both).unwrap();
    verify::directory(&log, &trust, &[since]).unwrap();
}

/// What a witness answers: HTTP status line and headers, and a body.
fn http(status: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_hostile_witness_answers_calls_are_answered_and_nothing_is_kept_as_cosigned_by_it() {
    type Answer = Box<dyn Fn(&str, &WitnessKey) -> Vec<u8> + Send + Sync>;
    let cosign = |time: u64, text: &'static str| -> Answer {
        Box::new(move |body, key| {
            let request = AddCheckpoint::parse(body).unwrap();
            let own = request.checkpoint.split_once("\n\n").unwrap().0.to_owned() + "\n";
            let signed = if text.is_empty() { own } else { text.to_owned() };
            http("200 OK", key.cosign(&signed, time).as_bytes())
        })
    };
    // A cosignature by another key under the witness's name.
    let stranger: Answer = Box::new(|body, _| {
        let request = AddCheckpoint::parse(body).unwrap();
        let own = request.checkpoint.split_once("\n\n").unwrap().0.to_owned() + "\n";
        let line = WitnessKey::generate("hostile.example").unwrap().cosign(&own, 1_795_420_800);
        http("200 OK", line.as_bytes())
    });
    let say = |answer: Vec<u8>| -> Answer { Box::new(move |_, _| answer.clone()) };
    let other = "other.example/log\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";
    let cases: [(&str, Duration, Answer); 14] = [
        ("nothing", Duration::ZERO, say(Vec::new())),
        ("garbage", Duration::ZERO, say(b"\x00\xff\r\n\r\n".repeat(100))),
        ("a page", Duration::ZERO, say(http("200 OK", b"<html>welcome</html>"))),
        ("an old time", Duration::ZERO, cosign(1_000_000_000, "")),
        ("a time to come", Duration::ZERO, cosign(u64::MAX, "")),
        ("another log's checkpoint", Duration::ZERO, cosign(1_795_420_800, other)),
        ("another key", Duration::ZERO, stranger),
        ("an absurd size", Duration::ZERO, say(http("409 Conflict", b"18446744073709551615\n"))),
        ("no size", Duration::ZERO, say(http("409 Conflict", b"many\n"))),
        ("size by size", Duration::ZERO, say(http("409 Conflict", b"1\n"))),
        (
            "a redirect",
            Duration::ZERO,
            say(b"HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n"
                .to_vec()),
        ),
        ("10 MiB", Duration::ZERO, say(http("200 OK", &vec![b'a'; 10 << 20]))),
        ("a long header", Duration::ZERO, say([&b"HTTP/1.1 200 OK\r\nX: "[..], &vec![b'a'; 1 << 20]].concat())),
        ("10 bytes a second", Duration::from_millis(100), say(http("200 OK", &[b'a'; 1000]))),
    ];
    let mut checks = Vec::new();
    for (name, pause, answer) in cases {
        checks.push(async move {
            let (mut good, mut hostile) = (WitnessAt::new("good.example"), WitnessAt::new("hostile.example"));
            let bus = Bus::builder().with_witnesses(&[&good, &hostile], 1, "").start().await;
            let _good = good.serve(&bus.trust(), bus.clock());
            let key = hostile.key().clone();
            let secret = hostile.secret();
            let (_hostile, asked) = hostile.answer(pause, move |body| answer(body, &secret));
            for size in 1..=3 {
                assert!(ask(&bus).await.is_ok(), "{name}");
                until_cosigned(&bus, size).await;
            }
            assert!(*asked.lock() > 0, "{name}: it was asked");
            let (_, note) = bus.log().cosigned().unwrap();
            let only = Witnesses::new(vec![key], 1).unwrap();
            assert!(only.check(&note).is_err(), "{name}: {note}");
            assert_eq!(note.matches("\n— ").count(), 2, "{name}: the log and the good one: {note}");
        });
    }
    futures_util::future::join_all(checks).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_quorum_a_gateway_goes_on_for_the_grace_and_no_longer_until_it_has_one() {
    let mut witness = WitnessAt::new("a.example");
    let mut bus = Bus::builder().with_witnesses(&[&witness], 1, "grace = \"1m\"").start().await;
    let serving = witness.serve(&bus.trust(), bus.clock());
    ask(&bus).await.unwrap();
    until_cosigned(&bus, 1).await;
    drop(serving);
    // Quiet hours are no reason: there is nothing to cosign.
    bus.set_clock("2026-11-23T12:00:00Z");
    tokio::time::sleep(Duration::from_secs(2)).await;
    ask(&bus).await.unwrap();
    bus.set_clock("2026-11-23T12:00:59Z");
    tokio::time::sleep(Duration::from_secs(2)).await;
    ask(&bus).await.unwrap();
    bus.set_clock("2026-11-23T12:01:01Z");
    let refused = async || ask(&bus).await.is_err();
    until("calls are refused", SOON, refused, String::new).await;
    assert_eq!(ask(&bus).await, Err("EVIDENCE_UNAVAILABLE".to_owned()));
    assert!(bus.admin("/readyz").await.contains("witnesses have not cosigned"));
    // A restart does not renew it.
    bus.restart_gateway().await;
    until("calls are refused", SOON, async || ask(&bus).await.is_err(), String::new).await;
    let _serving = witness.serve(&bus.trust(), bus.clock());
    until("calls are taken", SOON, async || ask(&bus).await.is_ok(), String::new).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_log_has_its_grace_from_its_first_entry_on() {
    let witness = WitnessAt::new("a.example");
    let bus = Bus::builder().with_witnesses(&[&witness], 1, "grace = \"1m\"").start().await;
    bus.set_clock("2026-11-23T09:00:00Z");
    // Longer than a round without an answer, after which the grace is looked at.
    for _ in 0..9 {
        ask(&bus).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    bus.set_clock("2026-11-23T09:01:01Z");
    until("calls are refused", SOON, async || ask(&bus).await.is_err(), String::new).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_witnesses_cosign_what_earlier_ones_did_also_while_the_log_is_quiet() {
    let (mut first, mut second) = (WitnessAt::new("a.example"), WitnessAt::new("b.example"));
    let mut bus = Bus::builder().with_witnesses(&[&first], 1, "grace = \"1m\"").start().await;
    let serving = first.serve(&bus.trust(), bus.clock());
    ask(&bus).await.unwrap();
    until_cosigned(&bus, 1).await;
    drop(serving);
    // The first one goes, and the second takes its place in the settings.
    let settings = bus.folder().join("gateway.toml");
    let text = std::fs::read_to_string(&settings).unwrap();
    std::fs::write(&settings, second.in_place_of(&first, &text)).unwrap();
    let _serving = second.serve(&bus.trust(), bus.clock());
    bus.restart_gateway().await;
    let only = Witnesses::new(vec![second.key().clone()], 1).unwrap();
    let is_cosigned = async || bus.log().cosigned().is_some_and(|(_, note)| only.check(&note).is_ok());
    until("the second has cosigned", SOON, is_cosigned, || format!("{:?}", bus.log().cosigned())).await;
    bus.set_clock("2026-11-23T09:00:00Z");
    tokio::time::sleep(Duration::from_secs(2)).await;
    ask(&bus).await.unwrap();
    until_cosigned(&bus, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_witness_may_sign_under_several_keys_and_the_one_that_is_known_counts() {
    let mut witness = WitnessAt::new("a.example");
    let bus = Bus::builder().with_witnesses(&[&witness], 1, "").start().await;
    let (known, new) = (witness.secret(), WitnessKey::generate("a.example").unwrap());
    let (_serving, _) = witness.answer(Duration::ZERO, move |body| {
        let request = AddCheckpoint::parse(body).unwrap();
        let text = request.checkpoint.split_once("\n\n").unwrap().0.to_owned() + "\n";
        // The harness's clock stands.
        let [new, known] = [&new, &known].map(|key| key.cosign(&text, 1_795_420_800));
        http("200 OK", format!("— b.example AAAA\n{new}{known}").as_bytes())
    });
    ask(&bus).await.unwrap();
    until_cosigned(&bus, 1).await;
}

/// An auditor of a bus, in this process.
struct Running {
    state: tempfile::TempDir,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    async fn start(bus: &Bus) -> Self {
        let state = tempfile::tempdir().unwrap();
        let config: Config = bus.auditor_config(state.path());
        let auditor = Auditor::bind(config, bus.clock()).await.unwrap();
        let stop = CancellationToken::new();
        Self { state, task: tokio::spawn(auditor.run(stop.clone())), stop }
    }

    fn status(&self) -> AuditStatus {
        AuditStatus::of(&Index::open_existing(self.state.path()).unwrap()).unwrap()
    }

    async fn until_verified(&self, size: u64) {
        let verified = async || self.status().logs[0].verified == size;
        until("it is verified", SOON, verified, || format!("{:?}", self.status())).await;
    }

    async fn until_alarm(&self, kind: &str) {
        let raised = async || self.status().alarms.iter().any(|alarm| alarm.kind == kind);
        until(kind, SOON, raised, || format!("{:?}", self.status())).await;
    }

    async fn end(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_auditor_reads_all_of_a_gateways_log_under_its_role_and_nobody_else_does() {
    let bus = Bus::builder().with_auditor().with_operator().start().await;
    let auditor = Running::start(&bus).await;
    for size in 1..=3 {
        ask(&bus).await.unwrap();
        auditor.until_verified(size).await;
    }
    assert!(auditor.status().alarms.is_empty() && auditor.status().logs[0].unfindable_from.is_none());
    for subsystem in ["gov/welfare/benefits", OPERATIONS] {
        for refused in [
            bus.client(subsystem).log_checkpoints().await.err().unwrap(),
            bus.client(subsystem).log_entries(0).await.err().unwrap(),
        ] {
            assert!(refused.to_string().contains("NOT_GRANTED"), "{refused}");
        }
    }
    let client = bus.client(AUDITOR);
    // No more than the checkpoint covers, and nothing at its end or beyond.
    assert_eq!(client.log_entries(1).await.unwrap().len(), 2);
    for start in [3, 4, u64::MAX] {
        assert!(client.log_entries(start).await.unwrap().is_empty());
    }
    assert!(client.status().await.is_err(), "an auditor is no operator");
    auditor.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_put_back_with_its_state_file_and_goes_on_is_seen_by_auditor_witness_and_operator() {
    let mut witness = WitnessAt::new("a.example");
    let builder = Bus::builder().with_auditor().with_operator();
    let mut bus = builder.with_witnesses(&[&witness], 1, "").start().await;
    let _serving = witness.serve(&bus.trust(), bus.clock());
    let auditor = Running::start(&bus).await;
    ask(&bus).await.unwrap();
    until_cosigned(&bus, 1).await;
    let at = |bus: &Bus, name: &str| bus.folder().join(name);
    for name in ["evidence", "evidence.state"] {
        copy_folder(&at(&bus, name), &at(&bus, &format!("older.{name}")));
    }
    for _ in 0..3 {
        ask(&bus).await.unwrap();
    }
    until_cosigned(&bus, 4).await;
    auditor.until_verified(4).await;
    bus.stop_gateway_in_a_hurry().await.unwrap();
    for name in ["evidence", "evidence.state"] {
        std::fs::remove_dir_all(at(&bus, name)).unwrap();
        std::fs::rename(at(&bus, &format!("older.{name}")), at(&bus, name)).unwrap();
    }
    // The gateway itself cannot tell: all that it has is as it was.
    bus.restart_gateway().await;
    let other = bus.welfare().await;
    other.get_person(OMID).send().await.unwrap();
    let told = async || {
        let status = bus.client(OPERATIONS).status().await.unwrap();
        status.evidence.unwrap().witnesses.unwrap().witnesses[0].problem.contains("put back")
    };
    until("an operator is told", SOON, told, String::new).await;
    for _ in 0..6 {
        other.get_person(OMID).send().await.unwrap();
    }
    let forked = async || {
        let status = bus.client(OPERATIONS).status().await.unwrap();
        status.evidence.unwrap().witnesses.unwrap().witnesses[0].problem.contains("forked")
    };
    until("an operator is told", SOON, forked, String::new).await;
    assert_eq!(bus.log().cosigned().unwrap().0.size, 1, "nothing of the fork is cosigned");
    // The auditor dials the address that the gateway had before; it is told of the other one.
    let config = bus.auditor_config(auditor.state.path());
    auditor.stop.cancel();
    auditor.task.await.unwrap();
    let again = Auditor::bind(config, bus.clock()).await.unwrap();
    let stop = CancellationToken::new();
    let auditor = Running { task: tokio::spawn(again.run(stop.clone())), stop, state: auditor.state };
    auditor.until_alarm("forked").await;
    assert_eq!(auditor.status().logs[0].verified, 4, "what was verified stays");
    auditor.end().await;
}

fn run(demo: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(chapar());
    command.env_remove("CHAPAR_DEMO").current_dir(demo).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn the_demos_auditor_answers_from_its_index_what_the_logs_say_and_each_question_is_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let demo = folder.path().join("demo");
    let story = ["demo", "--once", "--json", "--people", "100", "--dir"];
    let told = Command::new(chapar()).args(story).arg(&demo).output().unwrap();
    assert!(told.status.success(), "{}", text(&told.stderr));
    let json: serde_json::Value =
        serde_json::from_slice(&std::fs::read(demo.join("demo.json")).unwrap()).unwrap();
    let farmer = json["sample"][0]["national_id"].as_str().unwrap();
    assert_eq!(json["auditor"]["config"], "auditor.toml");

    let status = run(&demo, &["auditor", "status", "--config", "auditor.toml", "--output", "json"]);
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    let verified = status["logs"][0]["verified"].as_u64().unwrap();
    assert!(verified > 50 && status["alarms"].as_array().unwrap().is_empty(), "{status}");

    let search = |more: &[&str]| -> Vec<String> {
        let found =
            run(&demo, &[&["evidence", "search", "--output", "json", "--limit", "1000"], more].concat());
        assert!(found.status.success(), "{}", text(&found.stderr));
        assert!(!text(&found.stderr).contains(farmer));
        let found: serde_json::Value = serde_json::from_slice(&found.stdout).unwrap();
        let entries = found["entries"].as_array().unwrap().iter();
        let mut entries: Vec<String> = entries.map(|one| one["entry"].as_str().unwrap().to_owned()).collect();
        entries.sort();
        entries
    };
    let by_auditor = ["--auditor", "auditor.toml", "--who", "m.rezaei", "--reason", "complaint 12"];
    for filter in [&["--subject", farmer][..], &["--clerk", "z.karimi", "--outcome", "OK"]] {
        let known = search(&[&["--demo", "."], filter].concat());
        // The auditor stops before the gateways do, and may miss the last entry.
        let found = search(&[&by_auditor, filter].concat());
        assert!(known.len() > 5 && known.len() - found.len() <= 1, "{known:?} {found:?}");
        assert!(found.iter().all(|entry| known.contains(entry)));
    }
    let without = run(&demo, &["evidence", "search", "--auditor", "auditor.toml", "--subject", farmer]);
    assert_eq!(without.status.code(), Some(2), "{}", text(&without.stderr));

    let questions = ["evidence", "verify", "auditor/questions", "--trust", "auditor/questions.pub"];
    let questions = text(&run(&demo, &questions).stdout);
    assert!(questions.contains("holds 2 entries; the first 2 are signed"), "{questions}");
    let folder = demo.join("auditor");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&folder).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o700);
    for file in std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path()) {
        let is_there =
            file.is_file() && std::fs::read(&file).unwrap().windows(10).any(|w| w == farmer.as_bytes());
        assert!(!is_there, "{} has a citizen's id", file.display());
    }

    let witnesses =
        ["evidence", "verify", "evidence", "--witness", "witness-1.pub", "--witness", "witness-2.pub"];
    let verified = run(&demo, &witnesses);
    assert!(
        verified.status.success()
            && text(&verified.stdout).contains("cosigned by witness-1.lorestan.example on 20"),
        "{verified:?}"
    );
    let quorum = run(&demo, &[&witnesses[..], &["--quorum", "3"]].concat());
    assert_eq!(quorum.status.code(), Some(2));
    std::fs::remove_file(demo.join("evidence/checkpoint.cosigned")).unwrap();
    let uncosigned = run(&demo, &witnesses);
    assert_eq!(uncosigned.status.code(), Some(4), "{uncosigned:?}");
    let kind = run(&demo, &["evidence", "verify", "evidence", "--witness", "evidence.pub"]);
    assert_eq!(kind.status.code(), Some(2), "a log's key is no witness's");
}

#[test]
fn an_alarm_shows_in_the_exit_code_until_a_person_ends_it_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let demo = folder.path().join("demo");
    let story = ["demo", "--once", "--json", "--people", "100", "--dir"];
    assert!(Command::new(chapar()).args(story).arg(&demo).output().unwrap().status.success());
    let origin = "demo.lorestan.example/evidence";
    let index = Index::open_existing(&demo.join("auditor")).unwrap();
    let sentence = "its first 7 entries are not those that it signs";
    index
        .raise(origin, chapar_auditor::AlarmKind::Forked, sentence, "", chapar_model::Clock::system().now())
        .unwrap();
    let status = || run(&demo, &["auditor", "status", "--config", "auditor.toml"]);
    assert_eq!(status().status.code(), Some(4));
    assert!(text(&status().stdout).contains(&format!("ALARM  {origin}  forked")), "{:?}", status());
    let end = |more: &[&str]| {
        let arguments = ["auditor", "acknowledge", "--config", "auditor.toml", "--who", "m.rezaei"];
        run(&demo, &[&arguments, more].concat())
    };
    assert_eq!(end(&["--log", origin]).status.code(), Some(2), "a reason is needed");
    assert_eq!(end(&["--log", "no.such/log", "--reason", "x"]).status.code(), Some(2));
    assert!(end(&["--log", origin, "--reason", "a test of the alarm", "--read-again"]).status.success());
    assert_eq!(status().status.code(), Some(0));
    let all = run(&demo, &["auditor", "status", "--config", "auditor.toml", "--all", "--output", "json"]);
    let all: serde_json::Value = serde_json::from_slice(&all.stdout).unwrap();
    assert_eq!(all["alarms"][0]["ended_by"], "m.rezaei");
    assert!(all["logs"].as_array().unwrap().is_empty(), "it is read anew at the next start: {all}");
}

#[test]
fn keys_of_witnesses_are_made_once_and_settings_are_checked_without_serving() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let keygen = |name: &str| run(folder.path(), &["witness", "keygen", name, "--out", "keys"]);
    let made = keygen("court.example/witness");
    assert!(made.status.success() && text(&made.stdout).starts_with("court.example/witness+"), "{made:?}");
    assert_eq!(std::fs::read_to_string(at("keys/witness.pub")).unwrap(), text(&made.stdout));
    assert_eq!(keygen("court.example/witness").status.code(), Some(1));
    assert_eq!(run(folder.path(), &["witness", "keygen", "two words", "--out", "x"]).status.code(), Some(2));
    let log = ["evidence", "keygen", "bus.example/evidence", "--out", "log"];
    assert!(run(folder.path(), &log).status.success());
    let settings = "[witness]\nlisten = \"127.0.0.1:0\"\nkey = \"keys/witness.key\"\nstate = \"state\"\n";
    let check = |more: &str| {
        std::fs::write(at("witness.toml"), format!("{settings}{more}")).unwrap();
        run(folder.path(), &["witness", "--config", "witness.toml", "--check"])
    };
    assert!(check("[[log]]\nkey = \"log/evidence.pub\"\n").status.success());
    for (more, problem) in [
        ("", "log"),
        ("[[log]]\nkey = \"absent.pub\"\n", "absent.pub"),
        ("[[log]]\nkey = \"keys/witness.pub\"\n", "no public key of a log"),
        ("[[log]]\nfile = \"log/evidence.pub\"\n", "unknown field"),
    ] {
        let told = check(more);
        assert!(!told.status.success() && text(&told.stderr).contains(problem), "{more}: {told:?}");
    }
    assert!(!at("state").exists(), "a check makes nothing");
}

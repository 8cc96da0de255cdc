//! An auditor follows real logs from their folders, and finds what is done to them.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chapar_evidence::{Kind, Log, RECORD_VERSION, RecordDraft, WitnessKey};
use chapar_model::{CallId, Clock};
use jiff::{SignedDuration, Timestamp};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::metrics::Metrics;

const ORIGIN: &str = "bus.example/evidence";
const CITIZEN: &str = "4060014060";

/// A log's folder with its keys, and an auditor's state.
struct Setup {
    dir: tempfile::TempDir,
    clock: Clock,
}

struct Running {
    url: String,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    async fn end(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

impl Setup {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        chapar_evidence::create_keys(ORIGIN, &at("key"), &at("pub"), &at("period")).unwrap();
        Self { dir, clock: Clock::manual("2026-11-28T08:00:00Z".parse().unwrap()) }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A log in a folder of this name; all have one key.
    fn log(&self, name: &str) -> Log {
        let config = chapar_evidence::Config {
            path: self.at(name),
            state: self.at(&format!("{name}.state")),
            origin: ORIGIN.to_owned(),
            signing_key: self.at("key"),
            period_key: self.at("period"),
            checkpoint_every: Duration::from_secs(3600),
            queue: 64,
            low_water: 0,
        };
        Log::open(config, self.clock.clone()).unwrap()
    }

    fn config(&self) -> Config {
        Config {
            listen: ([127, 0, 0, 1], 0).into(),
            state: self.at("auditor"),
            witness_key: None,
            questions: "audit.example/questions".to_owned(),
            late: Duration::from_secs(60),
            logs: vec![LogConfig {
                key: self.at("pub"),
                source: SourceConfig::Folder(self.at("log")),
                period_keys: vec![self.at("period")],
            }],
            rules: Rules::default(),
        }
    }

    async fn audit(&self, config: Config) -> Running {
        let auditor = Auditor::bind(config, self.clock.clone()).await.unwrap();
        let url = format!("http://{}", auditor.local_addr());
        let stop = CancellationToken::new();
        Running { url, task: tokio::spawn(auditor.run(stop.clone())), stop }
    }

    fn index(&self) -> Index {
        Index::open_existing(&self.at("auditor")).unwrap()
    }

    fn status(&self) -> AuditStatus {
        AuditStatus::of(&self.index()).unwrap()
    }

    fn verified(&self) -> u64 {
        self.status().logs.iter().map(|log| log.verified).sum()
    }

    fn alarms(&self) -> Vec<String> {
        self.status().alarms.into_iter().map(|alarm| alarm.kind).collect()
    }

    /// Puts another folder in the place of the log that is followed.
    fn replace(&self, by: &str) {
        std::fs::remove_dir_all(self.at("log")).ok();
        copy(&self.at(by), &self.at("log"));
    }

    fn advance(&self, by: SignedDuration) {
        self.clock.set(self.clock.now() + by);
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() { copy(&path, &target) } else { std::fs::copy(&path, &target).map(drop).unwrap() }
    }
}

/// Appends so many calls that came in now, and a checkpoint over all.
async fn grow(log: &Log, clock: &Clock, count: usize) -> u64 {
    let mut waiting = Vec::new();
    for _ in 0..count {
        let call = CallId::now();
        let salt_hash = log.commit(&call, b"");
        let pseudonym = log.pseudonym(CITIZEN);
        let draft = RecordDraft {
            version: RECORD_VERSION,
            kind: Kind::Unary,
            call_id: call.as_bytes(),
            time_unix_ms: clock.now().as_millisecond().unsigned_abs(),
            caller: "office/a/counter",
            clerk: "z.karimi",
            subject_pseudonym: &pseudonym,
            salt_hash: &salt_hash,
            outcome: "OK",
            ..RecordDraft::default()
        };
        waiting.push(log.reserve().unwrap().append(draft));
        if waiting.len() == 32 {
            for appended in waiting.drain(..) {
                appended.await.unwrap();
            }
        }
    }
    for appended in waiting {
        appended.await.unwrap();
    }
    log.checkpoint().await.unwrap().size
}

async fn until(what: &str, holds: impl Fn() -> bool, detail: impl Fn() -> String) {
    let looking = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    if tokio::time::timeout(Duration::from_secs(20), looking).await.is_err() {
        panic!("{what}: not within 20 s: {}", detail());
    }
}

async fn until_verified(setup: &Setup, size: u64) {
    until("entries are verified", || setup.verified() == size, || format!("{:?}", setup.status())).await;
}

async fn until_alarm(setup: &Setup, kind: &str) {
    let is_raised = || setup.alarms().iter().any(|known| known == kind);
    until(kind, is_raised, || format!("{:?}", setup.status())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_verified_as_it_grows_and_from_where_it_was_after_a_restart() {
    let setup = Setup::new();
    let log = setup.log("log");
    grow(&log, &setup.clock, 700).await;
    let running = setup.audit(setup.config()).await;
    until_verified(&setup, 700).await;
    grow(&log, &setup.clock, 5).await;
    until_verified(&setup, 705).await;
    running.end().await;
    grow(&log, &setup.clock, 300).await;
    let running = setup.audit(setup.config()).await;
    until_verified(&setup, 1005).await;
    assert_eq!(setup.alarms(), Vec::<String>::new());
    assert_eq!(setup.status().logs[0].unfindable_from, None);
    running.end().await;
    // Built again from the log.
    std::fs::remove_file(index_path(&setup.at("auditor"))).unwrap();
    let running = setup.audit(setup.config()).await;
    until_verified(&setup, 1005).await;
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_index_an_auditor_still_knows_what_it_verified_and_what_it_raised() {
    let setup = Setup::new();
    let (good, fork) = (setup.log("good"), setup.log("fork"));
    grow(&good, &setup.clock, 300).await;
    grow(&fork, &setup.clock, 500).await;
    for log in [&good, &fork] {
        log.close().await.unwrap();
    }
    setup.replace("good");
    let running = setup.audit(setup.config()).await;
    until_verified(&setup, 300).await;
    running.end().await;
    std::fs::remove_file(index_path(&setup.at("auditor"))).unwrap();
    setup.replace("fork");
    let running = setup.audit(setup.config()).await;
    until_alarm(&setup, "forked").await;
    assert_eq!(setup.verified(), 0);
    let alarm = setup.status().alarms.remove(0);
    assert!(alarm.proof.matches("\n— bus.example/evidence ").count() == 2, "both notes: {}", alarm.proof);
    running.end().await;
    // Once more: the alarm is not in the file that was removed.
    std::fs::remove_file(index_path(&setup.at("auditor"))).unwrap();
    setup.replace("good");
    let running = setup.audit(setup.config()).await;
    until_verified(&setup, 300).await;
    assert_eq!(setup.alarms(), ["forked"]);
    running.end().await;
    for file in ["index.sqlite", "alarms.sqlite"] {
        let mode = std::fs::metadata(setup.at("auditor").join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_in_the_middle_of_a_copy_is_no_alarm() {
    let setup = Setup::new();
    let log = setup.log("log");
    grow(&log, &setup.clock, 30).await;
    let running = setup.audit(setup.config()).await;
    until_verified(&setup, 30).await;
    let checkpoint = setup.at("log/checkpoint");
    let whole = std::fs::read(&checkpoint).unwrap();
    for part in [0, 60] {
        std::fs::write(&checkpoint, &whole[..part]).unwrap();
        tokio::time::sleep(Duration::from_millis(900)).await;
        std::fs::write(&checkpoint, &whole).unwrap();
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    assert_eq!(setup.alarms(), Vec::<String>::new());
    std::fs::write(&checkpoint, &whole[..60]).unwrap();
    until_alarm(&setup, "unsigned").await;
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_under_the_logs_own_key_is_an_alarm_that_stays_until_a_person_ends_it() {
    let setup = Setup::new();
    let (good, fork) = (setup.log("good"), setup.log("fork"));
    grow(&good, &setup.clock, 300).await;
    grow(&fork, &setup.clock, 400).await;
    for log in [&good, &fork] {
        log.close().await.unwrap();
    }
    setup.replace("good");
    let running = setup.audit(setup.config()).await;
    until_verified(&setup, 300).await;
    setup.replace("fork");
    until_alarm(&setup, "forked").await;
    setup.replace("good");
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!((setup.alarms(), setup.verified()), (vec!["forked".to_owned()], 300));
    let alarm = setup.status().alarms.remove(0);
    assert!(alarm.proof.matches("\n— bus.example/evidence ").count() == 2, "both notes: {}", alarm.proof);
    setup.index().acknowledge(ORIGIN, "m.rezaei", "the copy was put back", setup.clock.now()).unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(setup.alarms(), Vec::<String>::new());
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_of_the_same_size_and_an_older_copy_are_found_after_a_restart_too() {
    let setup = Setup::new();
    let (good, fork) = (setup.log("good"), setup.log("fork"));
    grow(&good, &setup.clock, 200).await;
    copy(&setup.at("good"), &setup.at("older"));
    grow(&good, &setup.clock, 100).await;
    grow(&fork, &setup.clock, 300).await;
    for log in [&good, &fork] {
        log.close().await.unwrap();
    }
    for (by, kind) in [("fork", "forked"), ("older", "cut")] {
        std::fs::remove_dir_all(setup.at("auditor")).ok();
        setup.replace("good");
        let running = setup.audit(setup.config()).await;
        until_verified(&setup, 300).await;
        running.end().await;
        setup.replace(by);
        let running = setup.audit(setup.config()).await;
        until_alarm(&setup, kind).await;
        assert_eq!(setup.verified(), 300, "what was verified stays");
        running.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn altered_entries_and_a_checkpoint_of_another_key_are_alarms() {
    let setup = Setup::new();
    let good = setup.log("good");
    grow(&good, &setup.clock, 40).await;
    good.close().await.unwrap();
    // A letter of a name in the middle of the bundle: still a record, and another entry.
    let altered = setup.at("altered");
    copy(&setup.at("good"), &altered);
    let bundle = altered.join("tile/entries/000.p/40");
    let mut bytes = std::fs::read(&bundle).unwrap();
    let at = bytes.windows(8).rposition(|word| word == b"z.karimi").unwrap();
    bytes[at] = b'y';
    std::fs::write(&bundle, bytes).unwrap();
    // Something that is no record.
    let broken = setup.at("broken");
    copy(&setup.at("good"), &broken);
    let bundle = broken.join("tile/entries/000.p/40");
    let mut bytes = std::fs::read(&bundle).unwrap();
    bytes[3] = 0x77;
    std::fs::write(&bundle, bytes).unwrap();
    // Another log under the same name.
    let foreign = setup.at("foreign");
    copy(&setup.at("good"), &foreign);
    let text = std::fs::read_to_string(foreign.join("checkpoint")).unwrap();
    std::fs::write(foreign.join("checkpoint"), text.replace("\n40\n", "\n39\n")).unwrap();
    for (folder, kind) in [("altered", "forked"), ("broken", "damaged"), ("foreign", "unsigned")] {
        std::fs::remove_dir_all(setup.at("auditor")).ok();
        setup.replace(folder);
        let running = setup.audit(setup.config()).await;
        until_alarm(&setup, kind).await;
        assert_eq!(setup.verified(), 0, "{kind}");
        running.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_that_are_signed_late_and_a_log_that_cannot_be_read_are_alarms_that_end_by_themselves() {
    let setup = Setup::new();
    let log = setup.log("log");
    grow(&log, &setup.clock, 3).await;
    // What was there before the auditor came is old, and not late.
    setup.advance(SignedDuration::from_hours(1));
    let running = setup.audit(setup.config()).await;
    until_verified(&setup, 3).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(setup.alarms(), Vec::<String>::new());
    let written = Clock::manual(setup.clock.now() - SignedDuration::from_secs(61));
    grow(&log, &written, 1).await;
    until_alarm(&setup, "late").await;
    grow(&log, &setup.clock, 1).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(setup.alarms(), ["late"], "it stays long enough to be seen");
    setup.advance(SignedDuration::from_mins(11));
    until("the alarm has ended", || setup.alarms().is_empty(), || format!("{:?}", setup.status())).await;

    std::fs::rename(setup.at("log"), setup.at("away")).unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(setup.alarms(), Vec::<String>::new(), "a gateway that starts again takes seconds");
    setup.advance(SignedDuration::from_secs(31));
    until_alarm(&setup, "unreachable").await;
    std::fs::rename(setup.at("away"), setup.at("log")).unwrap();
    until("the alarm has ended", || setup.alarms().is_empty(), || format!("{:?}", setup.status())).await;
    running.end().await;
}

/// Sends a checkpoint to the auditor's witness; the status of the answer.
async fn ask(url: &str, log: &Log, old: u64) -> u16 {
    let (checkpoint, note) = log.published().unwrap();
    let proof = log.consistency(old, checkpoint.size).await.unwrap();
    let body = chapar_evidence::AddCheckpoint { old, proof, checkpoint: note }.to_text();
    let endpoint = chapar_transport::post::Endpoint::new(url, None).unwrap();
    endpoint.post("/add-checkpoint", body, 4096).await.unwrap().status
}

#[tokio::test(flavor = "multi_thread")]
async fn as_a_witness_an_auditor_cosigns_what_it_has_read_and_nothing_else() {
    let setup = Setup::new();
    let key = WitnessKey::generate("auditor.example").unwrap();
    chapar_files::replace(&setup.at("witness.key"), key.to_secret_text().as_bytes(), 0o600).unwrap();
    let config = Config { witness_key: Some(setup.at("witness.key")), ..setup.config() };
    let log = setup.log("log");
    grow(&log, &setup.clock, 10).await;
    let running = setup.audit(config).await;
    assert_eq!(ask(&running.url, &log, 0).await, 200);
    // At once, before the next look.
    let size = grow(&log, &setup.clock, 400).await;
    assert_eq!(ask(&running.url, &log, 10).await, 200);
    assert_eq!(setup.verified(), size);
    // Another log under the same name and key: of the same size, and with entries that are not in the folder.
    let elsewhere = setup.log("elsewhere");
    grow(&elsewhere, &setup.clock, 410).await;
    assert_eq!(ask(&running.url, &elsewhere, 410).await, 422);
    let alarm = setup.status().alarms.remove(0);
    assert_eq!(alarm.kind, "forked");
    assert!(alarm.proof.matches("\n— bus.example/evidence ").count() == 2, "both notes: {}", alarm.proof);
    grow(&elsewhere, &setup.clock, 90).await;
    assert_eq!(ask(&running.url, &elsewhere, 410).await, 503);
    assert_eq!(ask(&running.url, &elsewhere, 400).await, 409);
    assert_eq!(setup.alarms(), ["forked"]);
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_state_folder_is_of_one_auditor_and_a_bad_file_is_named_before_it_starts() {
    let setup = Setup::new();
    let log = setup.log("log");
    grow(&log, &setup.clock, 1).await;
    let running = setup.audit(setup.config()).await;
    let again = Auditor::bind(setup.config(), setup.clock.clone()).await.err().unwrap();
    assert!(matches!(again, Error::Witness(StateError::InUse(_))), "{again}");
    running.end().await;
    let twice = Config { logs: vec![setup.config().logs[0].clone(); 2], ..setup.config() };
    let told = Auditor::check(&twice).err().unwrap().to_string();
    assert!(told.contains("second key of the log bus.example/evidence"), "{told}");
    std::fs::write(setup.at("protected"), "4060014060\n4060014061\n").unwrap();
    let secret = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(setup.at("protected"), secret).unwrap();
    let rules = Rules { protected: Some(setup.at("protected")), ..Rules::default() };
    let told = Auditor::check(&Config { rules, ..setup.config() }).err().unwrap().to_string();
    assert!(told.contains("line 2") && !told.contains("4060"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metrics_are_those_of_the_page_and_show_alarms_and_findings() {
    let setup = Setup::new();
    let log = setup.log("log");
    grow(&log, &setup.clock, 12).await;
    let within = Duration::from_secs(3600);
    let rules = Rules { repeated_subject: Some(Limit { most: 10, within }), ..Rules::default() };
    let running = setup.audit(Config { rules, ..setup.config() }).await;
    until_verified(&setup, 12).await;
    let now = setup.clock.now();
    setup.index().raise(ORIGIN, AlarmKind::Late, "a sentence", "", now).unwrap();
    let found = || setup.index().findings(Timestamp::UNIX_EPOCH).unwrap().len() == 1;
    until("the rule has looked", found, String::new).await;
    let metrics = Metrics::new(vec![ORIGIN.to_owned()]);
    metrics.of_log(ORIGIN).verified(12);
    let index = Arc::new(setup.index());
    // Twice, as two scrapes.
    metrics.encode(&index).unwrap();
    let text = metrics.encode(&index).unwrap();
    for line in [
        "chapar_auditor_verified_entries{log=\"bus.example/evidence\"} 12",
        "chapar_auditor_alarms{log=\"bus.example/evidence\",kind=\"late\"} 1",
        "chapar_auditor_alarms{log=\"bus.example/evidence\",kind=\"forked\"} 0",
        "chapar_auditor_findings_total{rule=\"repeated-subject\"} 1",
        "chapar_auditor_findings_total{rule=\"protected\"} 0",
    ] {
        assert!(text.lines().any(|known| known == line), "{line}\n{text}");
    }
    let page = include_str!("../../../docs/reference/auditor.md");
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split('{').next().unwrap();
        assert!(page.contains(&format!("`{name}`")), "{name} is on the page");
    }
    running.end().await;
}

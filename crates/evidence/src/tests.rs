//! These tests use the log as its users do: they append, restart, cut, alter and prove.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use chapar_model::{CallId, Clock};

use super::*;

mod altered;
mod closing;
mod crash;
mod followed;
mod loss;
mod recent;
mod resume;
mod sim_disk;
mod torn;

struct Folder {
    dir: tempfile::TempDir,
    key: VerifierKey,
}

impl Folder {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        create_keys("bus.example/evidence", &at("key"), &at("pub"), &at("period")).unwrap();
        let key = std::fs::read_to_string(at("pub")).unwrap().parse().unwrap();
        Self { dir, key }
    }

    fn config(&self) -> Config {
        let at = |name: &str| self.dir.path().join(name);
        Config {
            path: at("log"),
            state: at("state"),
            origin: "bus.example/evidence".to_owned(),
            signing_key: at("key"),
            period_key: at("period"),
            checkpoint_every: Duration::from_secs(3600),
            queue: 1024,
            low_water: 0,
        }
    }

    fn open(&self) -> Log {
        Log::open(self.config(), Clock::system()).unwrap()
    }

    fn log(&self) -> std::path::PathBuf {
        self.dir.path().join("log")
    }

    fn segment(&self) -> std::path::PathBuf {
        self.log().join("segments/0000000000000000")
    }
}

fn record(log: &Log, kind: Kind) -> Record {
    let call = CallId::now();
    Record {
        version: RECORD_VERSION,
        kind: kind as i32,
        call_id: call.as_bytes().to_vec(),
        caller: "gov/welfare/benefits".to_owned(),
        method: "civil.v1.CivilRegistry/GetPerson".to_owned(),
        purpose: "benefit.eligibility".to_owned(),
        disclosed: vec!["given_name".to_owned()],
        outcome: "OK".to_owned(),
        subject_pseudonym: log.pseudonym("4061234560").to_vec(),
        salt_hash: digest(&SHA256, &log.salt(&call)).as_ref().to_vec(),
        ..Record::default()
    }
}

async fn append(log: &Log, count: usize) {
    for _ in 0..count {
        log.reserve().unwrap().append(&record(log, Kind::Unary)).await.unwrap();
    }
}

async fn append_at_once(log: &Log, count: usize) {
    let mut waiting = Vec::new();
    for _ in 0..count {
        waiting.push(log.reserve().unwrap().append(&record(log, Kind::Unary)));
    }
    for appended in waiting {
        appended.await.unwrap();
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() { copy(&path, &target) } else { std::fs::copy(&path, &target).map(|_| ()).unwrap() }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_are_numbered_durable_and_read_back() {
    let folder = Folder::new();
    let log = folder.open();
    append(&log, 3).await;
    assert_eq!((log.size().await, log.record(2).await.unwrap().caller.as_str()), (3, "gov/welfare/benefits"));
    assert!(matches!(log.record(3).await, Err(Error::NoEntry(3))));
    log.close().await.unwrap();
    assert!(log.reserve().is_err(), "a closed log takes nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_callers_share_one_wait_for_the_disk() {
    let folder = Folder::new();
    let log = folder.open();
    append_at_once(&log, 512).await;
    assert!(log.syncs() < 256, "512 records took {} syncs", log.syncs());
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_at_work_at_the_same_time_share_waits_for_the_disk() {
    let folder = Folder::new();
    let log = folder.open();
    let tasks: Vec<_> = (0..64)
        .map(|_| {
            let log = log.clone();
            tokio::spawn(async move { append(&log, 16).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(log.size().await, 1024);
    assert!(log.syncs() < 512, "1024 records of 64 callers took {} syncs", log.syncs());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_in_the_segment_at_once() {
    let folder = Folder::new();
    let log = folder.open();
    for count in 1..20 {
        append(&log, 1).await;
        let written = std::fs::read(folder.segment()).unwrap();
        let record = log.record(count - 1).await.unwrap();
        assert!(contains(&written, &record.call_id), "entry {}", count - 1);
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_is_written_also_when_no_one_waits_for_it() {
    let folder = Folder::new();
    let log = folder.open();
    drop(log.reserve().unwrap().append(&record(&log, Kind::Unary)));
    append(&log, 1).await;
    assert_eq!(log.size().await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_dropped_before_its_opening_is_on_disk_is_closed_all_the_same() {
    let folder = Folder::new();
    let log = folder.open();
    append(&log, 3).await;
    for _ in 0..100 {
        let slot = log.reserve().unwrap();
        let end = log.reserve().unwrap();
        let (appended, opening) = slot.open(&record(&log, Kind::Open));
        drop((appended, end.close(&opening, &record(&log, Kind::Close))));
    }
    log.close().await.unwrap();
    for index in (3..203).step_by(2) {
        let opening = log.record(index).await.unwrap();
        let closing = log.record(index + 1).await.unwrap();
        assert_eq!((opening.kind(), closing.kind(), closing.opening), (Kind::Open, Kind::Close, index));
    }
    verify::directory(&folder.log(), &folder.key, &[]).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_is_there_at_once_or_not_at_all() {
    let folder = Folder::new();
    let log = Log::open(Config { queue: 2, ..folder.config() }, Clock::system()).unwrap();
    let slots = [log.reserve().unwrap(), log.reserve().unwrap()];
    assert_eq!(log.reserve().err(), Some(NoSlot::QueueFull));
    drop(slots);
    assert!(log.reserve().is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_goes_on_where_the_log_ended_across_full_tiles() {
    let folder = Folder::new();
    let log = folder.open();
    append(&log, 300).await;
    log.close().await.unwrap();
    drop(log);

    let log = folder.open();
    append(&log, 300).await;
    for index in [0, 255, 256, 299, 300, 511, 512, 599] {
        let receipt = log.receipt(index).await.unwrap().to_bytes();
        verify::receipt(&receipt, &folder.key).unwrap();
    }
    log.close().await.unwrap();
    let sentence = verify::directory(&folder.log(), &folder.key, &[]).unwrap().sentence().to_owned();
    assert!(sentence.contains("holds 600 entries"), "{sentence}");
    verify::receipt(&from_directory(&folder.log(), 7).unwrap().to_bytes(), &folder.key).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_of_several_segments_is_read_recovered_and_verified_like_one() {
    let folder = Folder::new();
    let log = folder.open();
    for _ in 0..9 {
        append_at_once(&log, 1000).await;
    }
    log.close().await.unwrap();
    let segments = std::fs::read_dir(folder.log().join("segments")).unwrap().count();
    assert!(segments > 1, "{segments} segments");

    let log = folder.open();
    append_at_once(&log, 1000).await;
    let firsts = std::fs::read_dir(folder.log().join("segments")).unwrap();
    let firsts: Vec<_> = firsts.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    let firsts = firsts.iter().map(|name| u64::from_str_radix(name, 16).unwrap());
    let around_segments = firsts.filter(|first| *first > 0).flat_map(|first| [first - 1, first, first + 1]);
    for index in around_segments.chain([0, 1, 255, 256, 257, 4095, 9999]) {
        assert!(log.record(index).await.is_ok());
        verify::receipt(&log.receipt(index).await.unwrap().to_bytes(), &folder.key).unwrap();
    }
    log.close().await.unwrap();
    verify::directory(&folder.log(), &folder.key, &[]).unwrap();

    let first = std::fs::read(folder.segment()).unwrap();
    std::fs::write(folder.segment(), &first[..first.len() - 9]).unwrap();
    std::fs::remove_file(folder.config().state.join("resume")).unwrap();
    assert!(
        matches!(Log::open(folder.config(), Clock::system()), Err(Error::Damaged { .. })),
        "only the last may be torn"
    );
    assert!(matches!(verify::directory(&folder.log(), &folder.key, &[]), Err(verify::Invalid::Entry { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn any_torn_tail_is_cut_and_nothing_before_it_is_lost() {
    let folder = Folder::new();
    let log = folder.open();
    append(&log, 5).await;
    log.checkpoint().await.unwrap();
    append(&log, 1).await;
    drop(log);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let whole = std::fs::read(folder.segment()).unwrap();
    let frame = whole.len() / 6;

    for cut in (whole.len() - frame + 1)..whole.len() {
        let torn = Folder { dir: tempfile::tempdir().unwrap(), key: folder.key.clone() };
        copy(folder.dir.path(), torn.dir.path());
        std::fs::write(torn.segment(), &whole[..cut]).unwrap();
        let log = torn.open();
        assert_eq!(log.size().await, 5, "cut at {cut}");
        append(&log, 1).await;
        log.close().await.unwrap();
        verify::directory(&torn.log(), &torn.key, &[]).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bit_flipped_anywhere_in_a_receipt_is_found() {
    let folder = Folder::new();
    let log = folder.open();
    append(&log, 5).await;
    let receipt = log.receipt(2).await.unwrap().to_bytes();
    let sentence = verify::receipt(&receipt, &folder.key).unwrap().sentence().to_owned();
    assert!(sentence.starts_with("VALID: on ") && sentence.contains("received 1 field of"), "{sentence}");
    for bit in 0..receipt.len() * 8 {
        let mut altered = receipt.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        assert!(verify::receipt(&altered, &folder.key).is_err(), "bit {bit}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_receipts_forces_no_more_than_one_checkpoint_in_100_ms() {
    let folder = Folder::new();
    let config = Config { path: "/log".into(), state: "/state".into(), ..folder.config() };
    // In memory, where a checkpoint takes far less than that.
    let log = Log::open_on(config, Clock::system(), Arc::new(sim_disk::SimDisk::default())).unwrap();
    let began = Instant::now();
    let mut checkpoints = BTreeSet::new();
    for _ in 0..4 {
        append_at_once(&log, 5).await;
        let size = log.size().await;
        let asked = (size - 5..size).map(|index| {
            let log = log.clone();
            tokio::spawn(async move { log.receipt(index).await.unwrap() })
        });
        for receipt in asked.collect::<Vec<_>>() {
            checkpoints.insert(receipt.await.unwrap().0.checkpoint);
        }
    }
    assert_eq!(checkpoints.len(), 4, "those who ask meanwhile share one");
    assert!(began.elapsed() >= 3 * Duration::from_millis(100), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bit_flipped_anywhere_on_disk_is_found() {
    let folder = Folder::new();
    let log = folder.open();
    append(&log, 3).await;
    log.close().await.unwrap();
    for name in ["segments/0000000000000000", "checkpoint", "tile/0/000.p/3", "tile/entries/000.p/3"] {
        let path = folder.log().join(name);
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut altered = whole.clone();
            altered[at] ^= 0x10;
            std::fs::write(&path, &altered).unwrap();
            assert!(verify::directory(&folder.log(), &folder.key, &[]).is_err(), "{name} at {at}");
        }
        std::fs::write(&path, &whole).unwrap();
    }
    verify::directory(&folder.log(), &folder.key, &[]).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_cut_altered_or_replaced_does_not_start() {
    let folder = Folder::new();
    let log = folder.open();
    append(&log, 4).await;
    log.close().await.unwrap();
    drop(log);
    let whole = std::fs::read(folder.segment()).unwrap();

    std::fs::write(folder.segment(), &whole[..whole.len() / 2]).unwrap();
    assert!(matches!(Log::open(folder.config(), Clock::system()), Err(Error::Checkpoint { size: 4, .. })));

    let mut altered = whole;
    altered[20] ^= 1;
    std::fs::write(folder.segment(), &altered).unwrap();
    assert!(matches!(Log::open(folder.config(), Clock::system()), Err(Error::Damaged { offset: 0, .. })));

    std::fs::remove_dir_all(folder.log().join("segments")).unwrap();
    assert!(matches!(Log::open(folder.config(), Clock::system()), Err(Error::Checkpoint { size: 4, .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_log_has_one_writer() {
    let folder = Folder::new();
    let _log = folder.open();
    assert!(matches!(Log::open(folder.config(), Clock::system()), Err(Error::InUse(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_left_open_is_closed_as_unknown_at_the_next_start() {
    let folder = Folder::new();
    let log = folder.open();
    append(&log, 1).await;
    log.reserve().unwrap().append(&record(&log, Kind::Open)).await.unwrap();
    log.close().await.unwrap();
    drop(log);

    let log = folder.open();
    let closing = log.record(2).await.unwrap();
    assert_eq!(
        (closing.kind(), closing.opening, closing.outcome.as_str()),
        (Kind::Close, 1, UNKNOWN_OUTCOME)
    );
    log.close().await.unwrap();
    drop(log);
    assert_eq!(folder.open().size().await, 3, "it is closed once");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_periods_key_a_guessed_id_cannot_be_tested() {
    let one = Folder::new();
    let other = Folder::new();
    let log = one.open();
    let stranger = other.open();
    let call = CallId::now();
    assert_eq!(log.pseudonym("4061234560"), log.pseudonym("4061234560"));
    assert_ne!(log.pseudonym("4061234560"), stranger.pseudonym("4061234560"));
    assert_ne!(log.commit(&call, b"payload"), stranger.commit(&call, b"payload"));
    assert_ne!(log.commit(&call, b"payload").as_slice(), digest(&SHA256, b"payload").as_ref());
}

#[tokio::test]
async fn a_missing_or_wrong_key_and_an_unwritable_folder_are_named() {
    let folder = Folder::new();
    let missing = Config { signing_key: "/nowhere/key".into(), ..folder.config() };
    let other = Config { origin: "another.example/log".to_owned(), ..folder.config() };
    let unwritable = Config { path: "/proc/evidence".into(), ..folder.config() };
    for (config, part) in
        [(missing, "/nowhere/key"), (other, "another origin"), (unwritable, "/proc/evidence")]
    {
        let error = Log::open(config, Clock::system()).err().unwrap().to_string();
        assert!(error.contains(part), "{error}");
    }
}

#[tokio::test]
async fn a_key_that_everyone_on_the_machine_may_read_is_refused() {
    let folder = Folder::new();
    let config = folder.config();
    for key in [&config.signing_key, &config.period_key] {
        let allow = |mode| std::fs::set_permissions(key, std::fs::Permissions::from_mode(mode)).unwrap();
        allow(0o644);
        for refused in [Log::open(config.clone(), Clock::system()).map(drop), check(&config)] {
            let error = refused.unwrap_err().to_string();
            assert!(error.contains(key.to_str().unwrap()) && error.contains("chmod o="), "{error}");
        }
        allow(0o640);
        check(&config).unwrap();
    }
}

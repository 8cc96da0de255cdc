//! These tests run the real writer over a disk that crashes, refuses and lies ([`SimDisk`]). What was
//! acknowledged is there after every crash, in every state that the disk may have kept; the log extends every
//! checkpoint that was published; a failed call is never retried.
//!
//! Each sync has its control: on a disk whose sync does nothing, the same search finds losses.

use std::io::ErrorKind;
use std::sync::Arc;

use chapar_tlog::{Checkpoint, open_note, root};

use super::sim_disk::{Faults, Op, Random, SimDisk};
use super::*;
use crate::disk::Disk;
use crate::recover::{self, Hold};
use crate::segment::SEGMENT_BYTES;
use crate::state::State;

impl Folder {
    /// The keys are real files; the log and its state lie on the simulated disk.
    fn simulated(&self) -> Config {
        Config { path: "/log".into(), state: "/state".into(), ..self.config() }
    }

    fn open_on(&self, disk: &SimDisk) -> Result<Log, Error> {
        Log::open_on(self.simulated(), Clock::system(), Arc::new(disk.clone()))
    }
}

/// What a log is used for in a run: groups of entries, checkpoints between them, and whether it is closed at
/// the end.
struct Use {
    groups: &'static [usize],
    /// Bytes that each entry is made longer by.
    padding: usize,
}

/// Past the first full tile, with streams and small groups.
const MANY: Use = Use { groups: &[1, 2, 1, 5, 250, 3, 1, 20], padding: 0 };
/// Past the first segment.
const LONG: Use = Use { groups: &[4, 4, 4, 4, 4, 4], padding: 60_000 };

impl Use {
    /// Runs it; ends at the first refusal. Callers' acknowledgements are in the disk's history.
    async fn run(&self, folder: &Folder, disk: &SimDisk) -> Result<(), Error> {
        let log = folder.open_on(disk)?;
        for (number, group) in self.groups.iter().enumerate() {
            let mut waiting = Vec::new();
            for at in 0..*group {
                let kind = if at % 7 == 3 { Kind::Open } else { Kind::Unary };
                let record = Record { disclosed: vec!["x".repeat(self.padding)], ..record(&log, kind) };
                let slot = log.reserve().map_err(|_| Unavailable)?;
                waiting.push(slot.append(&record));
            }
            for appended in waiting {
                appended.await?;
            }
            disk.acknowledged(log.size().await);
            if number % 2 == 1 {
                log.checkpoint().await?;
            }
        }
        log.close().await
    }
}

/// What a crash after this history must not have cost.
fn promised(history: &[Op], key: &VerifierKey) -> (u64, Option<Checkpoint>) {
    let mut acknowledged = 0;
    let mut published = None;
    for (at, op) in history.iter().enumerate() {
        match op {
            Op::Acknowledged { size } => acknowledged = *size,
            Op::Rename { from, to } if to.ends_with("checkpoint") => {
                published = Some(note(&history[..at], from, key));
            }
            _ => {}
        }
    }
    (acknowledged, published)
}

/// The checkpoint in the file that lies at `path` after `history`.
fn note(history: &[Op], path: &Path, key: &VerifierKey) -> Checkpoint {
    let found = history.iter().rev().find_map(|op| match op {
        Op::Create { path: created, file } if created == path => Some(*file),
        _ => None,
    });
    let written = history.iter().filter_map(|op| match op {
        Op::Write { file, bytes, .. } if Some(*file) == found => Some(bytes.as_slice()),
        _ => None,
    });
    let note = String::from_utf8(written.collect::<Vec<_>>().concat()).unwrap();
    open_note(&note, key).unwrap().parse().unwrap()
}

/// What is wrong with what a crash left; nothing if every promise is kept.
fn broken(folder: &Folder, disk: SimDisk, history: &[Op], entries: &[Vec<u8>]) -> Option<String> {
    let (acknowledged, published) = promised(history, &folder.key);
    let disk: Arc<dyn Disk> = Arc::new(disk);
    let recovered = match recover::open(&disk, &folder.simulated(), &folder.key, Hold::ToState) {
        Ok(recovered) => recovered,
        Err(error) => return Some(format!("it does not start: {error}")),
    };
    let state = recovered.state;
    if state.tiles.size < acknowledged {
        return Some(format!("{acknowledged} entries were acknowledged, {} are there", state.tiles.size));
    }
    for index in
        [0, acknowledged / 2, acknowledged.saturating_sub(1)].into_iter().filter(|at| *at < acknowledged)
    {
        let found = entry(&*disk, folder, &state, index);
        if found.as_ref().ok() != entries.get(usize::try_from(index).unwrap()) {
            return Some(format!("entry {index} is not what was acknowledged"));
        }
    }
    let published = published?;
    if state.tiles.size < published.size || root(&state.tiles, published.size).ok() != Some(published.root) {
        return Some(format!("it does not extend the published checkpoint of {} entries", published.size));
    }
    None
}

fn entry(disk: &dyn Disk, folder: &Folder, state: &State, index: u64) -> Result<Vec<u8>, Error> {
    state.tiles.stored(index).unwrap().read(disk, &folder.simulated().path)
}

/// Crashes after every step of a run, in so many ways each: how many states there were, and what was broken
/// in which.
async fn crashes(uses: &Use, faults: Faults, ways: u64) -> (usize, Vec<String>) {
    let folder = Folder::new();
    let disk = SimDisk::with(faults);
    uses.run(&folder, &disk).await.unwrap();
    let whole: Arc<dyn Disk> = Arc::new(disk.clone());
    let state = recover::open(&whole, &folder.simulated(), &folder.key, Hold::ToState).unwrap().state;
    let entries: Vec<_> =
        (0..state.tiles.size).map(|index| entry(&*whole, &folder, &state, index).unwrap()).collect();
    let history = disk.history();
    let mut states = 0;
    let mut found = Vec::new();
    for end in 0..=history.len() {
        for way in 1..=ways {
            let seed = end as u64 * 7919 + way;
            let crashed = SimDisk::after_crash(&history[..end], &mut Random::seeded(seed));
            states += 1;
            if let Some(problem) = broken(&folder, crashed, &history[..end], &entries) {
                found.push(format!("after {end} of {} steps, way {way}: {problem}", history.len()));
            }
        }
    }
    (states, found)
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_in_ten_thousand_states_that_a_power_loss_leaves() {
    let (many, in_many) = crashes(&MANY, Faults::default(), 80).await;
    let (long, in_long) = crashes(&LONG, Faults::default(), 12).await;
    assert!(many + long >= 10_000, "{many} and {long} states");
    assert!(in_many.is_empty() && in_long.is_empty(), "{in_many:#?} {in_long:#?}");
    assert!(LONG.groups.iter().sum::<usize>() * LONG.padding > usize::try_from(SEGMENT_BYTES).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_syncs_the_same_search_finds_losses() {
    let (_, without_file_sync) = crashes(&MANY, Faults { no_file_sync: true, ..Faults::default() }, 4).await;
    assert!(
        without_file_sync.iter().any(|problem| problem.contains("acknowledged")),
        "{without_file_sync:#?}"
    );
    let (_, without_folder_sync) =
        crashes(&MANY, Faults { no_folder_sync: true, ..Faults::default() }, 4).await;
    assert!(
        without_folder_sync.iter().any(|problem| problem.contains("acknowledged")),
        "{without_folder_sync:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_checkpoint_is_published_before_the_state_that_holds_the_log_to_it_is_durable() {
    let folder = Folder::new();
    let disk = SimDisk::default();
    MANY.run(&folder, &disk).await.unwrap();
    let history = disk.history();
    // Entries that the state file says are signed, once its folder was synced.
    let mut named = None;
    let mut durable = None;
    let mut published = Vec::new();
    for (at, op) in history.iter().enumerate() {
        match op {
            Op::Rename { from, to } if to.ends_with("last-signed") => {
                named = Some(note(&history[..at], from, &folder.key).size);
            }
            Op::SyncFolder { path } if path == Path::new("/state") => durable = named,
            Op::Rename { from, to } if to.ends_with("checkpoint") => {
                let size = note(&history[..at], from, &folder.key).size;
                assert!(durable >= Some(size), "step {at}: {size} entries, and the state says {durable:?}");
                published.push(size);
            }
            _ => {}
        }
    }
    assert_eq!(published, [0, 3, 9, 262, 283], "at the opening, and after every second group");
}

#[tokio::test(flavor = "multi_thread")]
async fn short_and_interrupted_writes_change_nothing() {
    let folder = Folder::new();
    let disk = SimDisk::with(Faults { short_writes: true, ..Faults::default() });
    MANY.run(&folder, &disk).await.unwrap();
    assert_eq!(folder.open_on(&disk).unwrap().size().await, 283 + 40, "with the closings of 40 streams");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_at_any_call_ends_the_log_and_is_never_tried_again() {
    let folder = Folder::new();
    let sound = SimDisk::default();
    MANY.run(&folder, &sound).await.unwrap();
    for call in 0..sound.calls() {
        let disk = SimDisk::with(Faults { fail: Some((call, ErrorKind::Other)), ..Faults::default() });
        let ended = MANY.run(&folder, &disk).await;
        // The order of calls is the same in each run but for the last ones, of a log that is dropped.
        let Some(failed_at) = disk.failed_at() else { continue };
        ended.expect_err("the log went on");
        tokio::time::sleep(Duration::from_millis(5)).await;
        let history = disk.history();
        let after: Vec<_> =
            history[failed_at..].iter().filter(|op| !matches!(op, Op::Remove { .. })).collect();
        assert!(after.is_empty(), "call {call} failed, and then: {after:?}");
        for way in 1..4 {
            let crashed = SimDisk::after_crash(&history, &mut Random::seeded(way));
            let (acknowledged, _) = promised(&history, &folder.key);
            let found = folder.open_on(&crashed).unwrap().size().await;
            assert!(
                found >= acknowledged,
                "call {call}: {acknowledged} were acknowledged, {found} are there"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full_at_any_call_is_waited_for_and_nothing_is_lost() {
    let folder = Folder::new();
    let sound = SimDisk::default();
    let opening = {
        folder.open_on(&sound).unwrap();
        sound.calls()
    };
    for call in opening..opening + 40 {
        let faults = Faults { fail: Some((call, ErrorKind::StorageFull)), and_more: 2, ..Faults::default() };
        let disk = SimDisk::with(faults);
        let log = folder.open_on(&disk).unwrap();
        let mut entries = 0;
        for _ in 0..4 {
            for _ in 0..2 {
                entries += u64::from(append_once_there_is_room(&log).await);
            }
            log.checkpoint().await.ok();
        }
        assert!(disk.failed_at().is_some(), "call {call} was made");
        if disk.failed_a_sync() {
            assert!(log.is_poisoned(), "call {call}: after a sync that failed nothing is known");
            continue;
        }
        log.close().await.unwrap();
        drop(log);
        assert_eq!((folder.open_on(&disk).unwrap().size().await, entries), (8, 8), "call {call}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full_at_any_call_of_the_opening_is_named_as_that_and_opens_once_there_is_room() {
    let folder = Folder::new();
    let used = SimDisk::default();
    MANY.run(&folder, &used).await.unwrap();
    for history in [Vec::new(), used.history()] {
        let (acknowledged, _) = promised(&history, &folder.key);
        let found = |faults| SimDisk::after_crash(&history, &mut Random::seeded(1)).failing(faults);
        let sound = found(Faults::default());
        let log = folder.open_on(&sound).unwrap();
        let (size, opening) = (log.size().await, sound.calls());
        assert!(size >= acknowledged && opening > 4, "{size} entries, {opening} calls");
        for call in 0..opening {
            let fail = Some((call, ErrorKind::StorageFull));
            let disk = found(Faults { fail, and_more: 2, ..Faults::default() });
            let first = folder.open_on(&disk);
            assert!(disk.failed_at().is_some(), "call {call} was made");
            if let Err(error) = &first {
                let is_named = matches!(error, Error::Full { .. });
                assert_eq!(is_named, !disk.failed_a_sync(), "call {call}: {error}");
            }
            let log = first.or_else(|_| folder.open_on(&disk)).or_else(|_| folder.open_on(&disk));
            let log = log.or_else(|_| folder.open_on(&disk)).unwrap();
            assert_eq!(log.size().await, size, "call {call}");
            append(&log, 1).await;
            log.close().await.unwrap();
        }
    }
}

/// Appends as a caller does who comes back while there is no room: whether the entry is durable.
async fn append_once_there_is_room(log: &Log) -> bool {
    loop {
        match log.reserve() {
            Ok(slot) => return slot.append(&record(log, Kind::Unary)).await.is_ok(),
            Err(NoSlot::DiskFull) => tokio::time::sleep(Duration::from_millis(10)).await,
            Err(_) => return false,
        }
    }
}

//! This module checks that no byte of an answer leaves before its record is on disk: it makes calls over a
//! disk whose syncs are late, and compares for each the moment at which its answer began at the caller with
//! the moment at which its record's sync was done. Both are read from one monotonic clock, in one process.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chapar_transport::frame::MessageReader;
use tokio::sync::Semaphore;

use crate::people::ZAHRA;
use crate::{Bus, Caller, SlowDisk};

/// What a run saw.
#[derive(Debug)]
pub struct Report {
    /// Calls that were answered.
    pub answered: usize,
    /// Of them, streams.
    pub streams: usize,
    /// Answers that began before the sync of their record was done, or streams that ended before that of
    /// their second.
    pub early: usize,
    /// Waits for the disk.
    pub syncs: usize,
    /// The least time by which an answer followed its sync.
    pub least: Duration,
}

struct Answered {
    began: Instant,
    ended: Instant,
    /// Index of the record that had to be on disk before the last byte: of a stream the one that closes it.
    index: u64,
    is_stream: bool,
}

/// Makes `calls` calls, `at_once` of them under way at a time, every eighth a stream, while each sync takes
/// `delay`.
///
/// # Panics
/// If the bus does not start, or a call is refused.
pub async fn run(calls: usize, at_once: usize, delay: Duration) -> Report {
    let disk = SlowDisk::default();
    let bus = Bus::builder().unlimited().disk(disk.clone()).start().await;
    let callers =
        Arc::new([bus.welfare().await, bus.welfare().await, bus.welfare().await, bus.welfare().await]);
    call(&callers[0], false).await;
    disk.set_delay(delay);
    let room = Arc::new(Semaphore::new(at_once));
    let mut tasks = Vec::with_capacity(calls);
    for number in 0..calls {
        let permit = Arc::clone(&room).acquire_owned().await.expect("an open semaphore");
        let callers = Arc::clone(&callers);
        tasks.push(tokio::spawn(async move {
            let answered = call(&callers[number % callers.len()], number % 8 == 7).await;
            drop(permit);
            answered
        }));
    }
    let mut all = Vec::with_capacity(calls);
    for task in tasks {
        all.push(task.await.expect("a call"));
    }
    disk.set_delay(Duration::ZERO);
    let ends = ends_of_entries(&bus);
    let syncs = disk.synced();
    let segment = bus.folder().join("evidence/segments/0000000000000000");
    let syncs: Vec<_> = syncs.into_iter().filter(|sync| sync.path == segment).collect();
    let mut early = 0;
    let mut least = Duration::MAX;
    let durable_at = |index: u64| {
        let end = ends[usize::try_from(index).expect("an index")];
        syncs[syncs.partition_point(|sync| sync.end < end)].at
    };
    for answered in &all {
        let opening = match answered.is_stream {
            true => bus.log().record(answered.index).await.expect("a closing record").opening,
            false => answered.index,
        };
        let after_opening = answered.began.checked_duration_since(durable_at(opening));
        let after_closing = answered.ended.checked_duration_since(durable_at(answered.index));
        match after_opening.zip(after_closing) {
            Some((began, ended)) => least = least.min(began).min(ended),
            None => early += 1,
        }
    }
    let streams = all.iter().filter(|answered| answered.is_stream).count();
    Report { answered: all.len(), streams, early, syncs: syncs.len(), least }
}

async fn call(caller: &Caller, is_stream: bool) -> Answered {
    let ask =
        if is_stream { caller.ask("civil.v1.CivilRegistry/ListChildren") } else { caller.get_person(ZAHRA) };
    let ask = if is_stream { ask.purpose("benefit.eligibility").field("national_id", ZAHRA) } else { ask };
    let response = ask.open().await.expect("an answer");
    let began = Instant::now();
    assert!(!response.headers().contains_key("grpc-status"), "refused: {:?}", response.headers());
    let mut reader = MessageReader::new(response.into_body(), 1 << 20);
    while reader.next().await.expect("a message").is_some() {}
    let ended = Instant::now();
    let trailers = reader.trailers().expect("trailers");
    assert_eq!(trailers["grpc-status"], "0", "{trailers:?}");
    let entry = trailers["chapar-entry"].to_str().expect("text");
    let index: u64 = entry.rsplit_once('/').expect("coordinates").1.parse().expect("an index");
    Answered { began, ended, index, is_stream }
}

/// Where each entry's frame ends in the first segment: 16 bytes of header, whose first four are the entry's
/// length.
fn ends_of_entries(bus: &Bus) -> Vec<u64> {
    let bytes = std::fs::read(bus.folder().join("evidence/segments/0000000000000000")).expect("the segment");
    let mut at = 0;
    let mut ends = Vec::new();
    while let Some(length) =
        bytes.get(at..at + 4).map(|length| u32::from_le_bytes(length.try_into().expect("4 bytes")))
    {
        if length == 0 {
            break;
        }
        at += 16 + length as usize;
        ends.push(at as u64);
    }
    ends
}

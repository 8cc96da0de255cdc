//! This module kills gateways under load with `kill -9`, again and again, and compares the log with a ledger
//! that the callers keep: what was acknowledged is in the log that the last process leaves, at the entry that
//! the caller was told, and every checkpoint that was ever published is a prefix of that log.

use std::path::Path;
use std::time::{Duration, Instant};

use chapar_tlog::{Checkpoint, EMPTY_ROOT, Hash, entries_path, leaf_hash, node_hash};
use chapar_transport::dial::jitter;
use hdrhistogram::Histogram;
use tokio_util::sync::CancellationToken;

use super::Fleet;
use super::ledger::Ledger;
use super::process::verify_evidence;

/// What to do.
pub struct Plan {
    /// How often a gateway is killed.
    pub cycles: usize,
    /// Callers at work.
    pub callers: usize,
    /// The longest that one runs under load before it is killed; half of that at least.
    pub under_load: Duration,
}

/// What came of it.
pub struct Report {
    /// Answers that callers have.
    pub acknowledged: usize,
    /// Those whose record is not in the log where they were told.
    pub lost: usize,
    /// Receipts that were made of some of them, each verified.
    pub receipts: usize,
    /// Published checkpoints that were seen.
    pub checkpoints: usize,
    /// Those that the log does not begin with.
    pub contradicted: usize,
    /// Records in the end.
    pub entries: u64,
    /// From the start of a process to its first ready page: median and most.
    pub start: (Duration, Duration),
}

/// Runs a plan.
///
/// # Panics
/// If a gateway does not start again, or the evidence does not verify in the end.
pub async fn run(plan: &Plan) -> Report {
    let fleet = Fleet::new().await;
    let ledger = Ledger::default();
    let mut checkpoints = Vec::new();
    let mut starts = Histogram::<u64>::new(3).expect("a histogram");
    let mut gateway = fleet.start().await;
    let folder = gateway.folder().to_owned();
    for cycle in 0..plan.cycles {
        let client = fleet.client(&format!("caller-{cycle}"));
        let stop = CancellationToken::new();
        let callers: Vec<_> = (0..plan.callers)
            // Whatever else a call ends with, it was not acknowledged.
            .map(|_| tokio::spawn(ledger.clone().fill(client.clone(), stop.clone(), drop)))
            .collect();
        tokio::time::sleep(plan.under_load.mul_f64(jitter::half_to_one())).await;
        checkpoints.extend(checkpoint(&folder));
        gateway.kill();
        stop.cancel();
        for caller in callers {
            caller.await.expect("a caller ends");
        }
        checkpoints.extend(checkpoint(&folder));
        let began = Instant::now();
        gateway = fleet.start_in(folder.clone()).await;
        starts.record(u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX)).expect("a time");
    }
    gateway.stop().await;
    verify_evidence(&folder);
    let settled = ledger.settle(&folder).await;
    let micros = |quantile| Duration::from_micros(starts.value_at_quantile(quantile));
    Report {
        acknowledged: settled.acknowledged,
        lost: settled.lost,
        receipts: settled.receipts,
        checkpoints: checkpoints.len(),
        contradicted: contradicted(&folder, checkpoints),
        entries: settled.entries,
        start: (micros(0.5), micros(1.0)),
    }
}

/// The checkpoint that stands in the folder now.
fn checkpoint(folder: &Path) -> Option<Checkpoint> {
    let note = std::fs::read_to_string(folder.join("evidence/checkpoint")).ok()?;
    let text = note.split_once("\n\n").map(|(text, _)| format!("{text}\n"))?;
    Some(text.parse().expect("a published checkpoint is whole"))
}

/// How many of the checkpoints are no prefix of the log, by its bundles.
fn contradicted(folder: &Path, mut checkpoints: Vec<Checkpoint>) -> usize {
    checkpoints.sort_by_key(|checkpoint| checkpoint.size);
    let (mut size, mut subtrees, mut bad) = (0, Vec::<(u32, Hash)>::new(), 0);
    let mut due = checkpoints.into_iter().peekable();
    let mut leaves = leaves(folder).into_iter();
    loop {
        let root =
            || subtrees.iter().rev().map(|(_, hash)| *hash).reduce(|right, left| node_hash(&left, &right));
        while let Some(checkpoint) = due.next_if(|checkpoint| checkpoint.size == size) {
            bad += usize::from(root().unwrap_or(EMPTY_ROOT) != checkpoint.root);
        }
        let Some(leaf) = leaves.next() else { break };
        let mut height = 0;
        let mut hash = leaf;
        while let Some((_, left)) = subtrees.pop_if(|(own, _)| *own == height) {
            (height, hash) = (height + 1, node_hash(&left, &hash));
        }
        subtrees.push((height, hash));
        size += 1;
    }
    bad + due.count()
}

/// The leaves of a log that was closed, from its bundles.
fn leaves(folder: &Path) -> Vec<Hash> {
    let signed = checkpoint(folder).expect("a checkpoint").size;
    let path = |number, width| folder.join("evidence").join(entries_path(number, width));
    let mut hashes = Vec::new();
    for number in 0..signed.div_ceil(256) {
        let full = path(number, 256);
        let partial = path(number, signed - number * 256);
        let bytes = std::fs::read(if full.exists() { full } else { partial }).expect("a bundle");
        let mut rest = bytes.as_slice();
        while let Some((length, after)) = rest.split_first_chunk::<2>() {
            let (entry, after) = after.split_at(usize::from(u16::from_be_bytes(*length)));
            hashes.push(leaf_hash(entry));
            rest = after;
        }
    }
    hashes
}

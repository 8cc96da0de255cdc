//! Checks of the evidence logs: whether what is recorded is signed in time, and whether the disk has room.

use chapar_client::{EvidenceLog, Status};
use chapar_transport::tls::HumanDuration;

use super::CheckId::{EvidenceCheckpoint, EvidenceDisk};
use super::Checks;

/// Seconds for which entries may wait for a checkpoint: `checkpoint_every` is one by default.
const CHECKPOINT_WARNING_S: i64 = 60;
/// The same, as a failure: the longest `checkpoint_every` is an hour.
const CHECKPOINT_FAILURE_S: i64 = 2 * 3600;
/// The check warns when less than so many times the low-water mark is free.
const ROOM_WARNING_FACTOR: u64 = 10;

pub(super) fn check(checks: &mut Checks, gateway: &str, status: &Status) {
    let Some(log) = &status.evidence else { return };
    checkpoint(checks, gateway, status, log);
    disk(checks, gateway, log);
}

fn checkpoint(checks: &mut Checks, gateway: &str, status: &Status, log: &EvidenceLog) {
    let open = log.size.saturating_sub(log.checkpoint_size);
    let age = status.now_ms.saturating_sub(log.unsigned_since_ms) / 1000;
    if log.unsigned_since_ms == 0 || age < CHECKPOINT_WARNING_S {
        let text = format!("{} entries, {} of them signed", log.size, log.checkpoint_size);
        checks.good(EvidenceCheckpoint, gateway, text);
        return;
    }
    let text = format!("{open} entries are in no checkpoint, the first for {}", HumanDuration(age));
    let fix =
        "look in the gateway's log for what keeps it from signing (a disk without room, `checkpoint_every`)";
    if age >= CHECKPOINT_FAILURE_S {
        checks.fail(EvidenceCheckpoint, gateway, text, fix);
    } else {
        checks.warn(EvidenceCheckpoint, gateway, text, fix);
    }
}

fn disk(checks: &mut Checks, gateway: &str, log: &EvidenceLog) {
    let fix = "make room on the disk of the evidence log, or move the log to a larger one while the gateway is stopped";
    let Some(free) = log.free_bytes else {
        let fix = "look by `df` whether the disk has room: below `low_water` no call is taken";
        checks.warn(EvidenceDisk, gateway, "the disk does not say how much room it has", fix);
        return;
    };
    let text = format!("{} MiB free, low water is {} MiB", free >> 20, log.low_water_bytes >> 20);
    if free < log.low_water_bytes {
        checks.fail(EvidenceDisk, gateway, text, fix);
    } else if free < log.low_water_bytes.saturating_mul(ROOM_WARNING_FACTOR) {
        checks.warn(EvidenceDisk, gateway, text, fix);
    } else {
        checks.good(EvidenceDisk, gateway, text);
    }
}

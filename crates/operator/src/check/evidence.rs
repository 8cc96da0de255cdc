//! Checks of the evidence logs: whether what is recorded is signed and cosigned in time, and
//! whether the disk has room.

use chapar_client::{EvidenceLog, Status, Witnesses};
use chapar_transport::tls::HumanDuration;

use super::CheckId::{EvidenceCheckpoint, EvidenceDisk, EvidenceWitnesses};
use super::Checks;

/// Seconds for which entries may wait for a checkpoint: `checkpoint_every` is one by default.
const CHECKPOINT_WARNING_S: i64 = 60;
/// The same, as a failure: the longest `checkpoint_every` is an hour.
const CHECKPOINT_FAILURE_S: i64 = 2 * 3600;
/// The check warns when less than so many times the low-water mark is free.
const ROOM_WARNING_FACTOR: u64 = 10;
/// Seconds for which signed entries may wait for witnesses: a round takes some seconds where one is down.
const COSIGNED_WARNING_S: i64 = 60;

pub(super) fn check(checks: &mut Checks, gateway: &str, status: &Status) {
    let Some(log) = &status.evidence else { return };
    checkpoint(checks, gateway, status, log);
    disk(checks, gateway, log);
    if let Some(witnesses) = &log.witnesses {
        self::witnesses(checks, gateway, status.now_ms, witnesses);
    }
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

fn witnesses(checks: &mut Checks, gateway: &str, now_ms: i64, witnesses: &Witnesses) {
    let problems = witnesses.witnesses.iter().filter(|witness| !witness.problem.is_empty());
    let problems: Vec<String> =
        problems.map(|witness| format!("{}: {}", witness.name, witness.problem)).collect();
    let age = now_ms.saturating_sub(witnesses.uncosigned_since_ms) / 1000;
    let is_late = witnesses.uncosigned_since_ms != 0 && age >= COSIGNED_WARNING_S;
    let state = format!(
        "{} of {} witnesses must cosign, and did so for {} entries",
        witnesses.quorum,
        witnesses.witnesses.len(),
        witnesses.cosigned_size
    );
    let text = [vec![state], problems.clone()].concat().join("; ");
    if is_late {
        let fix = match witnesses.grace_s {
            0 => "ask those who run the witnesses: what is not cosigned can be denied later".to_owned(),
            grace => format!(
                "ask those who run the witnesses: no call is taken once entries have waited {}",
                HumanDuration(grace)
            ),
        };
        checks.fail(EvidenceWitnesses, gateway, text, &fix);
    } else if !problems.is_empty() {
        let fix = "ask those who run the witness, before another one fails too";
        checks.warn(EvidenceWitnesses, gateway, text, fix);
    } else {
        checks.good(EvidenceWitnesses, gateway, text);
    }
}

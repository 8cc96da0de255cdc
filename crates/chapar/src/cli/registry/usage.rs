//! This module finds when grants were last used, from an evidence log, so that a plan can say what a change
//! takes from whom. It reads the published bundles of the log from the newest back. It proves nothing;
//! `chapar evidence verify` does.

use std::collections::BTreeMap;
use std::path::Path;

use chapar_evidence::{Checkpoint, Record};
use chapar_registry::{Plan, Verb};
use chapar_tlog::{TILE_WIDTH, entries_path};
use jiff::{SignedDuration, Timestamp};
use prost::Message as _;

use crate::exit::{Exit, Failure};

/// How many days back the log is read.
const DAYS: i64 = 30;

/// A line for each grant or delegation that the plan changes or removes.
pub(super) fn lines(plan: &Plan, log: &Path, now: Timestamp) -> Result<Vec<String>, Failure> {
    let touched = plan.changes.iter().filter(|change| {
        change.verb != Verb::Added && matches!(change.kind.as_str(), "grant" | "delegation")
    });
    let mut used: BTreeMap<&str, Used> =
        touched.map(|change| (change.id.as_str(), Used::default())).collect();
    if !used.is_empty() {
        let since = (now - SignedDuration::from_hours(DAYS * 24)).as_millisecond();
        read(log, &mut used, u64::try_from(since).unwrap_or(0))?;
    }
    let line = |(id, used): (&str, Used)| match used.last {
        Some((at, caller)) => {
            format!("  {id}: {} calls in {DAYS} days, the last at {at} by {caller}", used.calls)
        }
        None => format!("  {id}: not used in {DAYS} days"),
    };
    Ok(used.into_iter().map(line).collect())
}

#[derive(Default)]
struct Used {
    calls: u64,
    last: Option<(Timestamp, String)>,
}

fn read(log: &Path, used: &mut BTreeMap<&str, Used>, since: u64) -> Result<(), Failure> {
    let failed =
        |path: &Path, what: &str| Failure::new(Exit::Finding, format_args!("{}: {what}", path.display()));
    let note = log.join("checkpoint");
    let text = std::fs::read_to_string(&note).map_err(|error| failed(&note, &error.to_string()))?;
    // The signature is not verified: these figures inform, and prove nothing.
    let body = text.split_once("\n\n").map(|(text, _)| format!("{text}\n")).unwrap_or_default();
    let checkpoint: Checkpoint = body.parse().map_err(|_| failed(&note, "the file is not a checkpoint"))?;
    for bundle in (0..checkpoint.size.div_ceil(TILE_WIDTH)).rev() {
        let width = (checkpoint.size - bundle * TILE_WIDTH).min(TILE_WIDTH);
        // The partial form may be removed once the full one exists.
        let full = log.join(entries_path(bundle, TILE_WIDTH));
        let path = if full.exists() { full } else { log.join(entries_path(bundle, width)) };
        let bytes = std::fs::read(&path).map_err(|error| failed(&path, &error.to_string()))?;
        let mut rest = bytes.as_slice();
        let mut newest = 0;
        while let Some((entry, left)) = split(rest) {
            rest = left;
            let record = Record::decode(entry).map_err(|_| failed(&path, "an entry is no record"))?;
            newest = newest.max(record.time_unix_ms);
            // A refused call has used no right.
            if record.outcome == "OK" && record.time_unix_ms >= since {
                count(used, &record);
            }
        }
        // The times of a log do not go back, so older bundles hold nothing newer.
        if newest < since {
            return Ok(());
        }
    }
    Ok(())
}

fn count(used: &mut BTreeMap<&str, Used>, record: &Record) {
    for id in [record.grant.as_str(), record.delegation.as_str()] {
        let Some(used) = used.get_mut(id) else { continue };
        used.calls += 1;
        let at = i64::try_from(record.time_unix_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
        if let Some(at) = at
            && used.last.as_ref().is_none_or(|(last, _)| *last < at)
        {
            used.last = Some((at, record.caller.clone()));
        }
    }
}

/// The first entry of a bundle: its length in two bytes, big-endian, and its bytes (C2SP `tlog-tiles`).
fn split(bundle: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bundle.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

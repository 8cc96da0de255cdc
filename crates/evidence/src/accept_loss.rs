//! This module implements `accept-loss`: an operator accepts that a log has lost signed entries, so that the
//! log can go on. The acceptance is recorded and signed like every entry. Each missing index up to the last
//! known signed one gets an entry that says so, so that no later record takes the index of a lost signed
//! entry, and no size is signed twice with two roots.
//!
//! Entries that were acknowledged after the last checkpoint are not known here; usually these are the entries
//! of one `checkpoint_every`. Their indexes may be used again.

use std::sync::Arc;

use chapar_model::{CallId, Clock};
use chapar_tlog::Checkpoint;

use crate::RECORD_VERSION;
use crate::config::{Config, Error};
use crate::disk::{Disk, OsDisk};
use crate::draft::RecordDraft;
use crate::keys::{self, PeriodKey};
use crate::record::pb::Kind;
use crate::recover::{self, Hold};
use crate::writer::Writer;

/// Outcome of an entry that takes the index of a lost one.
const OUTCOME: &str = "LOSS_ACCEPTED";

/// Maximum number of entries that are written in one group.
const AT_ONCE: u64 = 4096;

/// What was accepted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Loss {
    /// Entries that the log held.
    pub found: u64,
    /// Number of entries that were signed; `None` if the state file was missing.
    pub signed: Option<u64>,
    /// Number of entries that now take the indexes of lost ones, from index `found` on. It is at least one,
    /// the record of the acceptance.
    pub written: u64,
}

/// Takes a log as it is, though more or other entries were signed, and writes that down. `who` and `why` are
/// 1 to 200 characters; they stand in the record, so they name no citizen. The gateway must not run.
///
/// # Errors
/// [`Error::NothingLost`] if the log is what was signed; else as [`crate::Log::open`].
pub fn accept_loss(config: &Config, clock: &Clock, who: &str, why: &str) -> Result<Loss, Error> {
    let disk: Arc<dyn Disk> = Arc::new(OsDisk);
    let key = keys::signing_key(config)?;
    let verifier = key.verifier().clone();
    let period = PeriodKey::read(&config.period_key)?;
    // The log is opened as a start would open it, so that only a log that a start refuses can be given up.
    match recover::open(&disk, config, &verifier, Hold::ToState).map(drop) {
        Ok(()) => return Err(Error::NothingLost(config.path.clone())),
        Err(Error::Lost { .. } | Error::StateMissing { .. } | Error::Checkpoint { .. }) => {}
        Err(other) => return Err(other),
    }
    let recovered = recover::open(&disk, config, &verifier, Hold::ToNothing)?;
    let found = recovered.state.tiles.size;
    let sizes = [recovered.signed.as_ref(), recovered.published.as_ref()];
    let signed = sizes.into_iter().flatten().map(|checkpoint: &Checkpoint| checkpoint.size).max();
    // The writer of the gateway is used, so that entries about a loss have the same form and durability as
    // all others.
    let mut writer = Writer::new(config, disk, key, recovered);
    // One more than was signed: a size that was signed gets no second root.
    let until = signed.map_or(found + 1, |signed| signed.max(found) + 1);
    let now = writer.shared.time_ms(clock.now().as_millisecond().unsigned_abs());
    let mut next = found;
    while next < until {
        // Written in parts, so that a loss of millions of entries needs little memory.
        let count = (until - next).min(AT_ONCE);
        let entries = (0..count).map(|_| {
            let call = CallId::now();
            let draft = RecordDraft {
                version: RECORD_VERSION,
                kind: Kind::Lost,
                call_id: call.as_bytes(),
                time_unix_ms: now,
                clerk: who,
                case: why,
                outcome: OUTCOME,
                salt_hash: &period.commit(&call, &[]),
                ..RecordDraft::default()
            };
            (draft.encode(), None)
        });
        writer.write_now(entries)?;
        next += count;
    }
    // The last checkpoint signs the acceptance, so that the next start holds the log to it.
    writer.publisher.lock().close()?;
    Ok(Loss { found, signed, written: until - found })
}

//! `Asked` is one witness as a log asks it (C2SP `tlog-witness`, "add-checkpoint"), and what is known of it.
//! Nothing that it answers is believed but a cosignature that verifies under its key.

use chapar_evidence::{AddCheckpoint, CosignerKey, Log, NoteError, SignedCheckpoint, cosigned_at};
use chapar_model::Clock;
use chapar_transport::post::Reply;
use jiff::Timestamp;
use parking_lot::Mutex;

use super::WitnessState;
use crate::config::Reachable;

/// The most that is read of an answer, in bytes: some signature lines, or a number.
const MAX_ANSWER: usize = 16 << 10;
/// Lines under its name that are looked at: a witness has a few keys at a time.
const MAX_LINES: usize = 16;
/// How far a cosignature's time may be from this machine's, in seconds. It is what tells how fresh a
/// checkpoint is.
const MAX_SKEW_S: u64 = 300;

pub(super) struct Asked {
    witness: Reachable,
    /// Entries of the last checkpoint that the witness has cosigned, as far as is known.
    known: Mutex<u64>,
    state: Mutex<WitnessState>,
}

impl Asked {
    pub(super) fn new(witness: Reachable) -> Self {
        let state = WitnessState {
            name: witness.key.name().to_owned(),
            url: witness.url.clone(),
            ..WitnessState::default()
        };
        Self { witness, known: Mutex::new(0), state: Mutex::new(state) }
    }

    pub(super) fn state(&self) -> WitnessState {
        self.state.lock().clone()
    }

    /// The line by which the witness cosigns this checkpoint.
    ///
    /// # Errors
    /// Why it does not, in a sentence.
    pub(super) async fn cosign(
        &self,
        log: &Log,
        signed: &SignedCheckpoint,
        clock: &Clock,
    ) -> Result<String, String> {
        let (checkpoint, note) = signed;
        // The first answer may tell that the witness knows another size than was believed.
        for _ in 0..2 {
            let old = (*self.known.lock()).min(checkpoint.size);
            let proof = log.consistency(old, checkpoint.size).await.map_err(|error| error.to_string())?;
            let body = AddCheckpoint { old, proof, checkpoint: note.clone() }.to_text();
            let reply = self.witness.endpoint.post("/add-checkpoint", body, MAX_ANSWER).await;
            let reply = reply.map_err(|error| error.to_string())?;
            match reply.status {
                200 => {
                    let line = cosignature(&reply, note, &self.witness.key, clock.now())?;
                    *self.known.lock() = checkpoint.size;
                    return Ok(line);
                }
                409 => {
                    let size = known_size(&reply).ok_or("it answered 409 without a size")?;
                    if size > checkpoint.size {
                        return Err(format!(
                            "it has seen {size} entries of this log, which has {} now: the log was put back \
                             from an older copy, or another one is published under its name and key",
                            checkpoint.size
                        ));
                    }
                    if size == old && size == checkpoint.size {
                        return Err(format!(
                            "it has cosigned another checkpoint of {size} entries: the log was forked"
                        ));
                    }
                    *self.known.lock() = size;
                }
                status => return Err(refused(status)),
            }
        }
        Err("it does not keep to one size".to_owned())
    }

    /// Notes how a question ended, and tells a change. Returns the cosignature.
    pub(super) fn note(&self, answer: Result<String, String>, size: u64, now: Timestamp) -> Option<String> {
        let mut state = self.state.lock();
        let (line, problem) = match answer {
            Ok(line) => (Some(line), None),
            Err(problem) => (None, Some(problem)),
        };
        if line.is_some() {
            (state.cosigned, state.at) = (size, Some(now));
        }
        match (&state.problem, &problem) {
            (known, Some(problem)) if known.as_deref().is_none_or(|known| !is_alike(known, problem)) => {
                tracing::warn!(witness = state.name, %problem, "a witness does not cosign the evidence log");
            }
            (Some(_), None) => {
                tracing::info!(witness = state.name, "a witness cosigns the evidence log again")
            }
            _ => {}
        }
        state.problem = problem;
        line
    }
}

/// The line of the witness in its answer, if it cosigns this note.
fn cosignature(reply: &Reply, note: &str, key: &CosignerKey, now: Timestamp) -> Result<String, String> {
    let text = std::str::from_utf8(&reply.body).map_err(|_| "its answer is no text")?;
    // Lines of other keys, also under the same name, are passed over (C2SP tlog-witness).
    let prefix = format!("— {} ", key.name());
    let own = text.split_inclusive('\n').filter(|line| line.starts_with(&prefix) && line.ends_with('\n'));
    let mut problem = "its answer has no cosignature under its name and key".to_owned();
    let mut found = None;
    for line in own.take(MAX_LINES) {
        match cosigned_at(&format!("{note}{line}"), key) {
            Ok(time) => found = Some((line, time)),
            Err(NoteError::Unsigned) => {}
            Err(error) => problem = format!("its cosignature: {error}"),
        }
    }
    let (line, time) = found.ok_or(problem)?;
    let skew = now.as_second().unsigned_abs().abs_diff(time);
    if skew > MAX_SKEW_S {
        return Err(format!("its clock and this machine's are {skew} s apart"));
    }
    Ok(line.to_owned())
}

/// The size in an answer 409: a decimal number and a newline.
fn known_size(reply: &Reply) -> Option<u64> {
    let text = std::str::from_utf8(&reply.body).ok()?.strip_suffix('\n')?;
    let is_number = !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}

/// Whether two problems are the same but for their numbers, which change from one checkpoint to the next.
fn is_alike(one: &str, other: &str) -> bool {
    let words = |text: &str| text.replace(|c: char| c.is_ascii_digit(), "");
    words(one) == words(other)
}

fn refused(status: u16) -> String {
    match status {
        403 => "it does not know the log's key".to_owned(),
        404 => "it does not know the log".to_owned(),
        422 => "it says that the checkpoint does not extend the last one that it saw: the log was forked"
            .to_owned(),
        _ => format!("it answered HTTP status {status}"),
    }
}

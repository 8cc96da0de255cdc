//! This module writes the journal of a store: what was done to it and what was tried, as one line of JSON
//! each in `STORE/journal`. A line is on disk before the command ends.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use jiff::Timestamp;
use serde_json::json;

use crate::exit::{Exit, Failure, Outcome};
use crate::out;

/// Runs `act`, and writes to the journal who did what, and the outcome. If the journal cannot be written, the
/// command fails.
pub(super) fn kept(
    store: &Path,
    now: Timestamp,
    action: &str,
    who: &str,
    act: impl FnOnce() -> Result<String, Failure>,
) -> Result<String, Failure> {
    // A failed attempt is journaled as well.
    let done = act();
    let (outcome, detail) = match &done {
        Ok(detail) => ("done", detail.clone()),
        Err(failure) => ("failed", failure.report.to_string()),
    };
    let line =
        json!({"at": now.to_string(), "action": action, "by": who, "outcome": outcome, "detail": detail});
    let path = store.join("journal");
    let written = OpenOptions::new().create(true).append(true).open(&path).and_then(|mut file| {
        file.write_all(format!("{line}\n").as_bytes())?;
        file.sync_all()
    });
    written.map_err(|error| {
        Failure::new(Exit::Finding, format_args!("cannot write {}: {error}", path.display()))
    })?;
    done
}

/// Prints the message of a journaled action, and turns its result into the command's outcome.
pub(super) fn told(done: Result<String, Failure>) -> Outcome {
    out::say(done?);
    Ok(Exit::Ok)
}

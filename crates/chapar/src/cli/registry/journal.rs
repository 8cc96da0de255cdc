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
pub(super) fn run_journaled(
    store: &Path,
    now: Timestamp,
    action: &str,
    who: &str,
    act: impl FnOnce() -> Result<String, Failure>,
) -> Result<String, Failure> {
    let path = store.join("journal");
    let unwritable =
        |error| Failure::new(Exit::Finding, format_args!("cannot write {}: {error}", path.display()));
    // Opened before anything is done, so that nothing takes effect that cannot be written down.
    let mut file = OpenOptions::new().create(true).append(true).open(&path).map_err(unwritable)?;
    let done = act();
    let (outcome, detail) = match &done {
        Ok(detail) => ("done", detail.clone()),
        Err(failure) => ("failed", failure.report.to_string()),
    };
    let line =
        json!({"at": now.to_string(), "action": action, "by": who, "outcome": outcome, "detail": detail});
    let written = file.write_all(format!("{line}\n").as_bytes()).and_then(|()| file.sync_all());
    match (written, &done) {
        (Ok(()), _) => done,
        (Err(error), Ok(detail)) => Err(Failure::new(
            Exit::Finding,
            format_args!("{detail}; but {} cannot be written: {error}", path.display()),
        )),
        (Err(error), Err(_)) => Err(unwritable(error)),
    }
}

/// Prints the message of a journaled action, and turns its result into the command's outcome.
pub(super) fn print_outcome(done: Result<String, Failure>) -> Outcome {
    out::say(done?);
    Ok(Exit::Ok)
}

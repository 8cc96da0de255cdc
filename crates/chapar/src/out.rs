//! This module is the only place that prints: data to standard output, messages to standard error.
//!
//! A closed standard output (`chapar list | head -1`) is not an error; the rest is not written. Any other
//! failure to write data, e.g. a full disk under `> file`, is reported at the end: data that was not written
//! must not look like a success.

use std::fmt::Display;
use std::io::{ErrorKind, Write};
use std::sync::OnceLock;

/// The first failure to write data.
static FAILED: OnceLock<std::io::Error> = OnceLock::new();

/// Writes one line of data to standard output.
pub fn data(line: impl Display) {
    let mut stdout = std::io::stdout().lock();
    note(writeln!(stdout, "{line}"));
}

/// Writes raw bytes of data, e.g. a receipt, to standard output.
pub fn bytes(data: &[u8]) {
    let mut stdout = std::io::stdout().lock();
    note(stdout.write_all(data));
}

/// Writes one line of a message to standard error.
pub fn say(line: impl Display) {
    // A closed standard error cannot be reported anywhere, so the failure is dropped.
    let _closed = writeln!(std::io::stderr().lock(), "{line}");
}

/// The first failure to write data, if there was one. It is asked for when the command ends.
pub fn failed() -> Option<&'static std::io::Error> {
    note(std::io::stdout().flush());
    FAILED.get()
}

fn note(written: std::io::Result<()>) {
    if let Err(error) = written
        && error.kind() != ErrorKind::BrokenPipe
    {
        // Only the first failure is kept, because later ones follow from it.
        FAILED.set(error).ok();
    }
}

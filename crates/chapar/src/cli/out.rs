//! The only place that prints: data on standard output, talk on standard error.
//!
//! A closed standard output (`chapar list | head -1`) is not an error; what is left is not written.

use std::fmt::Display;
use std::io::Write;

/// One line of data.
pub fn data(line: impl Display) {
    let _closed = writeln!(std::io::stdout().lock(), "{line}");
}

/// Raw bytes of data, e.g. a receipt.
///
/// # Errors
/// As writing does.
pub fn bytes(data: &[u8]) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(data)?;
    stdout.flush()
}

/// One line of talk.
pub fn say(line: impl Display) {
    let _closed = writeln!(std::io::stderr().lock(), "{line}");
}

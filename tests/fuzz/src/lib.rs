//! This crate has helpers that the fuzz targets share: they read an input in parts, edit bytes, make
//! temporary folders, and check that a finding's place is inside its file.

use std::path::PathBuf;
use std::sync::Once;

use chapar_tlog::{Hash, HashSource, SigningKey, fold};

/// The example key of Go's `golang.org/x/mod/sumdb/note`. A fixed key makes every input reproducible.
pub const SECRET_KEY: &str = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";

/// [`SECRET_KEY`], parsed. Its name is the origin of the logs that the targets make.
pub fn signing_key() -> SigningKey {
    SECRET_KEY.parse().expect("the published key")
}

/// An input that is read from its beginning. Past its end it reads as zeros, so that every input is usable.
pub struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    /// The next byte.
    pub fn byte(&mut self) -> usize {
        let (first, rest) = self.0.split_first().map_or((0, self.0), |(first, rest)| (*first, rest));
        self.0 = rest;
        usize::from(first)
    }

    /// The next two bytes, little-endian.
    pub fn number(&mut self) -> usize {
        self.byte() | self.byte() << 8
    }

    /// At most `length` bytes.
    pub fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }
}

/// One edit of `bytes`, as the input says: at a place up to 3 bytes are removed and up to 4 inserted.
pub fn edited(bytes: &[u8], input: &mut Input<'_>) -> Vec<u8> {
    let at = input.number() % (bytes.len() + 1);
    let removed = (input.byte() % 4).min(bytes.len() - at);
    let inserted = input.byte() % 5;
    [&bytes[..at], input.take(inserted), &bytes[at + removed..]].concat()
}

/// An empty folder for this process. `run.sh` points `TMPDIR` at memory and removes it afterwards.
pub fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("chapar-fuzz-{name}-{}", std::process::id()));
    std::fs::remove_dir_all(&folder).ok();
    std::fs::create_dir_all(&folder).expect("a temporary folder");
    folder
}

/// Asserts that a 1-based line and column are inside `text`; `widest` is the greatest number of columns that
/// one byte may count for. (0, 0) is the whole file.
pub fn assert_inside(text: &str, (line, column): (usize, usize), widest: usize) {
    if (line, column) == (0, 0) {
        return;
    }
    let found = line.checked_sub(1).and_then(|line| text.split('\n').nth(line));
    let found = found.unwrap_or_else(|| panic!("line {line} is not in the file"));
    assert!(column <= found.len() * widest + 1, "column {column} is not in line {line}");
}

/// Asserts that a finding can be shown to a person, with its lines and labels.
pub fn assert_renders(finding: &dyn miette::Diagnostic) {
    let mut shown = String::new();
    let rendered = miette::GraphicalReportHandler::new().render_report(&mut shown, finding);
    assert!(rendered.is_ok() && !shown.is_empty(), "a finding that cannot be shown");
}

/// Lets the code under test catch panics. libfuzzer-sys aborts in its panic hook, before `catch_unwind` can
/// return. A panic that nothing catches still ends the run, because libfuzzer-sys aborts on it as well.
pub fn allow_caught_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| drop(std::panic::take_hook()));
}

/// The leaves of a small tree as a source of hashes.
pub struct Leaves(pub Vec<Hash>);

impl HashSource for Leaves {
    type Error = std::convert::Infallible;

    fn hash(&self, level: u8, index: u64) -> Result<Hash, Self::Error> {
        let first = usize::try_from(index).expect("a small tree") << level;
        Ok(fold(&self.0[first..first + (1 << level)]).expect("a power of two"))
    }
}

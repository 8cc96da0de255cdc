//! `ResultFile` is a file that a command writes its result to. What is there already is overwritten only if
//! the user says so: it may be the only copy of what cannot be made again, such as a receipt with its salt.

use std::path::Path;

use crate::exit::{Exit, Failure};

/// Whether files that exist are overwritten.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct ForceArgs {
    /// Overwrite the file to write to, if it is there already
    #[arg(long)]
    pub(super) force: bool,
}

/// A file that may be written.
pub(super) struct ResultFile<'a>(&'a Path);

impl<'a> ResultFile<'a> {
    /// Commands make it before they do what cannot be undone, such as a call.
    ///
    /// # Errors
    /// If the file is there already and `force` is not given.
    pub(super) fn new(path: &'a Path, force: ForceArgs) -> Result<Self, Failure> {
        // A device or a pipe, such as `/dev/stdout`, keeps nothing that could be lost.
        if force.force || !path.is_file() {
            return Ok(Self(path));
        }
        let message =
            format!("{} is there already: give another name, or `--force` to overwrite it", path.display());
        Err(Failure::new(Exit::Finding, message))
    }

    pub(super) fn path(&self) -> &Path {
        self.0
    }

    /// Writes the whole of it. A link is followed.
    ///
    /// # Errors
    /// What the system said.
    pub(super) fn write(&self, bytes: &[u8]) -> Result<(), Failure> {
        std::fs::write(self.0, bytes).map_err(|error| {
            Failure::new(Exit::Finding, format_args!("cannot write {}: {error}", self.0.display()))
        })
    }
}

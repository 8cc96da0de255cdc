//! `Suspension` is an entry in a registry's `suspensions.toml`.

use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};

use crate::exit::{Exit, Failure};

/// What is suspended, by whom and why.
pub(crate) struct Suspension<'a> {
    /// The member, the subsystem, or `grant/ID`.
    pub(crate) of: &'a str,
    pub(crate) by: &'a str,
    pub(crate) reason: &'a str,
}

impl Suspension<'_> {
    /// Adds the suspension to the file in `folder`, by replacing it. Returns the file.
    ///
    /// # Errors
    /// If the file cannot be read or written.
    pub(crate) fn add(
        &self,
        folder: &Path,
        now: Timestamp,
        time: SignedDuration,
    ) -> Result<PathBuf, Failure> {
        let path = folder.join("suspensions.toml");
        let before = chapar_files::read_text_if_any(&path)
            .map_err(|error| Failure::new(Exit::Finding, format_args!("{}: {error}", path.display())))?
            .unwrap_or_default();
        // Whole seconds are enough, and TOML allows at most nine digits after the second.
        let from = Timestamp::from_second(now.as_second()).unwrap_or(now);
        let until = from + time;
        let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
        // The name goes into a TOML comment and is escaped, because a line break would end the comment.
        let suspension = format!(
            "[[suspension]] # by {}\nof     = {}\nfrom   = {from}\nuntil  = {until}\nreason = {}\n",
            self.by.escape_default(),
            quoted(self.of),
            quoted(self.reason)
        );
        let separator = if before.is_empty() { "" } else { "\n" };
        let text = format!("{before}{separator}{suspension}");
        chapar_files::replace(&path, text.as_bytes(), 0o644).map_err(|error| {
            Failure::new(Exit::Finding, format_args!("cannot write {}: {error}", path.display()))
        })?;
        Ok(path)
    }
}

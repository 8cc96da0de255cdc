//! This module prepares the demo's folder: a new temporary one, or the user's, which is new or from an
//! earlier demo. Only one demo at a time may use it, and what a failed start has made is removed.

use std::collections::BTreeSet;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use super::{data, made};

/// A folder that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("cannot use {}", path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{} is not empty and holds no demo; give an empty or new folder", .0.display())]
    Foreign(PathBuf),
    #[error(
        "{} was edited since the last demo wrote it: {}. `chapar gateway --config {}` serves it as it is; `--force` writes \
         these files again",
        path.display(), files.join(", "), path.join("gateway.toml").display()
    )]
    Edited { path: PathBuf, files: Vec<String> },
    #[error("another demo runs in {}", .0.display())]
    Busy(PathBuf),
    #[error("{} holds a demo of {there} people, not {wanted}; give `--people {there}` or another folder", path.display())]
    OtherPeople { path: PathBuf, there: u32, wanted: u32 },
    #[error(transparent)]
    Data(#[from] data::Error),
}

/// The folder, locked until dropped. Dropped before [`Folder::ready`], it takes along what it made.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// People whose databases are here from an earlier demo.
    people: Option<u32>,
    /// The user's own files in it.
    foreign: BTreeSet<String>,
    /// What to remove at the end.
    remove: Remove,
    lock: Option<File>,
    /// Whether the list of what was written is that of this start.
    is_remembered: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Remove {
    /// Ours alone.
    Folder,
    /// The folder was there, and empty.
    Contents,
    Nothing,
}

const PEOPLE: &str = "databases/people";
const LOCK: &str = ".lock";
/// The people of a demo that is not told how many.
const DEFAULT_PEOPLE: u32 = 2_000;

impl Folder {
    /// A fresh folder among the system's temporary ones, removed at the end unless kept.
    pub(super) fn temporary() -> Result<Self, Error> {
        let folder = tempfile::Builder::new().prefix("chapar-demo-").tempdir();
        let path = folder.map_err(|source| Error::Io { path: std::env::temp_dir(), source })?.keep();
        Self {
            path,
            people: None,
            foreign: BTreeSet::new(),
            remove: Remove::Folder,
            lock: None,
            is_remembered: false,
        }
        .locked()
    }

    /// The user's folder: made if it is not there. One from an earlier demo of which files were edited is
    /// refused, unless by `force`.
    pub(super) fn at(path: &Path, force: bool) -> Result<Self, Error> {
        let failed = |source| Error::Io { path: path.to_owned(), source };
        let entries = match std::fs::read_dir(path) {
            Ok(entries) => {
                // The lock's own file does not make a folder foreign.
                Some(entries.filter_map(Result::ok).filter(|entry| entry.file_name() != LOCK).count())
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed(error)),
        };
        // Without a readable count, no demo has finished its databases here.
        let people =
            std::fs::read_to_string(path.join(PEOPLE)).ok().and_then(|text| text.trim().parse().ok());
        let remove = match (entries, people) {
            (None, _) => Remove::Folder,
            (Some(0), _) => Remove::Contents,
            (Some(_), Some(_)) => Remove::Nothing,
            // A folder with other files is refused, so that the demo overwrites nothing of the user's.
            (Some(_), None) => return Err(Error::Foreign(path.to_owned())),
        };
        if remove == Remove::Nothing && !force {
            let files = made::edited(path).map_err(failed)?;
            if !files.is_empty() {
                return Err(Error::Edited { path: path.to_owned(), files });
            }
        }
        std::fs::create_dir_all(path).map_err(failed)?;
        let foreign = made::foreign(path).map_err(failed)?;
        // Absolute, so that the commands that the demo prints work in any working directory.
        let path = path.canonicalize().map_err(failed)?;
        Self { path, people, foreign, remove, lock: None, is_remembered: false }.locked()
    }

    fn locked(mut self) -> Result<Self, Error> {
        let path = self.path.join(LOCK);
        let file = File::create(&path).map_err(|source| Error::Io { path: path.clone(), source })?;
        match file.try_lock() {
            Ok(()) => self.lock = Some(file),
            Err(TryLockError::WouldBlock) => {
                // The folder belongs to the running demo, so nothing in it may be removed.
                self.remove = Remove::Nothing;
                return Err(Error::Busy(self.path.clone()));
            }
            Err(TryLockError::Error(source)) => return Err(Error::Io { path, source }),
        }
        for folder in ["pki", "databases", "adapters", "registry"] {
            let path = self.path.join(folder);
            std::fs::create_dir_all(&path).map_err(|source| Error::Io { path, source })?;
        }
        // Programs wait for `demo.json`, so they must not find that of an earlier demo.
        match std::fs::remove_file(self.path.join("demo.json")) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::Io { path: self.path.join("demo.json"), source })
            }
            _ => Ok(self),
        }
    }

    /// Where it is, absolute.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Builds the databases, or takes those of an earlier demo of as many people. Blocks until done or
    /// `stop`.
    pub(super) fn databases(
        &self,
        wanted: Option<u32>,
        stop: &CancellationToken,
    ) -> Result<Databases, Error> {
        let dir = self.path.join("databases");
        match (self.people, wanted) {
            (Some(there), Some(wanted)) if there != wanted => {
                Err(Error::OtherPeople { path: self.path.clone(), there, wanted })
            }
            (Some(people), _) => Ok(Databases { people, sample: data::sample(people)?, is_new: false }),
            (None, wanted) => {
                let summary = data::build_until(&dir, wanted.unwrap_or(DEFAULT_PEOPLE), stop)?;
                // Written after the databases, so that its presence says that they are complete.
                let path = self.path.join(PEOPLE);
                let written = std::fs::write(&path, format!("{}\n", summary.people));
                written.map_err(|source| Error::Io { path, source })?;
                Ok(Databases { people: summary.people, sample: summary.sample, is_new: true })
            }
        }
    }

    /// The bus is up: from now on the user's folder stays, and a temporary one goes at the end unless it is
    /// kept.
    ///
    /// # Errors
    /// If what was written cannot be noted.
    pub(super) fn ready(&mut self, is_temporary: bool, keep: bool) -> Result<(), Error> {
        if !is_temporary || keep {
            self.remove = Remove::Nothing;
            made::remember(&self.path, &self.foreign)
                .map_err(|source| Error::Io { path: self.path.clone(), source })?;
            self.is_remembered = true;
        }
        Ok(())
    }
}

/// The citizens of this demo.
#[derive(Debug)]
pub(super) struct Databases {
    pub(super) people: u32,
    pub(super) sample: Vec<data::Sample>,
    /// Built now, not taken from an earlier demo.
    pub(super) is_new: bool,
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A start that failed has rewritten files of the demo before it, which nobody has edited.
        if self.remove == Remove::Nothing && self.lock.is_some() && !self.is_remembered {
            made::remember(&self.path, &self.foreign).ok();
        }
        self.lock = None;
        let gone = match self.remove {
            Remove::Folder => std::fs::remove_dir_all(&self.path),
            Remove::Contents => empty(&self.path),
            Remove::Nothing => Ok(()),
        };
        if let Err(error) = gone {
            tracing::warn!(
                path = %self.path.display(), %error,
                "the demo's folder cannot be removed; remove it by hand"
            );
        }
    }
}

fn empty(path: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            std::fs::remove_dir_all(entry.path())?;
        } else {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn a_start_that_fails_leaves_a_new_folder_away_and_an_empty_one_empty() {
        let outer = tempfile::tempdir().unwrap();
        let new = outer.path().join("new");
        drop(Folder::at(&new, false).unwrap());
        assert!(!new.exists());
        drop(Folder::at(outer.path(), false).unwrap());
        assert_eq!(std::fs::read_dir(outer.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_with_other_things_in_it_is_refused_and_untouched() {
        let outer = tempfile::tempdir().unwrap();
        std::fs::write(outer.path().join("thesis.txt"), "years of work").unwrap();
        assert!(matches!(Folder::at(outer.path(), false), Err(Error::Foreign(_))));
        assert_eq!(std::fs::read_dir(outer.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_earlier_demo_is_taken_up_with_its_people_or_refused_for_others() {
        let outer = tempfile::tempdir().unwrap();
        let mut first = Folder::at(outer.path(), false).unwrap();
        assert!(first.databases(Some(100), &CancellationToken::new()).unwrap().is_new);
        first.ready(false, false).unwrap();
        drop(first);
        let second = Folder::at(outer.path(), false).unwrap();
        let taken = second.databases(None, &CancellationToken::new()).unwrap();
        assert_eq!((taken.people, taken.is_new), (100, false));
        let error = second.databases(Some(200), &CancellationToken::new()).unwrap_err();
        assert!(error.to_string().contains("--people 100"), "{error}");
        drop(second);
        assert!(outer.path().join(PEOPLE).exists(), "a failed second start removes nothing");
    }

    #[test]
    fn two_demos_do_not_share_a_folder() {
        let outer = tempfile::tempdir().unwrap();
        let first = Folder::at(outer.path(), false).unwrap();
        first.databases(Some(100), &CancellationToken::new()).unwrap();
        let error = Folder::at(outer.path(), false).unwrap_err();
        assert!(matches!(error, Error::Busy(_)), "{error}");
    }
}

//! `Watched` detects changed files by polling their names, sizes, modification times and inodes. Polling also
//! works where a folder is a mount that is swapped, as Kubernetes does it; a subscription may miss that.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// `Watched` is a set of files, and of folders with everything in them.
pub struct Watched {
    paths: Vec<PathBuf>,
    /// Hash of the state that was last loaded.
    taken: u64,
    /// Hash of the state at the last check.
    seen: u64,
    cost: Duration,
}

impl Watched {
    /// Takes the present state on disk as loaded.
    pub fn new<P: AsRef<Path>>(paths: impl IntoIterator<Item = P>) -> Self {
        let paths: Vec<PathBuf> = paths.into_iter().map(|path| path.as_ref().to_owned()).collect();
        let seen = state(&paths);
        Self { paths, taken: seen, seen, cost: Duration::ZERO }
    }

    /// Checks the files once. Returns true if they differ from those last loaded and have not changed since
    /// the last check; they then count as loaded.
    pub fn settled(&mut self) -> bool {
        let began = Instant::now();
        let now = state(&self.paths);
        self.cost = began.elapsed();
        // Two equal checks in a row mean that nothing is being written. A half-written registry would be
        // refused, and the refusal would be logged as an error.
        let settled = now == self.seen && now != self.taken;
        self.seen = now;
        if settled {
            self.taken = now;
        }
        settled
    }

    /// Returns how long the last check took.
    pub fn cost(&self) -> Duration {
        self.cost
    }
}

fn state(paths: &[PathBuf]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for path in paths {
        walk(path, 0, &mut hasher);
    }
    hasher.finish()
}

/// Maximum depth of folders that are read. Registries and contracts are not as deep; the limit ends a link
/// that leads to a folder above.
const DEEPEST: usize = 8;

fn walk(path: &Path, depth: usize, hasher: &mut DefaultHasher) {
    // The path is hashed too, so that a file that is renamed or removed changes the state.
    path.hash(hasher);
    let Ok(metadata) = std::fs::metadata(path) else { return };
    (metadata.ino(), metadata.size(), metadata.mtime(), metadata.mtime_nsec()).hash(hasher);
    if !metadata.is_dir() || depth == DEEPEST {
        return;
    }
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let mut inside: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    // `read_dir` gives no order, and the hash must not depend on it.
    inside.sort_unstable();
    for path in inside {
        walk(&path, depth + 1, hasher);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_taken_up_once_and_only_when_it_has_settled() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("inner").join("a.toml");
        std::fs::create_dir(folder.path().join("inner")).unwrap();
        std::fs::write(&file, "one").unwrap();
        let mut watched = Watched::new([folder.path()]);
        assert!(!watched.settled(), "nothing has changed");

        std::fs::write(&file, "another").unwrap();
        assert!(!watched.settled(), "seen for the first time: it may still be being written");
        assert!(watched.settled());
        assert!(!watched.settled(), "taken up already");
    }

    #[test]
    fn a_file_renamed_into_place_a_new_one_and_one_that_is_gone_are_changes() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("a"), "same").unwrap();
        let mut watched = Watched::new([folder.path()]);
        let mut changed = || (watched.settled(), watched.settled()) == (false, true);

        std::fs::write(at("b"), "same").unwrap();
        assert!(changed(), "a new file");
        std::fs::rename(at("b"), at("a")).unwrap();
        assert!(changed(), "the same text in another file");
        std::fs::remove_file(at("a")).unwrap();
        assert!(changed(), "none");
    }
}

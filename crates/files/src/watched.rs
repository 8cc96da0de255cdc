//! `Watched` detects changed files by polling their names, sizes, modification times and inodes. Polling also
//! works where a folder is a mount that is swapped, as Kubernetes does it; a subscription may miss that.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Time after which files that were refused are offered again, though they have not changed: what kept them
/// from being taken up may have been elsewhere, such as a full disk.
const RETRY_REFUSED: Duration = Duration::from_secs(30);

/// `Watched` is a set of files, and of folders with everything in them.
#[derive(Clone, Debug)]
pub struct Watched {
    paths: Vec<PathBuf>,
    /// The state that was last taken up.
    taken: u64,
    /// The state that was last refused, and when.
    refused: Option<(u64, Instant)>,
    /// The state that was last seen.
    seen: u64,
    cost: Duration,
}

impl Watched {
    /// Takes the present state on disk as loaded.
    pub fn new<P: AsRef<Path>>(paths: impl IntoIterator<Item = P>) -> Self {
        let paths: Vec<PathBuf> = paths.into_iter().map(|path| path.as_ref().to_owned()).collect();
        let seen = state(&paths);
        Self { paths, taken: seen, refused: None, seen, cost: Duration::ZERO }
    }

    /// Checks the files once. Returns true if they are to be loaded: they differ from those last loaded, have
    /// not changed since the last check, and were not refused a short time ago. [`Watched::loaded`] must
    /// follow.
    pub fn settled(&mut self) -> bool {
        let began = Instant::now();
        let now = state(&self.paths);
        self.cost = began.elapsed();
        // Two equal looks in a row mean that no one is writing at the moment. A half-written registry would
        // be refused, and reported.
        let settled = now == self.seen && now != self.taken;
        self.seen = now;
        let is_refused = self.refused.is_some_and(|(state, at)| state == now && at.elapsed() < RETRY_REFUSED);
        settled && !is_refused
    }

    /// Notes whether the files that were last checked have been loaded.
    pub fn loaded<T, E>(&mut self, result: &Result<T, E>) {
        match result {
            Ok(_) => (self.taken, self.refused) = (self.seen, None),
            Err(_) => self.refused = Some((self.seen, Instant::now())),
        }
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
const MAX_FOLDER_DEPTH: usize = 8;

fn walk(path: &Path, depth: usize, hasher: &mut DefaultHasher) {
    // The path is hashed too, so that a file that is renamed or removed changes the state.
    path.hash(hasher);
    let Ok(metadata) = std::fs::metadata(path) else { return };
    // The mode is part of it: a key that was refused for its rights is tried again once they are right.
    (metadata.ino(), metadata.size(), metadata.mode()).hash(hasher);
    (metadata.mtime(), metadata.mtime_nsec()).hash(hasher);
    if !metadata.is_dir() || depth == MAX_FOLDER_DEPTH {
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
        watched.loaded(&Ok::<_, ()>(()));
        assert!(!watched.settled(), "taken up already");
    }

    #[test]
    fn a_file_renamed_into_place_a_new_one_and_one_that_is_gone_are_changes() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("a"), "same").unwrap();
        let mut watched = Watched::new([folder.path()]);
        let mut changed = || {
            let changed = (watched.settled(), watched.settled()) == (false, true);
            watched.loaded(&Ok::<_, ()>(()));
            changed
        };

        std::fs::write(at("b"), "same").unwrap();
        assert!(changed(), "a new file");
        std::fs::rename(at("b"), at("a")).unwrap();
        assert!(changed(), "the same text in another file");
        std::fs::remove_file(at("a")).unwrap();
        assert!(changed(), "none");
    }

    #[test]
    fn what_was_refused_is_offered_again_once_it_changes_its_rights_included() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.key");
        std::fs::write(&file, "one").unwrap();
        let mut watched = Watched::new([&file]);
        std::fs::write(&file, "another").unwrap();
        assert_eq!((watched.settled(), watched.settled()), (false, true));
        watched.loaded(&Err::<(), _>(()));
        assert!(!watched.settled(), "refused a moment ago");

        let mode = |mode| std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        mode(0o600);
        assert_eq!((watched.settled(), watched.settled()), (false, true));
        watched.loaded(&Err::<(), _>(()));
        watched.refused = watched.refused.map(|(state, at)| (state, at - RETRY_REFUSED));
        assert!(watched.settled(), "the cause may have been elsewhere");
    }
}

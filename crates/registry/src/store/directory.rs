//! `Directory` is a store in a folder: `generations/NNNNNN/registry` with the files,
//! `generations/NNNNNN/plan.txt`, and the symbolic link `current`, which a rename replaces atomically. A
//! gateway that reads `STORE/current` takes up a new one by itself.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::{Files, Generation, Store, StoreError};
use crate::finding::Findings;
use crate::folder;

/// A store in a folder. One writer at a time: others wait.
#[derive(Clone, Debug)]
pub struct Directory {
    root: PathBuf,
}

impl Directory {
    /// The store in `root`, which is made if it is not there.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        let generations = root.join("generations");
        fs::create_dir_all(&generations).map_err(at(&generations))?;
        Ok(Self { root: root.to_owned() })
    }

    /// Whether a store is in `root`.
    pub fn is_at(root: &Path) -> bool {
        root.join("generations").is_dir()
    }

    /// The link by which a gateway reads the registry in force.
    pub fn link(&self) -> PathBuf {
        self.root.join("current")
    }

    /// Takes the store's lock, and waits while another process holds it.
    fn lock(&self) -> Result<File, StoreError> {
        let path = self.root.join("lock");
        // The system ends the lock with the process, so a crash leaves none behind.
        let file = File::create(&path).map_err(at(&path))?;
        file.lock().map_err(at(&path))?;
        Ok(file)
    }

    fn generation(&self, number: u64) -> Result<Generation, StoreError> {
        let base = self.root.join("generations").join(format!("{number:06}"));
        let folder = base.join("registry");
        let stamp = base.join("at");
        let text = fs::read_to_string(&stamp).map_err(at(&stamp))?;
        let moment = text.trim().parse().map_err(|_| invalid(&stamp, "no moment"))?;
        // The digest is computed from the files and not stored, so that files that were edited in the store
        // show it.
        Ok(Generation { number, digest: digest(&folder)?, at: moment, folder })
    }

    fn numbers(&self) -> Result<Vec<u64>, StoreError> {
        let folder = self.root.join("generations");
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&folder).map_err(at(&folder))? {
            let name = entry.map_err(at(&folder))?.file_name();
            // What is still being written, or was left behind by a writer that ended, has no number for a
            // name.
            numbers.extend(name.to_str().and_then(|name| name.parse::<u64>().ok()));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }
}

impl Store for Directory {
    fn current(&self) -> Result<Option<Generation>, StoreError> {
        let link = self.link();
        let target = match fs::read_link(&link) {
            Ok(target) => target,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                // A lost link must not make a store look new, because the first registry needs no approval.
                return match self.numbers()?.len() {
                    0 => Ok(None),
                    generations => Err(StoreError::LinkMissing { link, generations }),
                };
            }
            Err(source) => return Err(StoreError::Io { path: link, source }),
        };
        // The link leads to `generations/NNNNNN/registry`, so the number is the folder above.
        let number = target.parent().and_then(|base| base.file_name()?.to_str()?.parse().ok());
        self.generation(number.ok_or_else(|| invalid(&link, "no link to a generation"))?).map(Some)
    }

    fn generations(&self) -> Result<Vec<Generation>, StoreError> {
        self.numbers()?.into_iter().map(|number| self.generation(number)).collect()
    }

    fn put(
        &self,
        expected: Option<u64>,
        files: &Files<'_>,
        moment: Timestamp,
    ) -> Result<Generation, StoreError> {
        let _alone = self.lock()?;
        let found = self.current()?.map(|generation| generation.number);
        if found != expected {
            return Err(StoreError::Moved { found });
        }
        // A number that a crash left without a link is not used again.
        let number = self.numbers()?.last().copied().unwrap_or(0) + 1;
        let generations = self.root.join("generations");
        let draft = generations.join(format!("draft-{number}"));
        // A draft that an earlier writer left behind is no generation, so it is removed.
        if draft.exists() {
            fs::remove_dir_all(&draft).map_err(at(&draft))?;
        }
        copy(files.folder, &draft.join("registry"))?;
        // The digest is taken of the copy, because the files might change while they are read.
        let found = digest(&draft.join("registry"))?;
        if found != files.digest {
            fs::remove_dir_all(&draft).map_err(at(&draft))?;
            return Err(StoreError::Altered { found });
        }
        write(&draft.join("plan.txt"), files.note)?;
        write(&draft.join("at"), &format!("{moment}\n"))?;
        let base = generations.join(format!("{number:06}"));
        // The generation is complete and synced before the link names it, so that a crash leaves either the
        // old registry or the new one in force.
        fs::rename(&draft, &base).map_err(at(&base))?;
        sync(&generations)?;
        // A symbolic link cannot be changed in place. A new one is renamed over it, which is atomic for
        // readers.
        let next = self.root.join("next");
        // `exists` would follow the link, and a dangling one would look absent.
        if next.symlink_metadata().is_ok() {
            fs::remove_file(&next).map_err(at(&next))?;
        }
        let target = Path::new("generations").join(format!("{number:06}")).join("registry");
        std::os::unix::fs::symlink(target, &next).map_err(at(&next))?;
        fs::rename(&next, self.link()).map_err(at(&next))?;
        sync(&self.root)?;
        self.generation(number)
    }
}

fn at(path: &Path) -> impl FnOnce(std::io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Io { path, source }
}

fn invalid(path: &Path, what: &str) -> StoreError {
    at(path)(std::io::Error::new(std::io::ErrorKind::InvalidData, what))
}

/// The digest of a folder's files, as a registry that is loaded from it has it.
fn digest(folder: &Path) -> Result<String, StoreError> {
    let mut findings = Findings::default();
    let sources = folder::read(folder, &mut findings);
    if !findings.is_empty() {
        return Err(invalid(folder, &findings.into_errors().to_string()));
    }
    Ok(folder::digest(&sources))
}

/// Copies what belongs to a registry: every `.toml`, and nothing hidden.
fn copy(from: &Path, to: &Path) -> Result<(), StoreError> {
    let mut findings = Findings::default();
    let sources = folder::read(from, &mut findings);
    if !findings.is_empty() {
        return Err(invalid(from, &findings.into_errors().to_string()));
    }
    fs::create_dir_all(to).map_err(at(to))?;
    for source in &sources {
        let path = to.join(&source.path);
        // A member's file is in the folder of its class, which may not exist yet.
        let folder = path.parent().unwrap_or(to);
        fs::create_dir_all(folder).map_err(at(folder))?;
        write(&path, source.text())?;
    }
    Ok(())
}

/// Writes a file that is on disk when this returns.
fn write(path: &Path, text: &str) -> Result<(), StoreError> {
    let mut file = File::create(path).map_err(at(path))?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(at(path))
}

/// Syncs a folder, so that a rename in it survives a power loss.
fn sync(folder: &Path) -> Result<(), StoreError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(at(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(text: &str) -> (tempfile::TempDir, String) {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("gov")).unwrap();
        fs::write(dir.path().join("gov/a.toml"), text).unwrap();
        fs::write(dir.path().join("README"), "no policy").unwrap();
        let digest = digest(dir.path()).unwrap();
        (dir, digest)
    }

    fn put(store: &Directory, expected: Option<u64>, text: &str) -> Result<Generation, StoreError> {
        let (dir, digest) = folder(text);
        let files = Files { folder: dir.path(), digest: &digest, note: "a plan\n" };
        store.put(expected, &files, "2026-11-24T10:00:00Z".parse().unwrap())
    }

    #[test]
    fn generations_follow_each_other_only_from_what_is_in_force() {
        let root = tempfile::tempdir().unwrap();
        let store = Directory::open(root.path()).unwrap();
        assert!(store.current().unwrap().is_none());
        let first = put(&store, None, "one").unwrap();
        assert_eq!(first.number, 1);
        assert!(matches!(put(&store, None, "two"), Err(StoreError::Moved { found: Some(1) })));
        assert!(matches!(put(&store, Some(7), "two"), Err(StoreError::Moved { .. })));
        let second = put(&store, Some(first.number), "two").unwrap();
        assert_eq!(store.current().unwrap(), Some(second.clone()));
        assert_eq!(store.generations().unwrap(), [first, second]);
        let text = |path: &str| fs::read_to_string(root.path().join(path)).unwrap();
        assert_eq!(text("current/gov/a.toml"), "two");
        assert_eq!(text("generations/000001/registry/gov/a.toml"), "one");
        assert_eq!(text("generations/000002/plan.txt"), "a plan\n");
        assert!(!root.path().join("current/README").exists(), "what is no policy stays behind");
    }

    #[test]
    fn files_that_are_not_those_of_the_plan_are_refused_and_leave_nothing() {
        let root = tempfile::tempdir().unwrap();
        let store = Directory::open(root.path()).unwrap();
        let (dir, digest) = folder("one");
        fs::write(dir.path().join("gov/a.toml"), "altered").unwrap();
        let files = Files { folder: dir.path(), digest: &digest, note: "" };
        let refused = store.put(None, &files, Timestamp::UNIX_EPOCH);
        assert!(matches!(refused, Err(StoreError::Altered { .. })));
        assert!(store.current().unwrap().is_none() && store.generations().unwrap().is_empty());
    }

    #[test]
    fn a_change_of_a_generation_whose_files_are_back_in_force_under_another_number_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let store = Directory::open(root.path()).unwrap();
        let first = put(&store, None, "one").unwrap();
        put(&store, Some(1), "two").unwrap();
        let back = put(&store, Some(2), "one").unwrap();
        assert_eq!(back.digest, first.digest);
        assert!(matches!(put(&store, Some(1), "two"), Err(StoreError::Moved { found: Some(3) })));
    }

    #[test]
    fn a_store_whose_link_is_lost_is_not_a_new_one() {
        let root = tempfile::tempdir().unwrap();
        let store = Directory::open(root.path()).unwrap();
        put(&store, None, "one").unwrap();
        fs::remove_file(store.link()).unwrap();
        assert!(matches!(store.current(), Err(StoreError::LinkMissing { generations: 1, .. })));
        assert!(matches!(put(&store, None, "two"), Err(StoreError::LinkMissing { .. })));
        assert_eq!(store.generations().unwrap().len(), 1);
    }

    #[test]
    fn what_a_writer_left_behind_does_no_harm() {
        let root = tempfile::tempdir().unwrap();
        let store = Directory::open(root.path()).unwrap();
        fs::create_dir_all(root.path().join("generations/draft-1/registry/gov")).unwrap();
        fs::write(root.path().join("generations/draft-1/registry/gov/b.toml"), "left").unwrap();
        std::os::unix::fs::symlink("nowhere", root.path().join("next")).unwrap();
        put(&store, None, "one").unwrap();
        assert!(!root.path().join("current/gov/b.toml").exists());
    }

    #[test]
    fn of_writers_at_once_one_wins() {
        let root = tempfile::tempdir().unwrap();
        let store = Directory::open(root.path()).unwrap();
        let base = put(&store, None, "base").unwrap().number;
        let won = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|n| {
                    let store = &store;
                    scope.spawn(move || put(store, Some(base), &format!("by {n}")).is_ok())
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).filter(|won| *won).count()
        });
        assert_eq!(won, 1);
        assert_eq!(store.generations().unwrap().len(), 2);
    }
}

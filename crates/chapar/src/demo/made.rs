//! What a demo has written into a folder that stays, by file and SHA-256, so that the next demo there
//! overwrites nothing that was edited since. Leaves out databases, keys and evidence logs, which are taken
//! over as they are or made anew.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};
use chapar_model::show_sha256;

/// The list, beside what it is about.
const LIST: &str = ".made";
/// Folders whose files people edit.
const FOLDERS: [&str; 3] = ["adapters", "contracts", "registry"];

/// Writes the list of what is in `dir` now, but for `foreign`.
///
/// # Errors
/// As reading and writing do.
pub(super) fn remember(dir: &Path, foreign: &BTreeSet<String>) -> std::io::Result<()> {
    let made = files(dir)?.into_iter().filter(|(file, _)| !foreign.contains(file));
    let lines: String = made.map(|(file, hash)| format!("{hash}  {file}\n")).collect();
    std::fs::write(dir.join(LIST), lines)
}

/// Files in a demo's folder that no demo has made: the user's own, which stay theirs. Nothing where no demo
/// has left a list.
///
/// # Errors
/// As reading does.
pub(super) fn foreign(dir: &Path) -> std::io::Result<BTreeSet<String>> {
    let list = match std::fs::read_to_string(dir.join(LIST)) {
        Ok(list) => list,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        Err(error) => return Err(error),
    };
    let made: BTreeSet<&str> =
        list.lines().filter_map(|line| line.split_once("  ")).map(|(_, file)| file).collect();
    Ok(files(dir)?.into_keys().filter(|file| !made.contains(file.as_str())).collect())
}

/// Files in `dir` that are not as a demo has written them. Files of which the list says nothing are not
/// overwritten either way.
///
/// # Errors
/// As reading does.
pub(super) fn edited(dir: &Path) -> std::io::Result<Vec<String>> {
    let list = match std::fs::read_to_string(dir.join(LIST)) {
        Ok(list) => list,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let now = files(dir)?;
    let known = list.lines().filter_map(|line| line.split_once("  "));
    let changed = known.filter(|(hash, file)| now.get(*file).is_some_and(|now| now != hash));
    Ok(changed.map(|(_, file)| file.to_owned()).collect())
}

fn files(dir: &Path) -> std::io::Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for folder in FOLDERS {
        walk(&dir.join(folder), folder, &mut found)?;
    }
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_file() && path.extension().is_some_and(|extension| extension == "toml") {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            found.insert(name, hash(&path)?);
        }
    }
    Ok(found)
}

fn walk(dir: &Path, prefix: &str, found: &mut BTreeMap<String, String>) -> std::io::Result<()> {
    if !dir.is_dir() {
        return Ok(());
    }
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let name = format!("{prefix}/{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            walk(&entry.path(), &name, found)?;
        } else if entry.file_type()?.is_file() {
            found.insert(name, hash(&entry.path())?);
        }
    }
    Ok(())
}

fn hash(path: &Path) -> std::io::Result<String> {
    let hash = digest(&SHA256, &std::fs::read(path)?);
    Ok(hash.as_ref().try_into().map(|hash| show_sha256(&hash)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn a_file_that_was_edited_is_named_and_one_that_was_added_or_removed_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str| dir.path().join(name);
        std::fs::create_dir_all(file("registry/gov")).unwrap();
        for name in ["registry/gov/welfare.toml", "registry/bus.toml", "gateway.toml"] {
            std::fs::write(file(name), "as made").unwrap();
        }
        assert!(edited(dir.path()).unwrap().is_empty(), "nothing is known of this folder");
        remember(dir.path(), &BTreeSet::new()).unwrap();
        assert!(edited(dir.path()).unwrap().is_empty());
        std::fs::write(file("registry/gov/welfare.toml"), "as edited").unwrap();
        std::fs::write(file("registry/gov/new.toml"), "as added").unwrap();
        std::fs::remove_file(file("registry/bus.toml")).unwrap();
        assert_eq!(edited(dir.path()).unwrap(), ["registry/gov/welfare.toml"]);

        let own = foreign(dir.path()).unwrap();
        assert_eq!(own.iter().collect::<Vec<_>>(), ["registry/gov/new.toml"]);
        remember(dir.path(), &own).unwrap();
        std::fs::write(file("registry/gov/new.toml"), "edited again").unwrap();
        assert!(edited(dir.path()).unwrap().is_empty(), "it is not the demo's to overwrite");
    }
}

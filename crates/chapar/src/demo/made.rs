//! This module lists what a demo has written into a folder that stays, by file and SHA-256, so that the next
//! demo there overwrites nothing that was edited since. It leaves out databases, keys and evidence logs,
//! which are kept as they are or made again.

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
    let Some(list) = chapar_files::read_text_if_any(&dir.join(LIST))? else { return Ok(BTreeSet::new()) };
    let made: BTreeSet<&str> =
        list.lines().filter_map(|line| line.split_once("  ")).map(|(_, file)| file).collect();
    Ok(files(dir)?.into_keys().filter(|file| !made.contains(file.as_str())).collect())
}

/// Files in `dir` that the next demo would overwrite or remove, and that are not as a demo has written them.
/// Without a list those are all files, because nothing is known of them.
///
/// # Errors
/// As reading does.
pub(super) fn edited(dir: &Path) -> std::io::Result<Vec<String>> {
    let list = chapar_files::read_text_if_any(&dir.join(LIST))?;
    let lines = list.iter().flat_map(|list| list.lines()).filter_map(|line| line.split_once("  "));
    let known: BTreeMap<&str, &str> = lines.map(|(hash, file)| (file, hash)).collect();
    let is_edited = |(file, hash): &(String, String)| match known.get(file.as_str()) {
        Some(known) => known != hash,
        // The registry's folder is written as a whole, and what else lies there goes. Elsewhere a file of
        // the user's own stays.
        None => list.is_none() || file.starts_with("registry/"),
    };
    Ok(files(dir)?.into_iter().filter(is_edited).map(|(file, _)| file).collect())
}

fn files(dir: &Path) -> std::io::Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for folder in FOLDERS {
        walk(&dir.join(folder), folder, &mut found)?;
    }
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if !path.is_dir() && path.extension().is_some_and(|extension| extension == "toml") {
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
        } else {
            found.insert(name, hash(&entry.path())?);
        }
    }
    Ok(())
}

/// The SHA-256 of a file; of a link, which a demo never makes, where it leads.
fn hash(path: &Path) -> std::io::Result<String> {
    if path.is_symlink() {
        return Ok(format!("link to {}", std::fs::read_link(path)?.display()));
    }
    let hash = digest(&SHA256, &std::fs::read(path)?);
    Ok(show_sha256(hash.as_ref()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn a_file_that_was_edited_is_named_and_one_that_was_added_where_it_can_stay_or_removed_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str| dir.path().join(name);
        std::fs::create_dir_all(file("registry/gov")).unwrap();
        for name in ["registry/gov/welfare.toml", "registry/bus.toml", "gateway.toml"] {
            std::fs::write(file(name), "as made").unwrap();
        }
        assert_eq!(edited(dir.path()).unwrap().len(), 3, "nothing is known of these files");
        remember(dir.path(), &BTreeSet::new()).unwrap();
        assert!(edited(dir.path()).unwrap().is_empty());
        std::fs::write(file("registry/gov/welfare.toml"), "as edited").unwrap();
        std::fs::create_dir(file("contracts")).unwrap();
        std::fs::write(file("contracts/own.proto"), "as added").unwrap();
        std::fs::remove_file(file("registry/bus.toml")).unwrap();
        assert_eq!(edited(dir.path()).unwrap(), ["registry/gov/welfare.toml"]);

        let own = foreign(dir.path()).unwrap();
        assert_eq!(own.iter().collect::<Vec<_>>(), ["contracts/own.proto"]);
        remember(dir.path(), &own).unwrap();
        std::fs::write(file("contracts/own.proto"), "edited again").unwrap();
        assert!(edited(dir.path()).unwrap().is_empty(), "it is not the demo's to overwrite");

        // The registry's folder is written as a whole.
        std::fs::write(file("registry/gov/new.toml"), "as added").unwrap();
        std::fs::rename(file("gateway.toml"), file("mine")).unwrap();
        std::os::unix::fs::symlink("mine", file("gateway.toml")).unwrap();
        assert_eq!(edited(dir.path()).unwrap(), ["gateway.toml", "registry/gov/new.toml"]);
    }
}

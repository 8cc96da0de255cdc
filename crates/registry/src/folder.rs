//! This module reads the registry's `.toml` files and computes the SHA-256 digest over their paths and
//! contents.

use std::fs;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};
use chapar_model::show_sha256;

use crate::finding::{Findings, Kind};
use crate::source::Source;

/// Maximum depth of folders that are read. A registry has two levels (`CLASS/CODE.toml`). The bound ends a
/// loop of symbolic links.
const MAX_FOLDER_DEPTH: usize = 4;

/// Reads every `.toml` below `dir`, ordered by path. Hidden files and files of other kinds are skipped.
pub(crate) fn read(dir: &Path, findings: &mut Findings) -> Vec<Source> {
    let mut sources = Vec::new();
    walk(dir, "", 0, &mut sources, findings);
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    sources
}

fn walk(dir: &Path, prefix: &str, depth: usize, sources: &mut Vec<Source>, findings: &mut Findings) {
    let entries = fs::read_dir(dir).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let entries = match entries {
        Ok(entries) => entries,
        Err(error) => return findings.of_file(dir, Kind::Unreadable, format!("cannot be read: {error}")),
    };
    let mut paths: Vec<PathBuf> = entries.iter().map(fs::DirEntry::path).collect();
    // Sorted, because `read_dir` gives no order, and the digest must be the same on every machine.
    paths.sort();
    for path in paths {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            findings.of_file(&path, Kind::MisplacedFile, "the name is not UTF-8");
            continue;
        };
        // Hidden files belong to editors or to git and are not policy.
        if name.starts_with('.') {
            continue;
        }
        let relative = format!("{prefix}{name}");
        if path.is_dir() {
            // The bound ends a link that leads back to a folder above.
            if depth < MAX_FOLDER_DEPTH {
                walk(&path, &format!("{relative}/"), depth + 1, sources, findings);
            } else {
                findings.of_file(&path, Kind::MisplacedFile, "a registry has no folders this deep");
            }
        } else if path.extension().is_some_and(|extension| extension == "toml") {
            match fs::read_to_string(&path) {
                Ok(text) => sources.push(Source::new(relative, &path, text)),
                Err(error) => findings.of_file(&path, Kind::Unreadable, format!("cannot be read: {error}")),
            }
        }
    }
}

/// `sha256:…` over each file's path and bytes with their lengths, in the order given.
pub(crate) fn digest(sources: &[Source]) -> String {
    let mut context = Context::new(&SHA256);
    for part in sources.iter().flat_map(|source| [&source.path, source.text()]) {
        // Each length goes in front of its part, so that no other division into paths and texts has the same
        // digest.
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part.as_bytes());
    }
    show_sha256(context.finish().as_ref())
}

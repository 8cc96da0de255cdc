//! This module computes a contract's SHA-256 digest. Built-in option files do not count, so that a later
//! option does not change the digest of a contract that does not use it.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use chapar_model::show_sha256;
use prost::Message as _;

use crate::descriptors::{Head, RawSet};
use crate::finding::Error;
use crate::{compile, wire};

/// Files that only define options.
const OPTIONS: &[&str] = &["chapar/contract/v1/options.proto", "buf/validate/validate.proto"];

/// The compiled bytes of [`OPTIONS`], bare: a file of the same name that says something else is not ours, and
/// counts.
static OURS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let files = compile::built_in(OPTIONS).ok().and_then(|bytes| files(&bytes).ok()).unwrap_or_default();
    OPTIONS.iter().filter_map(|name| files.get(*name)).map(|file| file.bare.clone()).collect()
});

/// A file without comments and positions.
struct File {
    bare: Vec<u8>,
    imports: Vec<String>,
}

pub(super) fn digest(bytes: &Bytes) -> Result<String, Error> {
    let files = files(bytes)?;
    let mut counted: BTreeMap<&str, &[u8]> = BTreeMap::new();
    let mut reached: Vec<&str> = files.keys().map(String::as_str).filter(|name| !is_google(name)).collect();
    // Of the files that protobuf itself brings only those that the contract imports, and not those that our
    // options import.
    while let Some(name) = reached.pop() {
        let Some(file) = files.get(name) else { continue };
        // Built-in option files are left out, and what only they import with them. A file that was counted
        // before is not followed again.
        if OURS.contains(&file.bare) || counted.insert(name, &file.bare).is_some() {
            continue;
        }
        reached.extend(file.imports.iter().map(String::as_str));
    }
    let mut context = Context::new(&SHA256);
    for file in counted.values() {
        // Each length goes in front of its file, so that no other division of the bytes has the same digest.
        context.update(&(file.len() as u64).to_be_bytes());
        context.update(file);
    }
    Ok(show_sha256(context.finish().as_ref()))
}

/// Every file by name, without comments and positions.
pub(super) fn bare(bytes: &Bytes) -> Result<impl Iterator<Item = (String, Vec<u8>)>, Error> {
    Ok(files(bytes)?.into_iter().map(|(name, file)| (name, file.bare)))
}

fn is_google(name: &str) -> bool {
    name.starts_with("google/protobuf/")
}

/// The files of a descriptor set, by name. Of two files with one name the last is kept; the descriptor
/// decoder refuses such a set elsewhere.
fn files(bytes: &Bytes) -> Result<BTreeMap<String, File>, Error> {
    let unreadable = || Error::of_file("", "these bytes are no file descriptor");
    let set = RawSet::decode(bytes.clone()).map_err(|_| unreadable())?;
    let mut files = BTreeMap::new();
    for file in set.file {
        let head = Head::decode(file.clone()).map_err(|_| unreadable())?;
        // `FileDescriptorProto.source_code_info`
        let bare = wire::without_field(&file, 9).map_err(|_| unreadable())?;
        files.insert(head.name, File { bare, imports: head.dependency });
    }
    Ok(files)
}

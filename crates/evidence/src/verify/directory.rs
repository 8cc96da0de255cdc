//! A whole log: every frame, every leaf, every tile and bundle, the checkpoint, and the durable tail after it.

use std::path::{Path, PathBuf};

use chapar_tlog::{Checkpoint, EMPTY_ROOT, Hash, HashSource, VerifierKey, inclusion_proof, leaf_hash, node_hash};

use super::{Invalid, Verified, signed_checkpoint};

/// Leaves of a log's folder, in order, with the places of their frames.
pub(crate) struct Leaves {
    hashes: Vec<Hash>,
    places: Vec<(usize, usize, usize)>,
    segments: Vec<PathBuf>,
    /// The published checkpoint's note; empty if there is none yet.
    pub(crate) note: String,
}

/// Verifies a log's folder against the key that signs it.
///
/// # Errors
/// [`Invalid`] naming the first file and place that fails.
pub fn directory(path: &Path, trust: &VerifierKey) -> Result<Verified, Invalid> {
    let leaves = read_directory(path)?;
    let total = leaves.hashes.len() as u64;
    if leaves.note.is_empty() {
        return Err(Invalid::Log(format!("{} holds no checkpoint", path.display())));
    }
    let checkpoint = signed_checkpoint(&leaves.note, trust)
        .map_err(|_| Invalid::Log("the checkpoint is not signed by the trusted key for this log".to_owned()))?;
    let size = usize::try_from(checkpoint.size).ok().filter(|size| *size <= leaves.hashes.len());
    let Some(size) = size else {
        return Err(Invalid::Log(format!("the checkpoint signs {} entries, the log holds {total}", checkpoint.size)));
    };
    if tree_root(&leaves.hashes[..size]) != checkpoint.root {
        return Err(Invalid::Log(format!("the first {size} entries are not those that the checkpoint signs")));
    }
    let tiles = check_tiles(path, &leaves, &checkpoint)?;
    let sentence = format!(
        "VALID: log {} holds {total} entries; the first {size} are signed by its checkpoint, {} are durable and not signed yet; {tiles} tiles and bundles agree. Checked offline.",
        checkpoint.origin,
        total - checkpoint.size
    );
    Ok(Verified { sentence, records: Vec::new() })
}

/// Reads every segment of a log's folder. A torn tail, past which nothing is sound, is not part of the log.
pub(crate) fn read_directory(path: &Path) -> Result<Leaves, Invalid> {
    let folder = path.join("segments");
    let mut segments: Vec<PathBuf> = std::fs::read_dir(&folder)
        .map_err(|source| Invalid::Read { path: folder.clone(), source })?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .collect();
    segments.sort();
    let mut leaves = Leaves { hashes: Vec::new(), places: Vec::new(), segments, note: String::new() };
    for number in 0..leaves.segments.len() {
        let path = leaves.segments[number].clone();
        let wrong = |offset: usize, problem| Invalid::File { path: path.clone(), offset: offset as u64, problem };
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if name != format!("{:016x}", leaves.hashes.len()) {
            return Err(wrong(0, "the segment before it is missing or short"));
        }
        let bytes = read(&path)?;
        let mut at = 0;
        while at < bytes.len() {
            let Some(entry) = entry_at(&bytes, at) else {
                let last = number + 1 == leaves.segments.len();
                let torn = last && (at + 1..bytes.len()).all(|later| entry_at(&bytes, later).is_none());
                if torn { break } else { return Err(wrong(at, "a frame's checksum does not fit")) }
            };
            leaves.hashes.push(leaf_hash(entry));
            leaves.places.push((number, at + 8, entry.len()));
            at += 8 + entry.len();
        }
    }
    let checkpoint = path.join("checkpoint");
    if checkpoint.exists() {
        let note = String::from_utf8(read(&checkpoint)?);
        leaves.note = note.map_err(|_| Invalid::File { path: checkpoint, offset: 0, problem: "it is not text" })?;
    }
    Ok(leaves)
}

/// The entry of the frame at an offset: length, CRC-32 of length and entry, entry.
fn entry_at(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let word = |at: usize| bytes.get(at..at + 4).and_then(|word| word.try_into().ok()).map(u32::from_le_bytes);
    let (length, sum) = (word(at)?, word(at + 4)?);
    let entry = bytes.get(at + 8..at + 8 + length as usize)?;
    let mut crc = crc32fast::Hasher::new();
    crc.update(&length.to_le_bytes());
    crc.update(entry);
    ((1..=0xffff).contains(&length) && crc.finalize() == sum).then_some(entry)
}

/// RFC 6962 §2.1, by merging equal subtrees from the left as leaves come.
fn tree_root(leaves: &[Hash]) -> Hash {
    let mut stack: Vec<(u32, Hash)> = Vec::new();
    for leaf in leaves {
        let mut top = (0, *leaf);
        while let Some((height, left)) = stack.pop_if(|(height, _)| *height == top.0) {
            top = (height + 1, node_hash(&left, &top.1));
        }
        stack.push(top);
    }
    let root = stack.into_iter().rev().map(|(_, hash)| hash).reduce(|right, left| node_hash(&left, &right));
    root.unwrap_or(EMPTY_ROOT)
}

/// Every full tile and bundle, and the partial ones of the checkpoint, hold what the leaves say.
fn check_tiles(log: &Path, leaves: &Leaves, checkpoint: &Checkpoint) -> Result<u64, Invalid> {
    let size = usize::try_from(checkpoint.size).unwrap_or(usize::MAX);
    let mut hashes = leaves.hashes.get(..size).unwrap_or_default().to_vec();
    let mut checked = 0;
    let mut level = 0;
    while !hashes.is_empty() {
        for (index, tile) in hashes.chunks(256).enumerate() {
            same(&log.join(format!("tile/{level}/{}", place(index, tile.len()))), tile.as_flattened())?;
            checked += 1;
        }
        hashes = hashes.chunks_exact(256).map(tree_root).collect();
        level += 1;
    }
    let mut segment = (usize::MAX, Vec::new());
    for (index, places) in leaves.places.get(..size).unwrap_or_default().chunks(256).enumerate() {
        let mut bundle = Vec::new();
        for (number, at, length) in places {
            if segment.0 != *number {
                segment = (*number, read(&leaves.segments[*number])?);
            }
            bundle.extend_from_slice(&u16::try_from(*length).unwrap_or(u16::MAX).to_be_bytes());
            bundle.extend_from_slice(segment.1.get(*at..at + length).unwrap_or_default());
        }
        same(&log.join(format!("tile/entries/{}", place(index, places.len()))), &bundle)?;
        checked += 1;
    }
    Ok(checked)
}

/// C2SP `tlog-tiles`: groups of three digits, all but the last with an `x`; `.p/WIDTH` where fewer than 256.
fn place(index: usize, width: usize) -> String {
    let mut groups = vec![format!("{:03}", index % 1000)];
    let mut rest = index / 1000;
    while rest > 0 {
        groups.push(format!("x{:03}", rest % 1000));
        rest /= 1000;
    }
    groups.reverse();
    let partial = if width < 256 { format!(".p/{width}") } else { String::new() };
    groups.join("/") + &partial
}

fn same(path: &Path, expected: &[u8]) -> Result<(), Invalid> {
    let found = read(path)?;
    let differs = found.iter().zip(expected).position(|(a, b)| a != b).unwrap_or(found.len().min(expected.len()));
    if found == expected {
        Ok(())
    } else {
        Err(Invalid::File { path: path.to_owned(), offset: differs as u64, problem: "it is not what the entries give" })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Invalid> {
    std::fs::read(path).map_err(|source| Invalid::Read { path: path.to_owned(), source })
}

impl HashSource for Leaves {
    type Error = Invalid;

    fn hash(&self, level: u8, index: u64) -> Result<Hash, Invalid> {
        let start = usize::try_from(index << level).unwrap_or(usize::MAX);
        let part = self.hashes.get(start..start.saturating_add(1 << level));
        part.map(tree_root).ok_or_else(|| Invalid::Log("the log is shorter than its checkpoint".to_owned()))
    }
}

impl Leaves {
    /// The proof that an entry is under the published checkpoint.
    pub(crate) fn inclusion_proof(&self, index: u64) -> Result<Vec<Hash>, Invalid> {
        let text = self.note.split("\n\n").next().map(|text| format!("{text}\n")).unwrap_or_default();
        let checkpoint: Checkpoint =
            text.parse().map_err(|_| Invalid::Log("the log has no sound checkpoint".to_owned()))?;
        let proof = inclusion_proof(self, index, checkpoint.size)?;
        proof.ok_or_else(|| {
            Invalid::Log(format!("entry {index} is not under the checkpoint of {} entries", checkpoint.size))
        })
    }

    /// One entry's bytes.
    pub(crate) fn entry(&self, index: u64) -> Result<Vec<u8>, Invalid> {
        let none = || Invalid::Log(format!("the log has no entry {index}"));
        let (segment, at, length) =
            usize::try_from(index).ok().and_then(|index| self.places.get(index)).ok_or_else(none)?;
        let bytes = read(&self.segments[*segment])?;
        bytes.get(*at..at + length).map(<[u8]>::to_vec).ok_or_else(none)
    }
}

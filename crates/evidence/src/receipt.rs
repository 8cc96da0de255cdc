//! A receipt is a record, its inclusion proof and a signed checkpoint in one file, a C2SP `tlog-proof`.

use std::path::{Path, PathBuf};

use chapar_tlog::{
    Checkpoint, Hash, HashSource, ProofFile, ProofFileError, TILE_WIDTH, Tile, entries_path, fold,
    inclusion_proof, leaf_hash, verify_inclusion,
};
use prost::Message as _;

use crate::bundle;
use crate::record::pb::ReceiptExtra;
use crate::verify::Invalid;

/// One entry's receipt. Holds no payload and no citizen's id.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Receipt(pub(crate) ProofFile);

impl Receipt {
    pub(crate) fn extra(record: &[u8], salt: &[u8]) -> Vec<u8> {
        ReceiptExtra { record: record.to_vec(), salt: salt.to_vec() }.encode_to_vec()
    }

    /// The file's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.to_text().into_bytes()
    }

    /// Reads a file's bytes. Nothing is verified yet.
    ///
    /// # Errors
    /// [`ProofFileError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ProofFileError> {
        let text = std::str::from_utf8(bytes).map_err(|_| ProofFileError)?;
        ProofFile::parse(text).map(Self)
    }

    /// The name of the log, as its checkpoint says.
    pub fn origin(&self) -> &str {
        self.0.checkpoint.lines().next().unwrap_or_default()
    }

    /// The entry's index.
    pub fn index(&self) -> u64 {
        self.0.index
    }
}

/// The receipt of an entry from the published files of a log's folder, also while the log is written, or of a
/// copy of them. It has no salt: that needs the period's key. The signature is not checked here;
/// [`crate::verify::receipt`] does.
///
/// # Errors
/// [`Invalid`] if the checkpoint does not cover the entry, or the folder's bytes do not support a receipt.
pub fn from_directory(path: &Path, index: u64) -> Result<Receipt, Invalid> {
    let note_path = path.join("checkpoint");
    let note = String::from_utf8(read(&note_path)?).map_err(|_| wrong(&note_path, "it is not text"))?;
    // The signature covers the text with its last newline, which `split_once` takes off.
    let text = note.split_once("\n\n").map(|(text, _)| format!("{text}\n")).unwrap_or_default();
    let checkpoint: Checkpoint = text.parse().map_err(|_| wrong(&note_path, "it is not a checkpoint"))?;
    let published = Published { path, size: checkpoint.size };
    let outside =
        || Invalid::Log(format!("entry {index} is not under the checkpoint of {} entries", checkpoint.size));
    let proof = inclusion_proof(&published, index, checkpoint.size)?.ok_or_else(outside)?;
    let record = published.entry(index)?;
    verify_inclusion(&leaf_hash(&record), index, checkpoint.size, &proof, &checkpoint.root).map_err(
        |_| Invalid::Log(format!("the tiles do not prove entry {index} to be what its bundle holds")),
    )?;
    Ok(Receipt(ProofFile { extra: Receipt::extra(&record, &[]), index, proof, checkpoint: note }))
}

/// Entries from `start` on of a log's folder whose checkpoint covers `size`, from the published bundle that
/// holds the first of them: 256 at most, none at `size` and above. Nothing of them is verified.
///
/// # Errors
/// [`Invalid`] if the bundle cannot be read, or holds less than it should.
pub fn published_entries(path: &Path, start: u64, size: u64) -> Result<Vec<Vec<u8>>, Invalid> {
    if start >= size {
        return Ok(Vec::new());
    }
    let number = start / TILE_WIDTH;
    let published = Published { path, size };
    let (file, bytes) = published.items(size, number, |width| entries_path(number, width))?;
    let short = || wrong(&file, "it holds fewer entries than it should");
    let entries = bundle::entries(&bytes).ok_or_else(short)?;
    let before = usize::try_from(start % TILE_WIDTH).unwrap_or(usize::MAX);
    let wanted = usize::try_from(size.saturating_sub(start)).unwrap_or(usize::MAX);
    let entries = entries.get(before..).filter(|entries| !entries.is_empty()).ok_or_else(short)?;
    Ok(entries.iter().take(wanted).map(|entry| entry.to_vec()).collect())
}

/// The tiles and bundles that a checkpoint needs.
struct Published<'a> {
    path: &'a Path,
    size: u64,
}

impl Published<'_> {
    /// Reads a file of items `index * 256` and on, of which there are `complete`: the partial form where the
    /// full one does not exist yet.
    fn items(
        &self,
        complete: u64,
        index: u64,
        name: impl Fn(u64) -> String,
    ) -> Result<(PathBuf, Vec<u8>), Invalid> {
        // The full form is preferred: a partial one may be removed at any moment after the full one exists.
        let width = complete.saturating_sub(index * TILE_WIDTH).min(TILE_WIDTH);
        let full = self.path.join(name(TILE_WIDTH));
        let path = if full.exists() { full } else { self.path.join(name(width)) };
        read(&path).map(|bytes| (path, bytes))
    }

    fn entry(&self, index: u64) -> Result<Vec<u8>, Invalid> {
        let number = index / TILE_WIDTH;
        let (path, bytes) = self.items(self.size, number, |width| entries_path(number, width))?;
        let entry = bundle::nth(&bytes, index % TILE_WIDTH);
        entry.map(<[u8]>::to_vec).ok_or_else(|| wrong(&path, "it holds fewer entries than it should"))
    }
}

impl HashSource for Published<'_> {
    type Error = Invalid;

    fn hash(&self, level: u8, index: u64) -> Result<Hash, Invalid> {
        let tile_level = level / 8;
        let within = level % 8;
        let first = index << within;
        let tile = first / TILE_WIDTH;
        let start = usize::try_from(first % TILE_WIDTH).unwrap_or(0);
        let name = |width| Tile { level: tile_level, index: tile, width }.to_string();
        let (path, bytes) = self.items(self.size >> (8 * tile_level), tile, name)?;
        let (hashes, _) = bytes.as_chunks::<32>();
        let part = hashes.get(start..start + (1 << within)).and_then(fold);
        part.ok_or_else(|| wrong(&path, "it holds fewer hashes than it should"))
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Invalid> {
    std::fs::read(path).map_err(|source| Invalid::Read { path: path.to_owned(), source })
}

fn wrong(path: &Path, problem: &'static str) -> Invalid {
    Invalid::File { path: path.to_owned(), offset: 0, problem }
}

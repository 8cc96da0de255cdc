//! `Prefix` is a log from its first entry on, verified as it grows: each entry is a record that may stand
//! there, and the tree's root at any size tells whether a signed checkpoint is of these entries.

use std::collections::BTreeSet;

use chapar_tlog::{Frontier, Hash, leaf_hash};
use prost::Message as _;

use super::known_record;
use crate::record::pb::{Kind, Record};

/// What entries must be beside records: a stream is closed once, after it was opened.
#[derive(Clone, Debug, Default)]
pub(super) struct Streams {
    /// Indices of the entries that opened those without an end.
    open: BTreeSet<u64>,
    /// Entries that stand for lost ones.
    pub(super) lost: u64,
}

impl Streams {
    /// The record of the entry with this index, if it may follow those before it.
    pub(super) fn read(&mut self, index: u64, entry: &[u8]) -> Result<Record, &'static str> {
        let record = known_record(entry)?;
        match record.kind() {
            Kind::Open => {
                self.open.insert(index);
            }
            Kind::Close if !self.open.remove(&record.opening) => {
                return Err("it closes a stream that is not open");
            }
            Kind::Lost => self.lost += 1,
            _ => {}
        }
        Ok(record)
    }
}

/// A log up to a size. Holds some 2 KiB, and 8 bytes and more for each stream without an end.
#[derive(Clone, Debug, Default)]
pub struct Prefix {
    frontier: Frontier,
    streams: Streams,
}

/// A prefix as it is kept between two runs.
#[derive(Clone, PartialEq, prost::Message)]
struct Stored {
    #[prost(uint64, tag = "1")]
    size: u64,
    #[prost(bytes = "vec", tag = "2")]
    hashes: Vec<u8>,
    #[prost(uint64, repeated, tag = "3")]
    open: Vec<u64>,
    #[prost(uint64, tag = "4")]
    lost: u64,
}

impl Prefix {
    /// Entries.
    pub fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// The root of their tree.
    pub fn root(&self) -> Hash {
        self.frontier.root()
    }

    /// Entries that stand where signed ones were lost.
    pub fn lost(&self) -> u64 {
        self.streams.lost
    }

    /// Adds the next entry, and gives its record.
    ///
    /// # Errors
    /// Why this entry cannot stand here. The prefix is of no use then.
    pub fn push(&mut self, entry: &[u8]) -> Result<Record, &'static str> {
        let record = self.streams.read(self.size(), entry)?;
        self.frontier.push(leaf_hash(entry), |_, _| {});
        Ok(record)
    }

    /// The prefix in bytes, to go on from later. Whoever can change them can change what is verified.
    pub fn to_bytes(&self) -> Vec<u8> {
        let hashes = self.frontier.hashes().flatten().copied().collect();
        let open = self.streams.open.iter().copied().collect();
        Stored { size: self.size(), hashes, open, lost: self.streams.lost }.encode_to_vec()
    }

    /// The prefix of such bytes; nothing if they are not whole.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let Stored { size, hashes, open, lost } = Stored::decode(bytes).ok()?;
        let (hashes, []) = hashes.as_chunks::<32>() else { return None };
        let frontier = Frontier::from_hashes(size, hashes)?;
        Some(Self { frontier, streams: Streams { open: open.into_iter().collect(), lost } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RECORD_VERSION;

    fn entry(kind: Kind, opening: u64) -> Vec<u8> {
        Record { version: RECORD_VERSION, kind: kind.into(), opening, ..Record::default() }.encode_to_vec()
    }

    #[test]
    fn a_prefix_goes_on_from_its_bytes_as_if_it_had_never_stopped() {
        let mut whole = Prefix::default();
        let mut stopped = Prefix::default();
        let entries =
            [entry(Kind::Open, 0), entry(Kind::Unary, 0), entry(Kind::Lost, 0), entry(Kind::Close, 0)];
        for entry in &entries {
            whole.push(entry).unwrap();
            stopped.push(entry).unwrap();
            stopped = Prefix::from_bytes(&stopped.to_bytes()).unwrap();
            assert_eq!((stopped.size(), stopped.root()), (whole.size(), whole.root()));
        }
        assert_eq!(stopped.lost(), 1);
        // The stream has its end.
        assert!(stopped.push(&entry(Kind::Close, 0)).is_err());
        let bytes = whole.to_bytes();
        assert!(Prefix::from_bytes(&bytes[..bytes.len() - 1]).is_none());
    }
}

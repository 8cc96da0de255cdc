//! This target writes a log's folder with entries from the input, puts arbitrary bytes behind them, and
//! changes or cuts it at one byte. The log verifies as it was written, and never after a change of what its
//! checkpoint signs.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use chapar_evidence::{Kind, RECORD_VERSION, Record, from_directory, verify};
use chapar_fuzz::{Input, Leaves, folder, signing_key};
use chapar_tlog::{Checkpoint, Hash, Tile, entries_path, leaf_hash, root, sign_note};
use libfuzzer_sys::fuzz_target;
use prost::Message as _;

static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| folder("evidence"));

/// A frame of `docs/reference/evidence-format.md`: length, CRC-32, first index of its group, entry.
fn frame(group: usize, entry: &[u8]) -> Vec<u8> {
    let length = u32::try_from(entry.len()).expect("a short entry").to_le_bytes();
    let group = (group as u64).to_le_bytes();
    let sum = crc32fast::hash(&[&length[..], &group, entry].concat()).to_le_bytes();
    [&length[..], &sum, &group, entry].concat()
}

fn write(path: &str, bytes: &[u8]) {
    let path = FOLDER.join(path);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("a writable folder");
    std::fs::write(path, bytes).expect("a writable folder");
}

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let count = input.byte() % 8 + 1;
    let signed = input.byte() % count + 1;
    let (place, flip, length) = (input.number(), input.byte() as u8, input.byte());
    let records = (0..count).map(|_| {
        let caller = String::from_utf8_lossy(input.take(length)).into_owned();
        let kind = Kind::Unary as i32;
        Record { version: RECORD_VERSION, kind, caller, ..Record::default() }.encode_to_vec()
    });
    let entries: Vec<Vec<u8>> = records.collect();
    let frames: Vec<Vec<u8>> = entries.iter().enumerate().map(|(index, entry)| frame(index, entry)).collect();
    let hashes: Vec<Hash> = entries.iter().take(signed).map(|entry| leaf_hash(entry)).collect();
    let bundle = entries.iter().take(signed).flat_map(|entry| {
        let length = u16::try_from(entry.len()).expect("a short entry").to_be_bytes();
        [&length[..], entry].concat()
    });
    let key = signing_key();
    let width = signed as u64;
    let Ok(head) = root(&Leaves(hashes.clone()), width);
    let checkpoint = Checkpoint { origin: key.verifier().name().to_owned(), size: width, root: head };

    // Tiles of other widths may be left from the input before; none but these is read.
    write("checkpoint", sign_note(&checkpoint.to_string(), &key).as_bytes());
    write(&Tile { level: 0, index: 0, width }.to_string(), hashes.as_flattened());
    write(&entries_path(0, width), &bundle.collect::<Vec<u8>>());
    let segment = "segments/0000000000000000";
    let mut bytes = frames.concat();
    write(segment, &bytes);
    let verified = verify::directory(&FOLDER, key.verifier(), std::slice::from_ref(&checkpoint));
    let verified = verified.unwrap_or_else(|error| panic!("a good log: {error}"));
    assert!(verified.sentence().contains(&format!("holds {count} entries")), "{}", verified.sentence());
    let receipt = from_directory(&FOLDER, width - 1).expect("a signed entry has a receipt");
    assert!(verify::receipt(&receipt.to_bytes(), key.verifier()).is_ok());

    // Arbitrary bytes behind the entries are a torn tail, or wrong; never more signed entries.
    bytes.extend_from_slice(input.rest());
    write(segment, &bytes);
    verify::directory(&FOLDER, key.verifier(), &[]).ok();

    // CRC-32 and the entry's hash find any change of one byte, and any cut.
    let place = place % frames.iter().take(signed).map(Vec::len).sum::<usize>();
    if flip == 0 {
        bytes.truncate(place);
    } else {
        bytes[place] ^= flip;
    }
    write(segment, &bytes);
    let verified = verify::directory(&FOLDER, key.verifier(), &[]);
    assert!(verified.is_err(), "a log that was changed at byte {place} verifies");
});

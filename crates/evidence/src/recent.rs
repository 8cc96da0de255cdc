//! This module reads the newest records of a log, for what is counted by time. It reads whole segments, from
//! the newest one back, while the log may be written.

use std::path::Path;

use prost::Message as _;

use crate::config::Error;
use crate::disk::Disk;
use crate::files::io;
use crate::record::pb::Record;
use crate::scan::segments;
use crate::segment::{Frame, HEADER};

/// Records may be out of the order of their times by less than this: a call is recorded when it ends, and a
/// clock may be set back.
const DISORDER_MS: u64 = 3_600_000;

/// Shows `visit` each record whose call came in at `since_ms` (milliseconds since the Unix epoch) or later,
/// with its index. Segments come from the newest one back, and the records of one in their order. A record
/// whose call came in much later than those behind it may be left out where the clock was set back by more
/// than an hour.
///
/// `size` entries are durable, and must be there.
///
/// # Errors
/// [`Error::Io`] or [`Error::Damaged`], naming the segment: what was shown so far is not all.
pub(crate) fn recent(
    disk: &dyn Disk,
    log: &Path,
    size: u64,
    since_ms: u64,
    visit: &mut dyn FnMut(u64, &Record),
) -> Result<(), Error> {
    let paths = segments(disk, log)?;
    // The index of the first entry after the segment that is read.
    let mut next = None;
    for path in paths.iter().rev() {
        let damaged =
            |offset: usize, problem| Error::Damaged { path: path.clone(), offset: offset as u64, problem };
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let first = u64::from_str_radix(name, 16).map_err(|_| damaged(0, "its name is no number"))?;
        let mut index = first;
        let bytes = io("cannot read", path, disk.read(path))?;
        let mut at = 0;
        let mut latest = 0;
        while let Some(frame) = bytes.get(at..).and_then(Frame::at_start) {
            let record = Record::decode(frame.entry).map_err(|_| damaged(at, "an entry is no record"))?;
            latest = latest.max(record.time_unix_ms);
            if record.time_unix_ms >= since_ms {
                visit(index, &record);
            }
            index += 1;
            at += HEADER + frame.entry.len();
        }
        // The newest segment has room behind its entries, and may be in the middle of a write: it must hold
        // what is durable. Every other one ends where the next begins.
        let is_whole = next.map_or(index >= size, |next| index == next && at == bytes.len());
        if !is_whole {
            return Err(damaged(at, "a frame is not sound, or entries after it are missing"));
        }
        next = Some(first);
        if latest.saturating_add(DISORDER_MS) < since_ms {
            break;
        }
    }
    Ok(())
}

//! This module keeps a reserve of 6 file descriptors for all logs of the process. When connections have taken
//! every other descriptor (EMFILE, ENFILE), the log can still begin its next segment and write its next
//! checkpoint.

use std::fs::File;
use std::io;

use parking_lot::Mutex;

/// Number of descriptors in the reserve. It is the maximum number of files that a log opens at once, besides
/// those that stay open: a file and its folder (2), for the writer, the publisher and a reader of entries
/// (3).
const RESERVED: usize = 6;

static RESERVE: Mutex<Vec<File>> = Mutex::new(Vec::new());

/// Fills the reserve with descriptors, as far as the process gets any.
pub(crate) fn fill() {
    let mut reserve = RESERVE.lock();
    // `/dev/null` costs a descriptor and nothing else, and exists in every container.
    while reserve.len() < RESERVED {
        match File::open("/dev/null") {
            Ok(file) => reserve.push(file),
            Err(_) => return,
        }
    }
}

/// Opens a file, with descriptors of the reserve if the process has no other. The next call that finds free
/// descriptors fills the reserve again.
pub(super) fn open<T>(open: impl Fn() -> io::Result<T>) -> io::Result<T> {
    loop {
        match open() {
            Err(error) if is_out_of_files(&error) => {
                // Two descriptors are released, because another thread may take one of them in this moment.
                let freed = {
                    let mut reserve = RESERVE.lock();
                    (reserve.pop(), reserve.pop())
                };
                // Nothing is left in the reserve, so another try would not end otherwise.
                if freed.0.is_none() {
                    return Err(error);
                }
            }
            opened => {
                if RESERVE.lock().len() < RESERVED {
                    fill();
                }
                return opened;
            }
        }
    }
}

/// EMFILE or ENFILE.
fn is_out_of_files(error: &io::Error) -> bool {
    error.raw_os_error().is_some_and(|code| {
        code == rustix::io::Errno::MFILE.raw_os_error() || code == rustix::io::Errno::NFILE.raw_os_error()
    })
}

//! A lock on a folder, for commands that read files, change them and write them back: two at once would each
//! write what the other did not see.

use std::fs::File;
use std::io;
use std::path::Path;

/// A folder that this process has to itself, among those who ask for it (`flock(2)`). Given back when it is
/// dropped.
#[derive(Debug)]
pub struct FolderLock(#[expect(dead_code, reason = "open for as long as the lock is held")] File);

/// Waits until no other process holds the folder.
///
/// # Errors
/// What the system said.
pub fn lock(folder: &Path) -> io::Result<FolderLock> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let folder = File::open(folder)?;
    folder.lock()?;
    Ok(FolderLock(folder))
}

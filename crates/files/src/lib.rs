//! Files as people and other programs leave them: text that begins with a byte order mark, secrets that
//! others may read, files that are replaced while a process runs. All functions block.
//!
//! Left out: what stands in a file. The evidence log's own files are in `evidence`, behind a trait of its
//! own.

mod lock;
mod read;
mod replace;
mod watched;

pub use lock::{FolderLock, lock};
pub use read::{SecretError, read, read_at_most, read_secret, read_text, read_text_if_any};
pub use replace::{can_replace, replace};
pub use watched::Watched;

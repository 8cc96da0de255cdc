//! This crate is the test harness: a whole bus in one process, on port 0, in a temporary folder, with the
//! same `bind` and `run` as the binary. Its seams are those that production has: the clock, the files, and
//! the other end of a connection.

#![allow(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a harness that cannot set a test up ends the test"
)]

mod adapter_process;
mod agency;
pub mod binary;
mod bus;
mod caller;
mod certificate;
pub mod curl;
mod files;
pub mod fleet;
mod joining;
pub mod load;
pub mod long_stream;
pub mod measure;
pub mod office;
pub mod operator;
pub mod people;
pub mod procedure;
mod registry;
mod slow_disk;
pub mod slow_line;
pub mod sync_order;
pub mod tutorial;
mod until;
pub mod wire;
pub mod witness;

use std::path::PathBuf;

pub use adapter_process::AdapterProcess;
pub use agency::{Agency, Gate, Seen};
pub use bus::{Builder, Bus, trust};
pub use caller::{Answer, Ask, Caller, Failed, Refusal};
pub use certificate::Certificate;
pub use files::copy_folder;
pub use joining::{Front, Joiner};
pub use slow_disk::{SlowDisk, Synced};
pub use until::{until, until_some};

/// The root of the repository that the tests belong to.
pub fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

//! This crate follows gateways' evidence logs from outside. An auditor verifies every entry and checkpoint as
//! they come (a monitor), cosigns what it has verified (a witness), keeps an index of who saw whom, and looks
//! in it for what a person should ask about. A witness can also run by itself.
//!
//! Deliberately absent: what a gateway writes and how (`chapar_evidence`), whose verifying half this crate
//! uses; payloads, which no log holds; printing.

mod auditor;
mod config;
mod follow;
mod handed;
mod index;
mod metrics;
mod questions;
mod rules;
mod serve;
mod source;
#[cfg(test)]
mod tests;
mod witness;

pub use auditor::{AuditStatus, Auditor, Error};
pub use config::{Config, ConfigError, LogConfig, SourceConfig, WitnessConfig};
pub use index::{Alarm, AlarmKind, Finding, Found, Index, IndexError, LogProgress, Query, index_path};
pub use questions::{Question, questions_path, record as record_question};
pub use rules::{Limit, OfficeHours, Rules};
pub use serve::{ListenError, listen, serve_witness};
pub use witness::{KeyFileError, StateError, StateLock, Witness, lock, read_log_keys, read_witness_key};

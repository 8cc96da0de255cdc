//! This crate makes calls through the bus from Rust. It has a connection under one identity, the call's
//! metadata, answers with the names of withheld fields, refusals with their reason, descriptors by reflection
//! or from a file, and receipts. Any gRPC client can do the same; this one saves the work. `chapar call` and
//! the demo's story use it.
//!
//! Deliberately absent: output for a terminal, any policy, and retries of calls that may have been made.

mod admin;
mod answer;
mod call;
mod client;
mod descriptors;
mod error;
mod follow;
mod inquiry;
pub mod json;
mod meta;
mod reflection;
mod refusal;

pub use admin::{
    CallCount, CallSummary, Certificate, Ending as RegistryEnding, EvidenceLog, GrantStatus, LimitStatus,
    ListTracesRequest as TraceFilter, ListTracesResponse as CallList, RevocationList, ServiceStatus,
    SharedLimits, Span, Status, Trace, TraceId, Witness, Witnesses,
};
pub use answer::{Answer, Ending, Messages};
pub use call::{CallMetadata, CallSpec};
pub use client::{Client, Config};
pub use descriptors::{DescriptorFileError, descriptors_from_file};
pub use error::CallError;
pub use follow::LogCheckpoints;
pub use inquiry::{
    AskPart, AskProcedureRequest, Name, PartAnswer, PartEnd, PartRefusal, Parts, Procedure, ProcedureInput,
    ProcedurePart, ask_part, part_answer,
};
pub use meta::{AllowedMethod, GrantUsage, KnownMethod, KnownService, LimitUsage, PublishedContract, WhoAmI};
pub use refusal::{Refusal, Violation};

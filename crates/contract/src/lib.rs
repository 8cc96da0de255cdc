//! This crate compiles contracts, the public `.proto` of a service with Chapar's options, at run time without
//! `protoc`. It also has formats of identifiers, Persian text folding, and the parser of protobuf wire bytes
//! that data minimisation needs.
//!
//! Deliberately absent: grants (the registry has them), SQL (the adapter has it), and any decoding on the
//! path of a call.

mod breaking;
mod compile;
mod contract;
mod descriptors;
mod field_path;
mod finding;
mod folders;
mod format;
pub mod json;
mod key;
mod label;
mod method;
mod options;
mod request;
mod rows;
mod rules;
mod service;
pub mod text;
pub mod wire;

pub use breaking::{Break, Breaking, breaking};
pub use contract::{Contract, merge_descriptor_sets};
pub use descriptors::{DescriptorsError, descriptor_pool};
pub use field_path::{FieldPath, is_inside_path};
pub use finding::{Error, Finding};
pub use format::{Format, JALALI_YEARS, gregorian_of_jalali, jalali_of_gregorian};
pub use key::is_key;
pub use label::{Label, label_of_field, label_of_path, label_of_value};
pub use method::{Class, Method, MethodKind, ResponseField};
pub use options::BUILT_IN;
pub use request::{RequestFormat, Violation};
pub use rows::RowField;
pub use service::Service;

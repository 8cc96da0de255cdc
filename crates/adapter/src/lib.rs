//! The adapter serves a contract as a gRPC service, by SQL statements on an agency's database.
//!
//! Entry points: [`Config::load`] reads `adapter.toml`; [`Adapter::bind`] proves that every method can be
//! answered; [`Adapter::run`] joins the gateways, or listens, and serves. `call::answer` handles one call:
//! terms, binding, plan, statement, rows.
//!
//! Invariants: text of a request never becomes SQL; a column that is not granted is not selected; a
//! connection can only read; a statement ends at its deadline or when its reader leaves; no value of a record
//! is in an error, log or span.
//!
//! Deliberately absent: policy (the gateway decides, and names fields and rows), evidence, limits per caller.

mod adapter;
mod admin;
mod api;
mod ask;
mod backend;
mod bind;
mod body;
mod call;
mod candidate;
mod check;
mod completeness;
mod config;
mod conversion;
mod date;
mod dialect;
mod drift;
mod encode;
mod error;
mod fetch;
mod finding;
mod form;
mod health;
mod introspect;
mod json;
mod load;
mod method_file;
mod method_folder;
mod observe;
mod page;
mod plan;
mod published;
mod refusal;
mod reload;
mod row_mapper;
mod scan;
mod scope;
mod served_method;
mod service;
mod shape;
mod source;
mod statement;
#[cfg(test)]
mod tests;
mod unfit;

pub use adapter::{Adapter, Checked, Parts};
pub use api::{CompiledRequest, Untellable, compile_request, find_in_json};
pub use ask::{Asked, Asking};
pub use completeness::{Counts, FieldCounts, completeness};
pub use config::{
    ApiServer, Config, ConnectMode, Endpoint, Limits, Server, ServerTls, SourceConfig, SourceKind,
};
pub use error::Error;
pub use finding::{Finding, Findings};
pub use introspect::{Introspected, Introspection, Written, introspect};
pub use reload::Reload;
pub use row_mapper::RowMapper;
pub use scan::Remark;
pub use statement::compile_statement;

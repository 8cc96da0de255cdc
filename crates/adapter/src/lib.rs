//! A contract and its SQL files become a live gRPC service on an agency's database.
//!
//! Entry points: [`Config::load`] reads `adapter.toml`; [`Adapter::bind`] proves that every method can be answered;
//! [`Adapter::run`] joins the gateways, or listens for them, and serves. One call is `call::answer`: terms, binding, plan, statement, rows.
//!
//! Invariants: a request's text never becomes SQL; a column that is not granted is not selected; a connection can only
//! read; a statement ends with its deadline or its reader; no value of a record is in an error, log or span.
//!
//! Deliberately absent: policy (the gateway decides, and says which fields and rows), evidence, limits per caller.

mod adapter;
mod bind;
mod body;
mod call;
mod check;
mod config;
mod conversion;
mod encode;
mod finding;
mod health;
mod offer;
mod plan;
mod refusal;
mod reload;
mod scan;
mod scope;
mod service;
mod shape;
mod source;
mod statement;
#[cfg(test)]
mod tests;

pub use adapter::{Adapter, Checked, Error, Parts};
pub use config::{Config, SourceConfig, Way};
pub use finding::{Finding, Findings};
pub use reload::Reload;
pub use scan::Remark;

//! The gateway is the process between the agency that asks and the agency that holds the record. It
//! identifies the caller, applies grants and limits, routes, minimises, and makes the evidence record durable
//! before it releases an answer.
//!
//! Start at `pipeline`, which shows the life of one call as one function. Left out: durable state besides the
//! evidence log and its state folder, decoding of payloads into objects, and trust in what a caller or an
//! adapter says about identity.

mod admin;
mod attempts;
mod commitment;
mod config;
mod error;
mod facts;
mod gateway;
mod health;
mod identify;
mod memory;
mod meta;
mod metadata;
mod observe;
mod overload;
mod own;
mod pipeline;
mod policy;
mod record;
mod reflection;
mod refusal;
mod refusals;
mod reload;
mod shed;
mod stack;
mod upstream;
mod workers;

pub use config::{Config, ConfigError, Evidence, Serving, Telemetry as TelemetryConfig};
pub use error::Error;
pub use gateway::{Gateway, Parts, Reload, evidence_config};
pub use reflection::BadDescriptors;
pub use refusal::{DEFAULT_HELP, DOMAIN, Refusal};

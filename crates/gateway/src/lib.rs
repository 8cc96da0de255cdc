//! The gateway: between an agency that asks and the agency that holds the record. It knows who calls, for what purpose, and
//! which fields they may see; it limits, routes and minimises, and puts every disclosure on disk before releasing it.
//!
//! Read `pipeline` first: it is the life of one call as one function. Deliberately absent: any state but the evidence log,
//! any decoding of payloads into objects, and any trust in what a caller or an adapter says about identity.

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

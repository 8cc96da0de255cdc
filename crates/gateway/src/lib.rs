//! The gateway is the process between the agency that asks and the agency that holds the record. It
//! identifies the caller, applies grants and limits, routes, minimises, and makes the evidence record durable
//! before it releases an answer.
//!
//! Start at `pipeline`, which shows the life of one call as one function. Left out: durable state besides the
//! evidence log and its state folder, decoding of payloads into objects (but for callers that send JSON), and
//! trust in what a caller or an adapter says about identity.

mod attempts;
mod config;
mod error;
mod gateway;
mod headers;
mod health;
mod identify;
mod inquiry;
mod memory;
mod metadata;
mod observe;
mod observed;
mod overload;
mod own;
mod pipeline;
mod protocol;
mod quota_history;
mod readiness;
mod refusal;
mod reload;
mod shed;
mod stack;
mod upstream;
mod witnessing;

pub use config::{
    Config, ConfigError, Evidence, Redis, RedisError, Serving, Telemetry as TelemetryConfig, Witness,
    WitnessError, Witnesses,
};
pub use error::{BadDescriptors, Error};
pub use gateway::{Checked, Gateway, Parts, Reload, evidence_config};
pub use refusal::{DEFAULT_HELP, DOMAIN, Refusal};

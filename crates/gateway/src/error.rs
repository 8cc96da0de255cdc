//! This module defines the errors that stop a gateway, at its start or later.

use std::net::SocketAddr;

/// Why a gateway cannot start or go on.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum Error {
    /// A contract folder cannot be used.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Contract(#[from] chapar_contract::Error),
    /// The registry cannot be used.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Registry(#[from] chapar_registry::LoadErrors),
    /// A certificate or key cannot be used, or the port cannot be had.
    #[error(transparent)]
    Transport(#[from] chapar_transport::Error),
    /// The admin address cannot be had.
    #[error("cannot listen on {address} for the admin pages")]
    Admin {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// What `[redis]` names cannot be used.
    #[error(transparent)]
    Redis(#[from] crate::config::RedisError),
    /// What `[witnesses]` names cannot be used.
    #[error(transparent)]
    Witnesses(#[from] crate::config::WitnessError),
    /// The token of the admin pages cannot be read or made.
    #[error("`admin.token` in the gateway's state folder cannot be used")]
    AdminToken(#[source] std::io::Error),
    /// The system gives no more threads.
    #[error("cannot start the worker threads")]
    Threads(#[source] std::io::Error),
    /// The evidence log cannot be opened or closed.
    #[error(transparent)]
    Evidence(#[from] chapar_evidence::Error),
    /// The evidence log failed while serving; what is on disk must be verified by a restart.
    #[error("a write to the evidence log failed: restart the gateway, which verifies the log on disk")]
    EvidenceFailed,
    /// The evidence log's disk did not answer while the log was closed. No acknowledged record is lost.
    #[error(
        "the evidence log's disk does not answer: the gateway stopped without signing the last checkpoint; \
         the next start verifies the log on disk"
    )]
    EvidenceSlow,
    /// The system gives no randomness.
    #[error("the system gives no randomness")]
    Randomness,
    /// The gateway's own descriptors cannot be read.
    #[error(transparent)]
    Descriptors(#[from] BadDescriptors),
}

/// Descriptor sets that this crate was built with and that cannot be read: a fault of the build.
#[derive(Debug, thiserror::Error)]
#[error("the gateway's own descriptors cannot be read")]
pub struct BadDescriptors;

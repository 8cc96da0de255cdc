//! `Error` says why an adapter does not start, does not reload, or stopped. Refusals of calls are in
//! `refusal`.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::finding::Findings;

/// Why an adapter does not start, or stopped.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum Error {
    /// A contract folder does not compile.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Contract(#[from] chapar_contract::Error),
    /// A database cannot be opened.
    #[error("{}: [source.{name}]: {fault}", file.display())]
    Database {
        /// The settings' file.
        file: PathBuf,
        /// The source's name in it.
        name: String,
        /// What is wrong, naming the database's file.
        fault: String,
    },
    /// Settings or statements are faulty, or do not fit contract and database.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Files(#[from] Findings),
    /// The admin address cannot be had.
    #[error("cannot listen on {address} for the admin pages")]
    Admin {
        /// `admin` of the settings.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The certificate, the key or the port cannot be used.
    #[error(transparent)]
    Transport(#[from] chapar_transport::Error),
}

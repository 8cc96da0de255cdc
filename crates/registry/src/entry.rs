//! This module defines what is registered: subsystems, services and methods. Calls share each of them by
//! `Arc`.

use std::fmt;
use std::sync::Arc;

use chapar_contract::{Contract, Method};
use chapar_model::{Identity, MemberId, SubsystemId};

/// A member's name, for people.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Name {
    /// In Persian.
    pub fa: String,
    /// In English.
    pub en: String,
}

/// One registered system of a member.
#[derive(Clone, Debug)]
pub struct Subsystem {
    /// Its id.
    pub id: SubsystemId,
    /// Its member's name.
    pub name: Arc<Name>,
    /// SHA-256 of the SubjectPublicKeyInfo (DER) of each authority that may speak for the member; at least
    /// one.
    pub issuers: Arc<[[u8; 32]]>,
}

/// The kind of server that answers a service's calls.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Server {
    /// Chapar's adapter: it receives the granted fields and rows in metadata, and ends a failed call with a
    /// reason of the catalogue.
    Adapter,
    /// The agency's own gRPC server: its status, error messages and encodings pass unchanged.
    Grpc(PassedMetadata),
}

/// Custom metadata that passes between a caller and an agency's own server; all other metadata is dropped.
/// Names are in lower case, and the loader has checked that each may pass.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct PassedMetadata {
    /// From the caller to the server.
    pub request: Vec<String>,
    /// From the server to the caller, in headers and in trailers.
    pub response: Vec<String>,
}

/// One registered service: its contract, its provider, and its addresses.
pub struct ServiceEntry {
    /// The full name, e.g. `civil.v1.CivilRegistry`.
    pub name: String,
    /// The contract that it keeps to; its digest is the registered one.
    pub contract: Contract,
    /// The member whose data it is.
    pub provider: MemberId,
    /// Identities that may answer for the service; at least one.
    pub adapters: Vec<Identity>,
    /// The kind of server behind the service.
    pub server: Server,
    /// Addresses where the adapters listen, `https://host:port`; empty if the adapters dial the gateway
    /// (reverse connections).
    pub endpoints: Vec<String>,
    /// Maximum number of calls in flight to the agency's database, at least 1; no limit if absent.
    pub concurrent: Option<u32>,
    /// True if callers without a grant for it get the same answer as for an unknown method.
    pub hidden: bool,
}

impl ServiceEntry {
    /// The service's methods, as declared.
    pub fn methods(&self) -> &[Arc<Method>] {
        // The loader has found the service in this contract, so the default is never used.
        self.contract.service(&self.name).map_or(&[], |service| service.methods())
    }
}

impl fmt::Debug for ServiceEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ServiceEntry").field(&self.name).finish()
    }
}

/// One method of a registered service.
#[derive(Clone, Debug)]
pub struct MethodEntry {
    /// The method as the contract defines it.
    pub method: Arc<Method>,
    /// Its service.
    pub service: Arc<ServiceEntry>,
}

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

/// What answers for a service.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Server {
    /// Chapar's adapter: it is told what the grant allows, and its status is a word of the catalogue.
    Adapter,
    /// The agency's own gRPC server: its status, messages of errors and encodings pass as they are.
    Grpc(PassedMetadata),
}

/// Custom metadata that passes between a caller and an agency's own server; all other is dropped. Lower case,
/// each allowed.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct PassedMetadata {
    /// From the caller to the server.
    pub request: Vec<String>,
    /// From the server to the caller, in headers and in trailers.
    pub response: Vec<String>,
}

/// One service: a contract, who provides it, and where.
pub struct ServiceEntry {
    /// The full name, e.g. `civil.v1.CivilRegistry`.
    pub name: String,
    /// The contract that it keeps to; its digest is the registered one.
    pub contract: Contract,
    /// The member whose data it is.
    pub provider: MemberId,
    /// Who may answer for it; at least one.
    pub adapters: Vec<Identity>,
    /// What answers at those places.
    pub server: Server,
    /// Where the adapters listen, `https://host:port`; none if they dial in.
    pub endpoints: Vec<String>,
    /// Calls that the agency's database may be given at once; no cap if absent. At least 1.
    pub concurrent: Option<u32>,
    /// True if callers without a grant for it get the same answer as for an unknown method.
    pub hidden: bool,
}

impl ServiceEntry {
    /// The service's methods, as declared.
    pub fn methods(&self) -> &[Arc<Method>] {
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
    /// What the contract says of it.
    pub method: Arc<Method>,
    /// Its service.
    pub service: Arc<ServiceEntry>,
}

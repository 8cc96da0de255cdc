//! This module lists the methods of the gateway's own services (health, reflection, meta, inquiry, admin,
//! evidence),
//! and limits what each caller may ask of them: requests of 8 KiB (inquiries: 64 KiB), and 50 calls a second
//! (burst 100) and 16 at once.

use std::sync::LazyLock;

use chapar_model::{Limits, MethodPath, SubsystemId};
use chapar_registry::{Registry, Role};

use crate::inquiry;

/// The services that the gateway answers itself.
pub(super) const SERVICES: [&str; 7] = [
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
    "chapar.meta.v1.Meta",
    INQUIRY,
    ADMIN,
    EVIDENCE,
];
const INQUIRY: &str = "chapar.inquiry.v1.Inquiry";
const ADMIN: &str = "chapar.admin.v1.Observe";
const EVIDENCE: &str = "chapar.evidence.v1.Follow";

/// The role that an operator must have for a service; none for services of every caller.
pub(super) fn role_of(service: &str) -> Option<Role> {
    match service {
        ADMIN => Some(Role::Viewer),
        EVIDENCE => Some(Role::Auditor),
        _ => None,
    }
}

/// Their methods, and whether a call of one goes on after its first answer.
const METHODS: [(&str, bool); 18] = [
    ("grpc.health.v1.Health/Check", false),
    ("grpc.health.v1.Health/Watch", true),
    ("grpc.reflection.v1.ServerReflection/ServerReflectionInfo", true),
    ("grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", true),
    ("chapar.admin.v1.Observe/GetStatus", false),
    ("chapar.admin.v1.Observe/GetTrace", false),
    ("chapar.admin.v1.Observe/ListTraces", false),
    ("chapar.evidence.v1.Follow/GetCheckpoint", false),
    ("chapar.evidence.v1.Follow/ReadEntries", false),
    ("chapar.inquiry.v1.Inquiry/Ask", true),
    ("chapar.inquiry.v1.Inquiry/AskProcedure", true),
    ("chapar.inquiry.v1.Inquiry/ListProcedures", false),
    ("chapar.meta.v1.Meta/AllowedMethods", false),
    ("chapar.meta.v1.Meta/GetContract", false),
    ("chapar.meta.v1.Meta/GetReceipt", false),
    ("chapar.meta.v1.Meta/ListServices", false),
    ("chapar.meta.v1.Meta/MyLimits", false),
    ("chapar.meta.v1.Meta/WhoAmI", false),
];

/// Maximum size in bytes of a request to one of them. The longest field is the name of a method or of an
/// entry.
pub(super) const MAX_REQUEST: usize = 8 << 10;
/// Rate limit of one caller for all of them together.
const RATE: &str = "50/s";
/// Burst of that limit, in calls.
const BURST: u32 = 100;
/// Maximum number of concurrent calls of one caller, watches and reflection streams included.
const CONCURRENT: u32 = 16;

static PATHS: LazyLock<Vec<(MethodPath, bool)>> = LazyLock::new(|| {
    METHODS.iter().filter_map(|(path, streams)| Some((path.parse().ok()?, *streams))).collect()
});

/// All methods of the own services.
pub(crate) fn methods<'a>() -> impl Iterator<Item = &'a str> {
    METHODS.iter().map(|(path, _)| *path)
}

/// Whether a path, as it came with its query, is that of one of their methods, byte for byte.
pub(crate) fn is_own(path: &str) -> bool {
    method(path).is_some()
}

/// Whether a path, as it came, is for an inquiry.
pub(crate) fn is_inquiry(path: &str) -> bool {
    service(path) == Some(INQUIRY)
}

fn service(path: &str) -> Option<&str> {
    path.strip_prefix('/').and_then(|path| path.split_once('/')).map(|(service, _)| service)
}

/// Maximum size in bytes of a request to the method at `path`, as it came.
pub(super) fn max_request(path: &str) -> usize {
    if is_inquiry(path) { inquiry::MAX_REQUEST } else { MAX_REQUEST }
}

/// The method of an own service by its path as it came.
pub(crate) fn method(path: &str) -> Option<&'static MethodPath> {
    let path = path.strip_prefix('/')?;
    PATHS.iter().find(|(known, _)| known.as_str() == path).map(|(known, _)| known)
}

/// What each caller may ask of them.
pub(crate) fn limits(registry: &Registry) -> impl Iterator<Item = (SubsystemId, Limits)> {
    let limits = Limits {
        rate: RATE.parse().ok(),
        burst: std::num::NonZeroU32::new(BURST),
        concurrent: std::num::NonZeroU32::new(CONCURRENT),
    };
    registry.subsystems().map(move |subsystem| (subsystem.id.clone(), limits))
}

/// Whether a call of the method at `path`, as it came, goes on after its first answer.
pub(super) fn streams(path: &str) -> bool {
    let path = path.strip_prefix('/');
    PATHS.iter().any(|(known, streams)| *streams && path == Some(known.as_str()))
}

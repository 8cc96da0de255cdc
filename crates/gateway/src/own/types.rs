//! The types of the own services' methods, for callers that send JSON.

use std::sync::LazyLock;

use prost_reflect::DescriptorPool;

use super::catalogue::{is_inquiry, max_request};
use super::{admin, follow, meta};
use crate::inquiry;
use crate::protocol::Types;

/// Meta, inquiry, admin, evidence and health. Reflection is for gRPC clients, whose requests it streams.
static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    let mut pool = DescriptorPool::new();
    for set in [
        meta::DESCRIPTORS,
        inquiry::DESCRIPTORS,
        admin::DESCRIPTORS,
        follow::DESCRIPTORS,
        tonic_health::pb::FILE_DESCRIPTOR_SET,
    ] {
        // Both are made by the build; what cannot be decoded is not known here, and a test asks for all.
        pool.decode_file_descriptor_set(set).ok();
    }
    pool
});

/// The types of the method at this path, as it came.
pub(crate) fn types(path: &str) -> Option<Types> {
    let (service, method) = path.strip_prefix('/')?.split_once('/')?;
    let limit = max_request(path);
    let is_ordered = !is_inquiry(path);
    let service = POOL.get_service_by_name(service)?;
    let method = service.methods().find(|known| known.name() == method)?;
    Some(Types {
        input: method.input(),
        output: method.output(),
        streams_requests: method.is_client_streaming(),
        streams_responses: method.is_server_streaming(),
        limit,
        is_ordered,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::own::{is_own, methods};

    #[test]
    fn every_method_but_those_of_reflection_has_types() {
        for method in methods().filter(|method| !method.contains("reflection")) {
            let path = format!("/{method}");
            assert!(is_own(&path) && types(&path).is_some(), "{method}");
        }
        assert!(types("/chapar.meta.v1.Meta/Nothing").is_none());
    }
}

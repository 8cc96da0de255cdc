//! This module reads the identified caller of a request to one of the gateway's own services, and checks its
//! role as an operator. `answer` puts the caller into the request's extensions, so that the services need not
//! know how a caller is identified.

use std::sync::Arc;

use chapar_registry::{Registry, Role, Subsystem};
use jiff::Timestamp;
use tonic::{Request, Status};

use crate::refusal::{Audience, Refusal};

/// The caller that the stack has identified.
pub(super) fn caller<T>(request: &Request<T>) -> Result<Arc<Subsystem>, Status> {
    let caller = request.extensions().get::<Arc<Subsystem>>();
    caller.cloned().ok_or_else(|| Status::unauthenticated("no identified caller"))
}

/// Checks the caller's role. A subsystem to which the registry does not give it is refused, whatever its
/// grants are.
pub(super) fn check_role<T>(
    request: &Request<T>,
    registry: &Registry,
    role: Role,
    now: Timestamp,
) -> Result<(), Status> {
    let caller = caller(request)?;
    registry.check_role(&caller.id, role, now).map_err(|reason| {
        match request.extensions().get::<Audience>() {
            Some(audience) => Refusal::from(reason).to_status(audience),
            None => Status::permission_denied("no role of an operator"),
        }
    })
}

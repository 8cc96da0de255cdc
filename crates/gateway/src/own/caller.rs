//! `caller` reads the identified caller of a request to one of the gateway's own services. `answer` puts it
//! into the request's extensions, so that the services need not know how a caller is identified.

use std::sync::Arc;

use chapar_registry::Subsystem;
use tonic::{Request, Status};

/// The caller that the stack has identified.
pub(super) fn caller<T>(request: &Request<T>) -> Result<Arc<Subsystem>, Status> {
    let caller = request.extensions().get::<Arc<Subsystem>>();
    caller.cloned().ok_or_else(|| Status::unauthenticated("no identified caller"))
}

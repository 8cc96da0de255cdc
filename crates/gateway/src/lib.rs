//! The pipeline of a call, upstreams, and the gateway's own services.

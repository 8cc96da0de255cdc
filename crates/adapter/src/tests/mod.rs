//! These tests run the adapter from request bytes to response frames, on real databases in temporary folders.
//! TLS is tested where the whole bus runs.

mod api;
mod bench;
mod calls;
mod completeness;
mod conformance;
mod drift;
mod engines;
mod explain;
mod faults;
mod injection;
mod introspect;
mod late;
mod load;
mod outcomes;
mod pages;
mod scopes;
mod sign_in;
mod type_map;
mod types;

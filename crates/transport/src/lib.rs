//! Mutual TLS with SPIFFE identities, HTTP/2 serving and dialling, draining.

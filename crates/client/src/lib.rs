//! Calls through the bus from Rust: identity, call metadata, decoded refusals, receipts.

//! Policy as code: TOML to an immutable registry, and the pure decision.

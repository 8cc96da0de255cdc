//! RFC 6962 Merkle trees, C2SP tiles, checkpoints and signed notes. No I/O.

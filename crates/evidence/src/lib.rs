//! The evidence log: record format, group commit, recovery, receipts, verification.

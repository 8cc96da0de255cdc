//! Whole registries, good and bad, as text.

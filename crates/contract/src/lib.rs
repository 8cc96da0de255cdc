//! Compiled contracts, Chapar's options, the protobuf wire walker, formats and Persian text folding.

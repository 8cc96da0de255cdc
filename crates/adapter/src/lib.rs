//! A contract and its SQL files become a live gRPC service on an agency's database.

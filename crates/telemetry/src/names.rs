//! This module has every name of a span attribute and of a status: OpenTelemetry's semantic conventions for
//! RPC and databases (version 1.45, <https://opentelemetry.io/docs/specs/semconv/>), and the bus's own under
//! `chapar.`.
//!
//! The values are names, ids, counts and words of closed catalogues; no constant here is for a value of a
//! record.

/// Always `grpc`.
pub const RPC_SYSTEM: &str = "rpc.system.name";
/// The method, fully qualified: `civil.v1.CivilRegistry/GetPerson`.
pub const RPC_METHOD: &str = "rpc.method";
/// The gRPC status by its name, e.g. `PERMISSION_DENIED`.
pub const RPC_STATUS: &str = "rpc.response.status_code";
/// What went wrong: the reason's word. Absent when the call was answered.
pub const ERROR_TYPE: &str = "error.type";

/// The database system, e.g. `sqlite`.
pub const DB_SYSTEM: &str = "db.system.name";
/// Always `SELECT`: the adapter runs nothing else.
pub const DB_OPERATION: &str = "db.operation.name";
/// A short name of the statement (its file), never its text or parameters.
pub const DB_QUERY_SUMMARY: &str = "db.query.summary";
/// Rows read from the database.
pub const DB_ROWS: &str = "db.response.returned_rows";

/// The HTTP method by which an API is asked.
pub const HTTP_METHOD: &str = "http.request.method";

/// The bus's name of the call.
pub const CALL_ID: &str = "chapar.call.id";
/// The caller's subsystem.
pub const CALLER: &str = "chapar.caller";
/// The grant that allowed the call.
pub const GRANT: &str = "chapar.grant";
/// The purpose code.
pub const PURPOSE: &str = "chapar.purpose";
/// `OK` or the reason's word.
pub const OUTCOME: &str = "chapar.outcome";
/// How many fields the grant disclosed.
pub const FIELDS_DISCLOSED: &str = "chapar.fields.disclosed.count";
/// How many fields of the contract it withheld.
pub const FIELDS_WITHHELD: &str = "chapar.fields.withheld.count";
/// Messages released to the caller.
pub const MESSAGES: &str = "chapar.messages.count";

/// The service by which operators look. Its answered calls are not kept, or looking would push out what is
/// looked at.
pub const OBSERVE: &str = "chapar.admin.v1.Observe/";
/// Beginnings of the gateway's own methods that need no grant and ask no agency.
pub const OWN: [&str; 3] = ["chapar.admin.v1.", "chapar.meta.v1.", "grpc."];

/// The label of a call that was answered, where a refusal carries its reason.
pub const OK: &str = "OK";
/// The metric label of a method that the registry does not know.
pub const UNKNOWN_METHOD: &str = "unknown";

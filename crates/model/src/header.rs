//! This module has the names of request and response metadata. `chapar-` is a reserved prefix: a name under
//! it that is not listed here is refused.

/// Every name of the bus begins with this.
pub const PREFIX: &str = "chapar-";

/// Caller → gateway: why ([`crate::Purpose`]).
pub const PURPOSE: &str = "chapar-purpose";
/// Caller → gateway: the file number ([`crate::CaseNumber`]).
pub const CASE: &str = "chapar-case";
/// Caller → gateway: the person at the keyboard ([`crate::ClerkId`]).
pub const CLERK: &str = "chapar-clerk";
/// Caller → gateway: the member whose right is used ([`crate::MemberId`]).
pub const ON_BEHALF_OF: &str = "chapar-on-behalf-of";
/// Caller → gateway: the idempotency key ([`crate::RequestId`]).
pub const REQUEST_ID: &str = "chapar-request-id";

/// All that a caller may send under the prefix.
pub const FROM_CALLER: [&str; 5] = [PURPOSE, CASE, CLERK, ON_BEHALF_OF, REQUEST_ID];

/// Gateway → caller, in headers, and gateway → adapter: the [`crate::CallId`].
pub const CALL_ID: &str = "chapar-call-id";
/// Gateway → caller, in trailers: `LOG_ORIGIN/INDEX` of the call's record.
pub const ENTRY: &str = "chapar-entry";
/// Gateway → adapter: the granted field paths, separated by commas. Gateway → caller, in trailers:
/// `disclosed=a,b;withheld=c`.
pub const FIELDS: &str = "chapar-fields";
/// Gateway → adapter: the caller's subsystem.
pub const CALLER: &str = "chapar-caller";
/// Gateway → adapter: the row scopes of the grant ([`crate::RowScopes`]).
pub const ROWS: &str = "chapar-rows";
/// Adapter → gateway, in trailers: which of the adapter's reasons ended the call.
pub const REASON: &str = "chapar-reason";

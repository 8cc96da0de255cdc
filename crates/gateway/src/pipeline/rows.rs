//! `Rows` enforces the grant's row scopes and the contract's `max_rows` on answers of an agency's own gRPC
//! server. An adapter narrows rows in its database, but such a server is only told the scope, so this check
//! alone holds other rows back.

use chapar_contract::MethodKind;
use chapar_model::Reason;
use chapar_registry::Server;

use super::head::Head;
use crate::refusal::Refusal;

/// The rows of one answer so far.
#[derive(Default)]
pub(super) struct Rows {
    released: u64,
}

impl Rows {
    /// Returns whether a message of the answer may be released. A message of a stream that may not is
    /// skipped.
    ///
    /// # Errors
    /// `RECORD_NOT_FOUND` for the only message of an answer, as for a record that does not exist;
    /// `TOO_MANY_ROWS`; `CONTRACT_VIOLATION` for a message whose rows cannot be told.
    pub(super) fn may_pass(&mut self, head: &Head, message: &[u8]) -> Result<bool, Refusal> {
        let method = &head.entry.method;
        // An adapter cuts rows in its SQL, and selects only granted columns, which need not include those
        // that this check reads.
        if head.entry.service.server == Server::Adapter {
            return Ok(true);
        }
        let unreadable = |error: chapar_contract::wire::WireError| {
            Refusal::from(Reason::ContractViolation).with_detail(format!("rows of the answer: {error}"))
        };
        for check in &head.permit.grant.row_checks {
            if !check.field.has_one_of(message, &check.values).map_err(unreadable)? {
                return match method.kind() {
                    MethodKind::Unary => Err(Reason::RecordNotFound.into()),
                    _ => Ok(false),
                };
            }
        }
        // Rows are counted after the scope check, so that rows that are dropped do not spend the limit.
        if let Some(most) = method.declared_max_rows() {
            self.released += method.rows_in(message).map_err(unreadable)?;
            if self.released > u64::from(most) {
                return Err(Reason::TooManyRows.into());
            }
        }
        Ok(true)
    }
}

//! This module maps PostgreSQL's errors to reasons, by SQLSTATE (PostgreSQL 15 documentation, appendix A).

use chapar_model::Reason;
use tokio_postgres::Error;
use tokio_postgres::error::Severity;

use crate::source::Failure;
use crate::source::server::Trouble;

/// Nothing is bound while a statement is prepared, so the server's own words can be shown to the operator.
pub(super) fn at_start(error: &Error, user: &str) -> Failure {
    let Some(refusal) = error.as_db_error() else { return of_connecting(error) };
    let mut words = refusal.message().to_owned();
    if let Some(hint) = refusal.hint() {
        words.push_str(&format!(" ({hint})"));
    }
    Failure::new(reason(refusal.code().code()), with_grant(words, user))
}

/// Nothing is bound while a call's statement is prepared either.
pub(super) fn of_preparing(error: &Error, user: &str) -> Trouble {
    match of_run(error, user) {
        Trouble::Failed(_) => Trouble::Failed(at_start(error, user)),
        other => other,
    }
}

/// While a statement runs, the server's words may quote a value: of a request, as in a text search, or of a
/// row. Kept is its SQLSTATE, and the words of a missing right, which name an object.
pub(super) fn of_run(error: &Error, user: &str) -> Trouble {
    let Some(refusal) = error.as_db_error() else { return Trouble::Lost(of_connecting(error)) };
    let code = refusal.code().code();
    let detail = match code {
        "42501" => format!("SQLSTATE {code}: {}", with_grant(refusal.message().to_owned(), user)),
        code => format!("SQLSTATE {code}"),
    };
    let failure = Failure::new(reason(code), detail);
    let is_fatal = matches!(refusal.parsed_severity(), Some(Severity::Fatal | Severity::Panic));
    match code {
        // "cached plan must not change result type", and a statement that a restart or DISCARD has removed.
        "0A000" | "26000" => Trouble::Stale(failure),
        // A transaction that another statement left behind.
        "25P02" => Trouble::Lost(failure),
        _ if is_fatal => Trouble::Lost(failure),
        _ => Trouble::Failed(failure),
    }
}

/// An error of the connection or the sign-in. No value is sent before a session is open, and the driver's own
/// errors name none.
pub(super) fn of_connecting(error: &Error) -> Failure {
    let reason = error.as_db_error().map_or(Reason::SourceDown, |refusal| reason(refusal.code().code()));
    let mut words = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        let inner_words = inner.to_string();
        // Some errors repeat their cause in their own words.
        if !words.contains(&inner_words) {
            words.push_str(&format!(": {inner_words}"));
        }
        source = inner.source();
    }
    Failure::new(reason, words)
}

fn reason(code: &str) -> Reason {
    match code {
        // query_canceled: by `statement_timeout`, since a call's own end has its own reason.
        "57014" => Reason::SourceTimeout,
        // lock_not_available, too_many_connections, serialization failure and deadlock (also a conflict with
        // recovery on a standby).
        "55P03" | "53300" | "40001" | "40P01" => Reason::SourceBusy,
        // insufficient_privilege, read_only_sql_transaction.
        "42501" | "25006" => Reason::SourceRefused,
        // feature_not_supported: a prepared statement whose result has another type by now.
        "0A000" | "26000" => Reason::SchemaDrift,
        code => match code.get(..2).unwrap_or_default() {
            "42" => Reason::SchemaDrift,
            // Connection, authorisation, unknown database, resources, operator's intervention, system and
            // internal errors.
            "08" | "28" | "3D" | "53" | "57" | "58" | "XX" => Reason::SourceDown,
            _ => Reason::SourceRefused,
        },
    }
}

/// Adds the missing GRANT to the words of a refusal, ready to be pasted.
fn with_grant(words: String, user: &str) -> String {
    let grant = words.strip_prefix("permission denied for ").and_then(|what| {
        let (kind, name) = what.split_once(' ')?;
        match kind {
            "table" | "view" | "relation" => Some(format!("GRANT SELECT ON {name} TO {user};")),
            "schema" => Some(format!("GRANT USAGE ON SCHEMA {name} TO {user};")),
            "function" => Some(format!("GRANT EXECUTE ON FUNCTION {name} TO {user};")),
            _ => None,
        }
    });
    match grant {
        Some(grant) => format!("{words}; the agency gives it by `{grant}`"),
        None => words,
    }
}

//! This module maps errors of MariaDB and MySQL to reasons, by error number (MariaDB's and MySQL's error
//! references).

use chapar_model::Reason;
use mysql_async::Error;

use crate::source::Failure;
use crate::source::server::Trouble;

/// Nothing is bound while a statement is prepared, so the server's own words can be shown to the operator.
pub(super) fn at_start(error: &Error) -> Failure {
    match error {
        Error::Server(refusal) => {
            Failure::new(reason(refusal.code), with_grant(refusal.message.clone(), refusal.code))
        }
        other => Failure::new(Reason::SourceDown, other.to_string()),
    }
}

/// While a statement runs, the server's words may quote a value. Kept are its number, and the words of errors
/// about an unknown name and a missing right, which name no value.
pub(super) fn of_run(error: &Error) -> Trouble {
    let Error::Server(refusal) = error else { return Trouble::Lost(at_start(error)) };
    let code = refusal.code;
    let detail = if is_unknown_name(code) || is_missing_right(code) {
        format!("error {code}: {}", with_grant(refusal.message.clone(), code))
    } else {
        format!("error {code}")
    };
    let failure = Failure::new(reason(code), detail);
    match code {
        // ER_UNKNOWN_STMT_HANDLER, ER_NEED_REPREPARE, ER_SERVER_SHUTDOWN, ER_NORMAL_SHUTDOWN,
        // ER_SHUTDOWN_COMPLETE, ER_CONNECTION_KILLED, ER_CLIENT_INTERACTION_TIMEOUT: on a new connection the
        // statement is prepared anew.
        1243 | 1615 | 1053 | 1077 | 1079 | 1927 | 4031 => Trouble::Lost(failure),
        _ => Trouble::Failed(failure),
    }
}

/// ER_BAD_FIELD, ER_NO_SUCH_TABLE.
fn is_unknown_name(code: u16) -> bool {
    matches!(code, 1054 | 1146)
}

/// ER_TABLEACCESS_DENIED, ER_COLUMNACCESS_DENIED, ER_PROCACCESS_DENIED, ER_VIEW_INVALID's rights.
fn is_missing_right(code: u16) -> bool {
    matches!(code, 1142 | 1143 | 1370)
}

fn reason(code: u16) -> Reason {
    match code {
        // ER_QUERY_INTERRUPTED, ER_STATEMENT_TIMEOUT (MariaDB), ER_QUERY_TIMEOUT (MySQL)
        1317 | 1969 | 3024 => Reason::SourceTimeout,
        // ER_CON_COUNT_ERROR, ER_TOO_MANY_USER_CONNECTIONS, ER_LOCK_WAIT_TIMEOUT, ER_LOCK_DEADLOCK,
        // ER_USER_LIMIT_REACHED
        1040 | 1203 | 1205 | 1213 | 1226 => Reason::SourceBusy,
        code if is_missing_right(code) => Reason::SourceRefused,
        // ER_OUTOFMEMORY, ER_OUT_OF_RESOURCES, ER_DBACCESS_DENIED, ER_ACCESS_DENIED, ER_UNKNOWN_COM (a Galera
        // node that is not ready), ER_BAD_DB, ER_SERVER_SHUTDOWN, ER_NORMAL_SHUTDOWN, ER_SHUTDOWN_COMPLETE,
        // ER_HOST_IS_BLOCKED, ER_HOST_NOT_PRIVILEGED, ER_CANT_CREATE_THREAD, ER_ACCESS_DENIED_NO_PASSWORD,
        // ER_CONNECTION_KILLED, ER_CLIENT_INTERACTION_TIMEOUT
        1037 | 1041 | 1044 | 1045 | 1047 | 1049 | 1053 | 1077 | 1079 | 1129 | 1130 | 1135 | 1698 | 1927
        | 4031 => Reason::SourceDown,
        // ER_BAD_FIELD, ER_WRONG_FIELD_WITH_GROUP, ER_DUP_FIELDNAME, ER_PARSE, ER_NONUNIQ, ER_NO_SUCH_TABLE,
        // ER_UNKNOWN_STMT_HANDLER, ER_SP_DOES_NOT_EXIST, ER_VIEW_INVALID, ER_NEED_REPREPARE
        1054 | 1055 | 1060 | 1064 | 1052 | 1146 | 1243 | 1305 | 1356 | 1615 => Reason::SchemaDrift,
        _ => Reason::SourceRefused,
    }
}

/// Adds the missing GRANT to the words of a refusal, ready to be pasted.
fn with_grant(words: String, code: u16) -> String {
    // `SELECT command denied to user 'civil_ro'@'localhost' for table `civil`.`person``, and for a column
    // `… for column 'x' in table 'person'`.
    let account = words.split_once("denied to user ").and_then(|(_, rest)| rest.split_once(" for "));
    let grant = match (code, account) {
        (1142, Some((user, what))) => {
            what.strip_prefix("table ").map(|table| format!("GRANT SELECT ON {table} TO {user};"))
        }
        (1143, Some((user, what))) => what
            .split_once(" in table ")
            .map(|(_, table)| format!("GRANT SELECT ON {} TO {user};", table.trim_matches('\''))),
        _ => None,
    };
    match grant {
        Some(grant) => format!("{words}; the agency gives it by `{grant}`"),
        None => words,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_right_is_given_with_the_statement_that_grants_it() {
        let words = "SELECT command denied to user 'civil_ro'@'localhost' for table `civil`.`person`";
        assert!(
            with_grant(words.to_owned(), 1142)
                .ends_with("by `GRANT SELECT ON `civil`.`person` TO 'civil_ro'@'localhost';`")
        );
    }
}

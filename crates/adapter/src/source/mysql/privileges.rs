//! `check` proves that an account can only read, by its grants.

use mysql_async::Conn;
use mysql_async::prelude::Queryable as _;

use super::failure;

/// Privileges by which nothing can be changed. EXECUTE is not among them: a function may end its session's
/// being read-only.
const READING: &[&str] = &["SELECT", "SHOW VIEW", "USAGE"];

/// What `mariadb-install-db` gives to everyone: on databases that are no agency's.
const STOCK: &[&str] = &[" ON `test`.* TO PUBLIC", " ON `test\\_%`.* TO PUBLIC"];

/// Looks up every grant of the account.
///
/// # Errors
/// What it may do beside reading, and the REVOKE that takes it away, ready to be pasted.
pub(super) async fn check(connection: &mut Conn, user: &str) -> Result<(), String> {
    let grants: Vec<String> = connection.query("SHOW GRANTS").await.map_err(|error| {
        format!("the privileges of `{user}` cannot be read: {}", failure::at_start(&error).detail)
    })?;
    // A stock installation lets everybody write in databases whose names begin with `test`.
    let grants = grants.iter().filter(|grant| !STOCK.iter().any(|stock| grant.contains(stock)));
    let faults: Vec<String> = grants.filter_map(|grant| excess(grant)).collect();
    if faults.is_empty() {
        return Ok(());
    }
    Err(format!(
        "the account `{user}` can do more than read, and an adapter's account must not: {}; give the adapter an account of its \
         own that has only SELECT",
        faults.join(" ")
    ))
}

/// What a line of SHOW GRANTS gives beside reading, as the REVOKE of it.
fn excess(grant: &str) -> Option<String> {
    let rest = grant.strip_prefix("GRANT ")?;
    let (what, target) = rest.split_once(" TO ")?;
    // The account's name ends where its password or an option begins.
    let account = target.split_once(' ').map_or(target, |(account, _)| account);
    let Some((privileges, object)) = what.split_once(" ON ") else {
        return Some(format!(
            "REVOKE {what} FROM {account}; -- a role, whose privileges are not looked into"
        ));
    };
    let mut more: Vec<&str> =
        privileges.split(", ").map(without_columns).filter(|name| !READING.contains(name)).collect();
    // Columns of a SELECT also hold commas: what is left of them are names in backquotes.
    more.retain(|name| !name.starts_with('`'));
    if target.contains("WITH GRANT OPTION") {
        more.push("GRANT OPTION");
    }
    (!more.is_empty()).then(|| format!("REVOKE {} ON {object} FROM {account};", more.join(", ")))
}

/// `SELECT (`a`` is SELECT.
fn without_columns(privilege: &str) -> &str {
    privilege.split(" (").next().unwrap_or(privilege)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_more_than_read_is_to_be_revoked() {
        for (grant, revoke) in [
            ("GRANT USAGE ON *.* TO `r`@`%` IDENTIFIED BY PASSWORD '*00'", None),
            ("GRANT SELECT, SHOW VIEW ON `civil`.* TO `r`@`%`", None),
            ("GRANT SELECT (`id`, `name`) ON `civil`.`person` TO `r`@`%`", None),
            (
                "GRANT EXECUTE ON FUNCTION `civil`.`f` TO `r`@`%`",
                Some("REVOKE EXECUTE ON FUNCTION `civil`.`f` FROM `r`@`%`;"),
            ),
            (
                "GRANT SELECT, INSERT ON `civil`.* TO `r`@`%`",
                Some("REVOKE INSERT ON `civil`.* FROM `r`@`%`;"),
            ),
            ("GRANT FILE ON *.* TO `r`@`%`", Some("REVOKE FILE ON *.* FROM `r`@`%`;")),
            (
                "GRANT SELECT (`id`), UPDATE (`name`) ON `civil`.`person` TO `r`@`%`",
                Some("REVOKE UPDATE ON `civil`.`person` FROM `r`@`%`;"),
            ),
            (
                "GRANT ALL PRIVILEGES ON *.* TO `root`@`localhost` WITH GRANT OPTION",
                Some("REVOKE ALL PRIVILEGES, GRANT OPTION ON *.* FROM `root`@`localhost`;"),
            ),
        ] {
            assert_eq!(excess(grant).as_deref(), revoke, "{grant}");
        }
        assert!(excess("GRANT `writers` TO `r`@`%`").unwrap().starts_with("REVOKE `writers` FROM `r`@`%`;"));
    }
}

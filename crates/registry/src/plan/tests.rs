//! Tests of changes to a small registry, each with the plan that it makes.

use super::*;
use crate::testing::{CONTRACT, Files, grant};

const WELFARE: &str = "gov/welfare/benefits";

fn plan(before: Files, after: Files) -> Plan {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().join("base");
    let new = dir.path().join("new");
    before.write(&base);
    after.write(&new);
    let contracts = std::slice::from_ref(&*CONTRACT);
    let now = "2026-06-01T00:00:00Z".parse().unwrap();
    Plan::between((&base, contracts), (&new, contracts), now).unwrap_or_else(|errors| panic!("{errors}"))
}

fn with(lines: &str) -> Files {
    Files::default().with("gov/desk.toml", &grant("g", WELFARE, lines))
}

fn check(before: Files, after: Files, parts: &[&str]) {
    let text = plan(before, after).to_string();
    for part in parts {
        assert!(text.contains(part), "{part:?} in\n{text}");
    }
}

#[test]
fn the_same_registry_is_no_change() {
    let plan = plan(with(""), with(""));
    assert!(plan.is_empty() && plan.changes.is_empty() && plan.effects.is_empty());
}

#[test]
fn a_new_grant_says_who_may_see_what_and_marks_what_is_sensitive() {
    check(
        Files::default(),
        with("fields = [\"name\", \"place.street\", \"note\"]"),
        &[
            "  + grant g  (gov/desk)",
            "      to = \"gov/welfare/benefits\"",
            "  + gov/welfare/benefits may call desk.v1.Desk/Get",
            "sees id, name, note (SECRET), place.street (SENSITIVE) for desk.read",
            "Summary: 1 added, 0 changed, 0 removed; 1 gain sensitive fields, 0 lose access.",
        ],
    );
}

#[test]
fn a_changed_grant_says_what_is_gained_and_what_is_lost() {
    check(
        with("fields = [\"name\"]\npurposes = [\"desk.read\", \"desk.write\"]"),
        with("fields = [\"place.city\"]\nrows = { province = [\"15\"] }"),
        &[
            "  ~ grant g  (gov/desk)",
            "      fields: [\"name\"] → [\"place.city\"]",
            "      rows: nothing → { province = [\"15\"] }",
            "  ~ gov/welfare/benefits in desk.v1.Desk/Get",
            "      sees place.city for desk.read",
            "      no longer sees name for desk.read",
            "      no longer sees id, name for desk.write",
            "      sees other rows",
            "0 added, 1 changed, 0 removed; 0 gain sensitive fields, 0 lose access",
        ],
    );
}

#[test]
fn a_removed_or_suspended_grant_says_who_loses_access() {
    let loses = [
        "  - gov/welfare/benefits may no longer call desk.v1.Desk/Get",
        "0 gain sensitive fields, 1 lose access",
    ];
    check(with(""), Files::default(), &loses);
    check(with(""), Files::default(), &["  - grant g  (gov/desk)"]);
    let suspension = "[[suspension]]\nof = \"grant/g\"\nreason = \"r\"\n";
    check(with(""), with("").with("suspensions.toml", suspension), &loses);
    check(with(""), with("").with("suspensions.toml", suspension), &["  + suspension grant/g  (bus)"]);
}

#[test]
fn an_office_that_joins_a_group_by_an_edit_of_its_own_file_is_told() {
    let group = "[[group]]\nid = \"g\"\nwhere = { county = [\"15\"] }\n";
    let files = |county: &str| {
        let attributes = format!("attributes = {{ county = \"{county}\" }}\n\n[[subsystem]]");
        let granted =
            Files::default().with("bus.toml", group).with("gov/desk.toml", &grant("g", "group/g", ""));
        granted.replace("office/north.toml", "\n[[subsystem]]", &attributes)
    };
    check(
        files("16"),
        files("15"),
        &[
            "  ~ member office/north  (office/north)",
            "  + office/north/counter may call desk.v1.Desk/Get",
            "sees id, name for desk.read",
        ],
    );
}

#[test]
fn what_has_no_effect_for_anyone_says_so() {
    check(
        with(""),
        with("").replace("gov/desk.toml", "Decree 1", "Decree 2"),
        &["basis: \"Decree 1\" → \"Decree 2\"", "no grant gives more or less than before"],
    );
    let over = "valid = { from = 2026-01-01, until = 2026-05-31 }";
    check(with(over), Files::default(), &["no grant gives more or less than before"]);
    let later = "valid = { from = 2026-07-01, until = 2026-12-31 }";
    check(Files::default(), with(later), &["  + gov/welfare/benefits may call"]);
}

#[test]
fn the_rules_are_those_of_the_registry_that_is_changed() {
    let rules = "[[approver]]\nid = \"ali\"\nkey = \"ali+00000000+AA==\"\nroles = [\"steward of gov/desk\"]\n\
        [[approver]]\nid = \"bahar\"\nkey = \"bahar+00000000+AA==\"\nroles = [\"security\"]\n\
        [[approval]]\nof = [\"grant\", \"delegation\"]\nneeds = [\"steward\", \"security\"]\n\
        [[approval]]\nof = [\"approval\", \"approver\"]\nneeds = [\"security\"]\n";
    let needs = |plan: &Plan| plan.needs.iter().map(ToString::to_string).collect::<Vec<_>>();
    let granted = plan(Files::default().with("bus.toml", rules), with("").with("bus.toml", rules));
    assert_eq!(needs(&granted), ["steward of gov/desk AND security, for grant g"]);
    let removed = plan(with("").with("bus.toml", rules), with(""));
    assert_eq!(
        needs(&removed).len(),
        1,
        "who drops the rules needs what the rules ask: {:?}",
        needs(&removed)
    );
    assert!(
        needs(&plan(Files::default(), with("").with("bus.toml", rules))).is_empty(),
        "the first rules need no one"
    );
}

//! Tests of decisions: each reason, their order, and that less policy never allows more.

use std::collections::BTreeSet;
use std::sync::Arc;

use chapar_model::Reason;
use proptest::prelude::*;

use crate::registry::Registry;
use crate::testing::{Files, ask, grant};

const WELFARE: &str = "gov/welfare/benefits";
const LOANS: &str = "com/bank/loans";
const COUNTER: &str = "office/north/counter";
const READ: &str = "purpose=desk.read";

fn reason(registry: &Registry, caller: &str, method: &str, words: &str) -> &'static str {
    ask(registry, caller, method, words).map_or_else(|refused| refused.reason.as_str(), |_| "OK")
}

fn with_grant(lines: &str) -> Registry {
    Files::default().with("gov/desk.toml", &grant("welfare-get", WELFARE, lines)).load().unwrap()
}

fn delegated(lines: &str) -> Registry {
    let delegation = format!(
        "[[delegation]]\nid = \"bank-north\"\nto = \"office/north\"\nmethods = [\"desk.v1.Desk/Get\"]\npurposes = [\"desk.read\"]\n{lines}\n"
    );
    let bank = grant(
        "bank-get",
        LOANS,
        "purposes = [\"desk.read\", \"desk.write\"]\nfields = [\"name\", \"place.city\"]\nrequires = [\"case\"]",
    );
    Files::default().with("gov/desk.toml", &bank).with("com/bank.toml", &delegation).load().unwrap()
}

#[test]
fn deny_is_the_default() {
    let registry = Files::default().load().unwrap();
    assert_eq!(reason(&registry, WELFARE, "Get", READ), "NOT_GRANTED");
    assert_eq!(reason(&registry, "gov/nobody/nothing", "Get", READ), "NOT_GRANTED");
}

#[test]
fn a_grant_is_for_one_subsystem_and_one_method() {
    let registry = with_grant("");
    assert_eq!(reason(&registry, WELFARE, "Get", READ), "OK");
    assert_eq!(reason(&registry, WELFARE, "List", READ), "NOT_GRANTED");
    assert_eq!(reason(&registry, LOANS, "Get", READ), "NOT_GRANTED");
}

#[test]
fn a_purpose_is_asked_for_before_anything_else() {
    let registry = with_grant("");
    for caller in [WELFARE, LOANS] {
        assert_eq!(reason(&registry, caller, "Get", ""), "PURPOSE_REQUIRED");
        assert_eq!(reason(&registry, caller, "Get", "purpose=marketing"), "PURPOSE_UNKNOWN");
        assert_eq!(reason(&registry, caller, "Get", "purpose=marketing for=com/bank"), "PURPOSE_UNKNOWN");
    }
}

#[test]
fn a_method_without_purposes_takes_none() {
    let count = "method = \"desk.v1.Desk/Count\"\npurposes = []\nfields = [\"number\"]";
    let registry = with_grant(count);
    assert_eq!(reason(&registry, WELFARE, "Count", ""), "OK");
    assert_eq!(reason(&registry, WELFARE, "Count", READ), "PURPOSE_UNKNOWN");
}

#[test]
fn the_first_and_the_last_day_are_days_of_tehran() {
    let registry = with_grant("valid = { from = 2026-03-21, until = 2026-03-22 }");
    for (at, expected) in [
        ("2026-03-20T20:29:59.999Z", "GRANT_EXPIRED"),
        ("2026-03-20T20:30:00Z", "OK"),
        ("2026-03-22T20:29:59.999Z", "OK"),
        ("2026-03-22T20:30:00Z", "GRANT_EXPIRED"),
    ] {
        assert_eq!(reason(&registry, WELFARE, "Get", &format!("{READ} at={at}")), expected, "{at}");
    }
}

#[test]
fn reasons_come_in_their_order() {
    let registry = with_grant("requires = [\"case\", \"clerk\"]\ncase_pattern = '14\\d\\d/\\d+'");
    for (words, expected) in [
        ("at=2030-01-01T00:00:00Z", "PURPOSE_REQUIRED"),
        ("purpose=desk.write at=2030-01-01T00:00:00Z", "GRANT_EXPIRED"),
        ("purpose=desk.write", "PURPOSE_NOT_GRANTED"),
        ("purpose=desk.read", "CASE_REQUIRED"),
        ("purpose=desk.read clerk=m.karimi case=x", "CASE_INVALID"),
        ("purpose=desk.read clerk=m.karimi case=x1405/7", "CASE_INVALID"),
        ("purpose=desk.read case=1405/7", "CLERK_REQUIRED"),
        ("purpose=desk.read case=1405/7 clerk=m.karimi", "OK"),
    ] {
        assert_eq!(reason(&registry, WELFARE, "Get", words), expected, "{words}");
    }
}

#[test]
fn of_several_grants_the_one_that_holds_answers() {
    let files = Files::default()
        .with("gov/desk.toml", &grant("first", WELFARE, "valid = { from = 2026-01-01, until = 2026-06-30 }"))
        .with("gov/desk.toml", &grant("second", WELFARE, "valid = { from = 2026-07-01, until = 2026-12-31 }"))
        .with("gov/desk.toml", &grant("write", WELFARE, "purposes = [\"desk.write\"]\nfields = [\"note\"]"));
    let registry = files.load().unwrap();
    for (words, id) in [
        ("purpose=desk.read", "first"),
        ("purpose=desk.read at=2026-09-01T00:00:00Z", "second"),
        ("purpose=desk.write", "write"),
    ] {
        assert_eq!(ask(&registry, WELFARE, "Get", words).unwrap().grant.id.as_str(), id);
    }
}

#[test]
fn a_permit_names_what_is_disclosed_and_what_is_withheld_and_always_the_key() {
    let registry = with_grant("fields = [\"place.city\", \"name\"]\nrows = { province = [\"15\", \"16\"] }");
    let permit = ask(&registry, WELFARE, "Get", READ).unwrap();
    assert_eq!(*permit.disclosed, ["id", "name", "place.city"]);
    assert_eq!(*permit.withheld, ["place.street", "note"]);
    assert_eq!(*permit.fields_header, *"id,name,place.city");
    assert_eq!(*permit.rows_header, *"province=15,16");
    assert_eq!(permit.delegation, None);
    let again = ask(&registry, WELFARE, "Get", READ).unwrap();
    assert!(Arc::ptr_eq(&permit, &again), "made once, at load");
}

#[test]
fn another_members_right_is_used_only_by_its_delegation() {
    let registry = delegated("valid = { from = 2026-02-01, until = 2026-06-30 }");
    for (caller, words, expected) in [
        (COUNTER, "purpose=desk.read for=com/bank case=1", "OK"),
        (COUNTER, "purpose=desk.read for=com/bank", "CASE_REQUIRED"),
        (COUNTER, "purpose=desk.read case=1", "NOT_GRANTED"),
        (COUNTER, "purpose=desk.write for=com/bank case=1", "PURPOSE_NOT_GRANTED"),
        (COUNTER, "purpose=desk.read for=gov/welfare case=1", "DELEGATION_NOT_GRANTED"),
        (COUNTER, "purpose=desk.read for=com/bank case=1 at=2026-07-01T00:00:00Z", "DELEGATION_NOT_GRANTED"),
        (WELFARE, "purpose=desk.read for=com/bank case=1", "DELEGATION_NOT_GRANTED"),
        // The bank itself has no delegation from itself.
        (LOANS, "purpose=desk.read for=com/bank case=1", "DELEGATION_NOT_GRANTED"),
        (LOANS, "purpose=desk.write case=1", "OK"),
    ] {
        assert_eq!(reason(&registry, caller, "Get", words), expected, "{caller} {words}");
    }
    let permit = ask(&registry, COUNTER, "Get", "purpose=desk.read for=com/bank case=1").unwrap();
    assert_eq!(permit.delegation.as_ref().map(ToString::to_string).as_deref(), Some("bank-north"));
    assert_eq!(permit.grant.id.as_str(), "bank-get");
}

#[test]
fn a_delegation_outlives_no_grant() {
    let registry = delegated("valid = { from = 2026-01-01, until = 2030-12-31 }");
    let words = "purpose=desk.read for=com/bank case=1 at=2027-06-01T00:00:00Z";
    assert_eq!(reason(&registry, COUNTER, "Get", words), "GRANT_EXPIRED");
}

#[test]
fn a_delegation_may_give_fewer_fields() {
    let registry =
        delegated("valid = { from = 2026-01-01, until = 2026-12-31 }\nfields = [\"place.city\", \"note\"]");
    let permit = ask(&registry, COUNTER, "Get", "purpose=desk.read for=com/bank case=1").unwrap();
    assert_eq!(*permit.disclosed, ["id", "place.city"], "never more than the grant");
}

#[test]
fn a_refusal_names_the_gate_for_the_provider() {
    let registry = delegated("valid = { from = 2026-02-01, until = 2026-06-30 }");
    for (caller, words, detail) in [
        (WELFARE, "purpose=desk.read", "no grant lets gov/welfare/benefits call desk.v1.Desk/Get"),
        (
            LOANS,
            "purpose=desk.read at=2027-06-01T00:00:00Z",
            "grant bank-get is valid from 2026-01-01 until 2026-12-31",
        ),
        (LOANS, "purpose=desk.read", "grant bank-get asks for more"),
        (
            COUNTER,
            "purpose=desk.read for=com/bank at=2026-07-01T00:00:00Z",
            "delegation bank-north is valid from 2026-02-01 until 2026-06-30",
        ),
        (COUNTER, "purpose=desk.write for=com/bank", "delegation bank-north is not for this purpose"),
    ] {
        assert_eq!(ask(&registry, caller, "Get", words).unwrap_err().detail, detail);
    }
}

#[test]
fn of_several_that_come_equally_near_the_first_is_named() {
    let files = Files::default()
        .with("gov/desk.toml", &grant("first", WELFARE, "valid = { from = 2025-01-01, until = 2025-06-30 }"))
        .with(
            "gov/desk.toml",
            &grant("second", WELFARE, "valid = { from = 2025-07-01, until = 2025-12-31 }"),
        );
    let detail = ask(&files.load().unwrap(), WELFARE, "Get", READ).unwrap_err().detail;
    assert_eq!(detail, "grant first is valid from 2025-01-01 until 2025-06-30");
}

#[test]
fn rights_are_those_of_the_day_own_and_delegated() {
    let registry = delegated("valid = { from = 2026-02-01, until = 2026-06-30 }");
    let counter = COUNTER.parse().unwrap();
    let loans = LOANS.parse().unwrap();
    let june = "2026-06-01T00:00:00Z".parse().unwrap();
    let july = "2026-07-02T00:00:00Z".parse().unwrap();
    let rights: Vec<_> = registry.rights(&counter, june).collect();
    assert_eq!(rights.len(), 1);
    assert_eq!(rights[0].purposes.iter().map(ToString::to_string).collect::<Vec<_>>(), ["desk.read"]);
    assert_eq!(rights[0].on_behalf_of.map(ToString::to_string).as_deref(), Some("com/bank"));
    assert_eq!(rights[0].permit.grant.requires.names(), ["case"]);
    assert!(registry.rights(&counter, july).next().is_none());
    assert_eq!(registry.callable(&loans, july).count(), 1);
}

#[test]
fn hours_are_of_days_of_the_week_in_tehran() {
    let registry = with_grant("hours = { days = \"sat-wed\", from = \"07:30\", until = \"14:00\" }");
    // 2026-06-06 is a Saturday; 07:30 in Tehran is 04:00 in Greenwich.
    for (at, expected) in [
        ("2026-06-06T03:59:59Z", "OUT_OF_HOURS"),
        ("2026-06-06T04:00:00Z", "OK"),
        ("2026-06-06T10:29:59Z", "OK"),
        ("2026-06-06T10:30:00Z", "OUT_OF_HOURS"),
        ("2026-06-10T05:00:00Z", "OK"),
        ("2026-06-11T05:00:00Z", "OUT_OF_HOURS"),
        ("2026-06-12T05:00:00Z", "OUT_OF_HOURS"),
        ("2027-01-02T05:00:00Z", "GRANT_EXPIRED"),
    ] {
        assert_eq!(reason(&registry, WELFARE, "Get", &format!("{READ} at={at}")), expected, "{at}");
    }
    let detail =
        ask(&registry, WELFARE, "Get", &format!("{READ} at=2026-06-12T05:00:00Z")).unwrap_err().detail;
    assert_eq!(detail, "grant welfare-get holds on sat, sun, mon, tue, wed from 07:30 until 14:00");
    let over_the_week = with_grant("hours = { days = \"fri-sat\", from = \"00:00\", until = \"24:00\" }");
    for (day, expected) in [("05", "OK"), ("06", "OK"), ("07", "OUT_OF_HOURS"), ("04", "OUT_OF_HOURS")] {
        let words = format!("{READ} at=2026-06-{day}T12:00:00Z");
        assert_eq!(reason(&over_the_week, WELFARE, "Get", &words), expected, "{day}");
    }
}

/// The delegated registry, with this suspended by the operator.
fn suspended(of: &str, window: &str) -> Registry {
    let bank = grant("bank-get", LOANS, "requires = [\"case\"]");
    let welfare = grant("welfare-get", WELFARE, "");
    let delegation = "[[delegation]]\nid = \"bank-north\"\nto = \"office/north\"\nmethods = [\"desk.v1.Desk/Get\"]\npurposes = [\"desk.read\"]\nvalid = { from = 2026-01-01, until = 2026-12-31 }\n";
    let suspension = format!("[[suspension]]\nof = \"{of}\"\nreason = \"a stolen key\"\n{window}\n");
    let files = Files::default().with("gov/desk.toml", &bank).with("gov/desk.toml", &welfare);
    files.with("com/bank.toml", delegation).with("suspensions.toml", &suspension).load().unwrap()
}

#[test]
fn a_suspension_stops_what_it_names_and_nothing_else() {
    let all = |registry: &Registry| {
        [(WELFARE, ""), (LOANS, " case=1"), (COUNTER, " case=1 for=com/bank")]
            .map(|(caller, words)| reason(registry, caller, "Get", &format!("{READ}{words}")))
    };
    for (of, expected) in [
        ("com/bank", ["OK", "SUSPENDED", "SUSPENDED"]),
        ("com/bank/loans", ["OK", "SUSPENDED", "OK"]),
        ("office/north", ["OK", "OK", "SUSPENDED"]),
        ("office/north/counter", ["OK", "OK", "SUSPENDED"]),
        ("grant/bank-get", ["OK", "SUSPENDED", "SUSPENDED"]),
        ("grant/bank-north", ["OK", "OK", "SUSPENDED"]),
        ("grant/welfare-get", ["SUSPENDED", "OK", "OK"]),
        ("gov/desk", ["SUSPENDED"; 3]),
        ("gov/welfare", ["SUSPENDED", "OK", "OK"]),
    ] {
        let registry = suspended(of, "");
        assert_eq!(all(&registry), expected, "{of}");
        let now = "2026-06-01T00:00:00Z".parse().unwrap();
        let rights =
            [WELFARE, LOANS, COUNTER].map(|caller| registry.rights(&caller.parse().unwrap(), now).count());
        assert_eq!(rights, expected.map(|word| usize::from(word == "OK")), "what {of} leaves to be listed");
    }
}

#[test]
fn a_suspension_has_its_time() {
    let registry =
        suspended("gov/welfare", "from = 2026-06-01T10:00:00+03:30\nuntil = 2026-06-01T12:00:00+03:30");
    for (at, expected) in [
        ("2026-06-01T06:29:59Z", "OK"),
        ("2026-06-01T06:30:00Z", "SUSPENDED"),
        ("2026-06-01T08:29:59Z", "SUSPENDED"),
        ("2026-06-01T08:30:00Z", "OK"),
    ] {
        assert_eq!(reason(&registry, WELFARE, "Get", &format!("{READ} at={at}")), expected, "{at}");
    }
}

#[test]
fn an_office_acts_while_its_licence_is_in_force() {
    let licence = "licence = { number = \"L-12\", valid = { from = 2026-03-01, until = 2026-08-31 } }\n";
    let registry = Files::default()
        .edit("office/north.toml", |text| {
            *text = text.replace("\n[[subsystem]]", &format!("{licence}\n[[subsystem]]"))
        })
        .with("gov/desk.toml", &grant("g", COUNTER, ""))
        .load()
        .unwrap();
    for (month, expected) in [("02", "SUSPENDED"), ("03", "OK"), ("08", "OK"), ("09", "SUSPENDED")] {
        let words = format!("{READ} at=2026-{month}-15T12:00:00Z");
        assert_eq!(reason(&registry, COUNTER, "Get", &words), expected, "{month}");
    }
}

#[test]
fn a_hidden_service_is_there_for_those_alone_who_have_a_right_to_it() {
    let registry = Files::default()
        .replace("gov/desk.toml", "[[service]]", "[[service]]\nhidden = true")
        .with("gov/desk.toml", &grant("g", WELFARE, ""))
        .load()
        .unwrap();
    for words in ["", READ, "purpose=other", "purpose=desk.read for=com/bank"] {
        assert_eq!(reason(&registry, LOANS, "Get", words), "METHOD_UNKNOWN", "{words}");
    }
    assert_eq!(reason(&registry, WELFARE, "List", READ), "METHOD_UNKNOWN");
    assert_eq!(reason(&registry, WELFARE, "Get", READ), "OK");
    assert_eq!(
        reason(&registry, WELFARE, "Get", "purpose=desk.read at=2030-01-01T00:00:00Z"),
        "GRANT_EXPIRED"
    );
    let seen = |caller: &str| registry.method_for(&caller.parse().unwrap(), "desk.v1.Desk/Get").is_some();
    assert_eq!((seen(WELFARE), seen(LOANS)), (true, false));
}

/// Three offices in two counties, and groups of them.
fn offices(groups: &str, to: &str) -> Files {
    let file = |county: &str| {
        let issuer = "ab".repeat(32);
        format!(
            "[member]\nname = {{ fa = \"x\", en = \"x\" }}\nissuers = [\"sha256:{issuer}\"]\n\
             attributes = {{ county = \"{county}\", kind = \"post\" }}\n\n\
             [[subsystem]]\nid = \"counter\"\n\n[[subsystem]]\nid = \"scanner\"\n"
        )
    };
    Files::default()
        .with("office/a.toml", &file("1501"))
        .with("office/b.toml", &file("1502"))
        .with("office/c.toml", &file("1601"))
        .with("gov/desk.toml", groups)
        .with("gov/desk.toml", &grant("shared", to, ""))
}

/// Which of the offices' systems may call.
fn allowed(files: Files) -> Vec<String> {
    let registry = files.load().unwrap_or_else(|errors| panic!("{errors}"));
    let systems =
        ["a", "b", "c"].iter().flat_map(|office| ["counter", "scanner"].map(|s| format!("{office}/{s}")));
    systems.filter(|system| reason(&registry, &format!("office/{system}"), "Get", READ) == "OK").collect()
}

#[test]
fn offices_share_one_grant_by_a_list_or_by_what_they_are() {
    let group = |lines: &str| allowed(offices(&format!("[[group]]\nid = \"g\"\n{lines}\n"), "group/g"));
    assert_eq!(group("members = [\"office/a\"]"), ["a/counter", "a/scanner"]);
    assert_eq!(
        group("members = [\"office/a\", \"office/c\"]\nsubsystem = \"counter\""),
        ["a/counter", "c/counter"]
    );
    let county = "where = { county = [\"1501\", \"1502\"] }\nsubsystem = \"counter\"";
    assert_eq!(group(county), ["a/counter", "b/counter"]);
    assert_eq!(group(&format!("{county}\nclass = \"gov\"")), [""; 0]);
    assert_eq!(
        group(&format!("{county}\nmembers = [\"office/c\"]")),
        ["a/counter", "b/counter", "c/counter"]
    );
    assert_eq!(
        group("where = { county = [\"1501\"], kind = [\"bank\"] }"),
        [""; 0],
        "every attribute counts"
    );
}

#[test]
fn a_grant_of_a_group_names_it() {
    let registry = offices("[[group]]\nid = \"g\"\nmembers = [\"office/a\"]\n", "group/g").load().unwrap();
    assert_eq!(registry.grants().next().unwrap().to.to_string(), "group/g");
    let permit = ask(&registry, "office/a/counter", "Get", READ).unwrap();
    assert_eq!(permit.grant.id.as_str(), "shared");
}

#[test]
fn a_member_of_a_group_can_delegate_what_the_group_has() {
    let delegation = "[[delegation]]\nid = \"d\"\nto = \"office/north\"\nmethods = [\"desk.v1.Desk/Get\"]\npurposes = [\"desk.read\"]\nvalid = { from = 2026-01-01, until = 2026-12-31 }\n";
    let registry = offices("[[group]]\nid = \"g\"\nmembers = [\"office/a\"]\n", "group/g")
        .with("office/a.toml", delegation)
        .load()
        .unwrap();
    assert_eq!(reason(&registry, COUNTER, "Get", "purpose=desk.read for=office/a"), "OK");
    assert_eq!(reason(&registry, COUNTER, "Get", "purpose=desk.read for=office/b"), "DELEGATION_NOT_GRANTED");
}

/// One grant of a small universe.
#[derive(Clone, Debug)]
struct Made {
    caller: &'static str,
    purposes: Vec<&'static str>,
    fields: Vec<&'static str>,
    months: (u8, u8),
    case: bool,
}

fn made() -> impl Strategy<Value = Made> {
    let subset = |of: Vec<&'static str>| prop::sample::subsequence(of.clone(), 1..=of.len());
    (
        prop::sample::select(vec![WELFARE, LOANS]),
        subset(vec!["desk.read", "desk.write"]),
        subset(vec!["name", "place.city", "place.street", "note"]),
        (1..=12u8, 1..=12u8),
        any::<bool>(),
    )
        .prop_map(|(caller, purposes, fields, (a, b), case)| Made {
            caller,
            purposes,
            fields,
            months: (a.min(b), a.max(b)),
            case,
        })
}

fn quoted(words: &[&str]) -> String {
    words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ")
}

/// The registry of these grants, with a delegation of all that the bank may read.
fn universe(grants: &[&Made]) -> Option<Registry> {
    let mut files = Files::default();
    for (index, made) in grants.iter().enumerate() {
        let lines = format!(
            "purposes = [{}]\nfields = [{}]\nvalid = {{ from = 2026-{:02}-01, until = 2026-{:02}-28 }}\nrequires = [{}]",
            quoted(&made.purposes),
            quoted(&made.fields),
            made.months.0,
            made.months.1,
            if made.case { "\"case\"" } else { "" },
        );
        files = files.with("gov/desk.toml", &grant(&format!("g{index}"), made.caller, &lines));
    }
    if grants.iter().any(|made| made.caller == LOANS && made.purposes.contains(&"desk.read")) {
        let delegation = "[[delegation]]\nid = \"d\"\nto = \"office/north\"\nmethods = [\"desk.v1.Desk/Get\"]\npurposes = [\"desk.read\"]\nvalid = { from = 2026-03-01, until = 2026-09-30 }\n";
        files = files.with("com/bank.toml", delegation);
    }
    files.load().ok()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn removing_a_grant_never_allows_more(candidates in prop::collection::vec(made(), 1..7), removed in any::<prop::sample::Index>()) {
        // Grants that overlap are refused at load: keep those that stand together.
        let mut grants: Vec<&Made> = Vec::new();
        for candidate in &candidates {
            grants.push(candidate);
            if universe(&grants).is_none() {
                grants.pop();
            }
        }
        let more = universe(&grants).expect("stands");
        grants.remove(removed.index(grants.len()));
        let less = universe(&grants).expect("fewer grants stand as well");
        for caller in [WELFARE, LOANS, COUNTER] {
            for month in 1..=12 {
                for purpose in ["", "purpose=desk.read", "purpose=desk.write", "purpose=other"] {
                    for rest in ["", "case=1", "case=1 for=com/bank", "for=gov/welfare"] {
                        let words = format!("{purpose} {rest} at=2026-{month:02}-15T12:00:00Z");
                        let (Ok(after), before) = (ask(&less, caller, "Get", &words), ask(&more, caller, "Get", &words)) else {
                            continue;
                        };
                        let before = before.map_err(|refused| TestCaseError::fail(format!("{caller} {words}: was {}", refused.reason)))?;
                        let fields = |paths: &[String]| paths.iter().cloned().collect::<BTreeSet<_>>();
                        prop_assert!(fields(&after.disclosed).is_subset(&fields(&before.disclosed)), "{caller} {words}");
                    }
                }
            }
        }
    }

    #[test]
    fn every_question_has_an_answer(
        caller in prop::sample::select(vec![WELFARE, LOANS, COUNTER, "gov/nobody/nothing"]),
        method in prop::sample::select(vec!["Get", "List", "Count"]),
        purpose in prop::sample::select(vec!["", "purpose=desk.read", "purpose=desk.write", "purpose=other"]),
        rest in prop::sample::select(vec!["", "case=1", "clerk=k", "for=com/bank", "for=gov/nobody case=1"]),
        seconds in -377_000_000_000i64..=253_000_000_000,
    ) {
        let registry = delegated("valid = { from = 2026-02-01, until = 2026-06-30 }");
        let at = jiff::Timestamp::from_second(seconds).unwrap();
        if let Err(refused) = ask(&registry, caller, method, &format!("{purpose} {rest} at={at}")) {
            prop_assert!(Reason::ALL.contains(&refused.reason));
            prop_assert!(!refused.detail.is_empty());
        }
    }
}

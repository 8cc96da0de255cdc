//! Tests that registries with errors do not load, and that each error has its kind, its place and a way to
//! correct it.

use chapar_model::{Identity, Reason};

use crate::entry::{PassedMetadata, Server};
use crate::operator::Role;
use crate::registry::Registry;
use crate::testing::{CONTRACT, Files, grant};

const WELFARE: &str = "gov/welfare/benefits";

/// The one finding of a registry with one mistake in the provider's grant.
fn of_grant(lines: &str) -> String {
    Files::default().with("gov/desk.toml", &grant("g", WELFARE, lines)).errors()
}

fn check(errors: &str, parts: &[&str]) {
    for part in parts {
        assert!(errors.contains(part), "{part:?} in\n{errors}");
    }
    assert_eq!(errors.lines().count(), 1, "nothing else:\n{errors}");
}

#[test]
fn a_good_registry_loads_and_identifies_its_subsystems() {
    let registry = Files::default().with("gov/desk.toml", &grant("g", WELFARE, "")).load().unwrap();
    let identity = |text: &str| text.parse::<Identity>().unwrap();
    let known = identity("spiffe://bus.example/gov/welfare/benefits");
    let reason = |identity: &Identity, issuer: &[u8; 32]| {
        registry.identify(identity, issuer).map(|known| known.id.to_string())
    };
    assert_eq!(reason(&known, &[0xab; 32]), Ok(WELFARE.to_owned()));
    assert_eq!(reason(&known, &[0xac; 32]).unwrap_err().as_str(), "ISSUER_NOT_ALLOWED");
    for stranger in ["spiffe://bus.example/gov/welfare/other", "spiffe://other.example/gov/welfare/benefits"]
    {
        assert_eq!(reason(&identity(stranger), &[0xab; 32]).unwrap_err().as_str(), "IDENTITY_UNKNOWN");
    }
    assert!(registry.method("desk.v1.Desk/Get").is_some());
    for path in ["desk.v1.Desk/get", "/desk.v1.Desk/Get", "desk.v1.Desk/Get/", "desk.v1.Desk"] {
        assert!(registry.method(path).is_none(), "{path}");
    }
    let service = registry.services().next().unwrap();
    assert_eq!(
        (service.provider.as_str(), service.methods().len(), service.concurrent),
        ("gov/desk", 4, None)
    );
}

#[test]
fn the_digest_is_over_names_and_bytes() {
    let digest = |files: Files| files.load().unwrap().digest().to_owned();
    let first = digest(Files::default());
    assert_eq!(first, digest(Files::default()));
    assert!(first.starts_with("sha256:") && first.len() == 71);
    assert_ne!(first, digest(Files::default().with("gov/welfare.toml", "# a comment")));
}

#[test]
fn a_name_that_is_not_known_is_told_with_the_nearest_one() {
    check(
        &of_grant("purposes = [\"desk.raed\"]"),
        &[
            "registry/gov/desk.toml:",
            "`desk.raed` is no purpose of desk.v1.Desk/Get",
            "did you mean `desk.read`?",
        ],
    );
    check(&of_grant("fields = [\"nam\"]"), &["no field `nam`", "did you mean `name`?"]);
    check(
        &of_grant("fields = [\"place\"]"),
        &["no field `place`", "name the fields in it: place.city, place.street"],
    );
    check(&of_grant("rows = { provinces = [\"15\"] }"), &["no row scope", "did you mean `province`?"]);
    check(
        &of_grant("method = \"desk.v1.Desk/Gett\""),
        &["has the method `desk.v1.Desk/Gett`", "`desk.v1.Desk/Get`?"],
    );
    check(&of_grant("requires = [\"clark\"]"), &["cannot require `clark`", "did you mean `clerk`?"]);
    let errors = Files::default().with("gov/desk.toml", &grant("g", "gov/welfare/benefit", "")).errors();
    check(&errors, &["`gov/welfare/benefit` is not registered", "did you mean `gov/welfare/benefits`?"]);
    check(
        &Files::default().replace("gov/desk.toml", "desk.v1.Desk", "desk.v1.Desc").errors(),
        &["no loaded contract has the service `desk.v1.Desc`", "did you mean `desk.v1.Desk`?"],
    );
    check(&of_grant("purpose = [\"desk.read\"]"), &["unknown field `purpose`", "did you mean `purposes`?"]);
    check(
        &Files::default().with("gov/welfare.toml", "[[grants]]\nid = \"g\"").errors(),
        &["gov/welfare.toml:8:3: `grants` is no table of this file", "did you mean `grant`?"],
    );
}

#[test]
fn a_finding_points_at_line_and_column() {
    let errors = Files::default()
        .edit("gov/welfare.toml", |text| *text = text.replace("\"welfare\", en", "\"بهزیستی\", sv"))
        .errors();
    check(&errors, &["registry/gov/welfare.toml:2:26: unknown field `sv`"]);
}

#[test]
fn values_are_bounded() {
    for (lines, part) in [
        ("limit = { rate = \"20\" }", "not a valid rate"),
        ("limit = { rate = \"0/s\" }", "not a valid rate"),
        ("limit = { burst = 5 }", "`burst` without `rate`"),
        ("limit = { rate = \"1/s\", burst = 0 }", "expected a nonzero u32"),
        ("limit = { rate = \"1/s\", burst = 1000001 }", "the largest burst is 1000000"),
        ("limit = { concurrent = 0 }", "expected a nonzero u32"),
        ("limit = { daily = 0 }", "expected a nonzero u32"),
        ("limit = { subjects = {} }", "`subjects` has an `hour`, a `day` or both"),
        ("limit = { subjects = { week = 5 } }", "unknown field `week`"),
        (
            "limit = { subjects = { day = 5 }, clerk_subjects = { day = 5 } }",
            "without `requires = [\"clerk\"]`",
        ),
        (
            "requires = [\"clerk\"]\nlimit = { clerk_subjects = { day = 5 } }",
            "`clerk_subjects` without `subjects`",
        ),
        ("valid = { from = 2026-02-01, until = 2026-01-31 }", "`until` is before `from`"),
        ("valid = { from = 2026-02-01T00:00:00Z, until = 2026-03-31 }", "this must be a day"),
        ("valid = { from = 2026-02-01 }", "missing field `until`"),
        ("valid = { from = 1405-01-01, until = 2027-03-20 }", "a registry has Gregorian days: 2026-03-21"),
        ("valid = { from = 2026-02-01, until = 1405-12-29 }", "a registry has Gregorian days: 2027-03-20"),
        ("valid = { from = 2026-02-01, until = 9999-12-31 }", "`until` is at most 9999-12-30"),
        ("fields = []", "at least one field"),
        ("purposes = []", "the grant needs `purposes`: at least one of desk.read, desk.write"),
        ("rows = { province = [] }", "at least one value"),
        ("rows = { province = [\"1,5\"] }", "at least one value"),
        ("case_pattern = 'x'", "without `requires"),
        ("requires = [\"case\"]\ncase_pattern = '('", "no regular expression"),
        ("citizen = \"hidden\"", "`shown` or `after`"),
    ] {
        check(&of_grant(lines), &[part]);
    }
}

#[test]
fn a_member_without_issuers_or_with_a_malformed_one_does_not_load() {
    let issuers = |text: &str| {
        let hash = format!("[\"sha256:{}\"]", "ab".repeat(32));
        Files::default().replace("gov/welfare.toml", &hash, text).errors()
    };
    check(&issuers("[]"), &["gov/welfare.toml:3:11", "name at least one"]);
    check(&issuers("[\"sha256:ab\"]"), &["64 hexadecimal digits"]);
    check(&issuers(&format!("[\"sha256:{}\"]", "AB".repeat(32))), &["64 hexadecimal digits"]);
    let without = Files::default().edit("gov/welfare.toml", |text| {
        *text = text.lines().filter(|line| !line.starts_with("issuers")).collect::<Vec<_>>().join("\n");
    });
    check(&without.errors(), &["missing field `issuers`"]);
}

#[test]
fn an_own_grpc_server_passes_only_metadata_that_is_named_and_tells_no_identity() {
    let service = |more: &str| {
        Files::default().replace("gov/desk.toml", "[[service]]", &format!("[[service]]\n{more}"))
    };
    let good = "server = \"grpc\"\nmetadata = { request = [\"x-region\"], response = [\"page-hint-bin\"] }";
    let registry = service(good).load().unwrap();
    let passed = PassedMetadata { request: vec!["x-region".into()], response: vec!["page-hint-bin".into()] };
    assert_eq!(registry.services().next().unwrap().server, Server::Grpc(passed));
    for name in ["x-forwarded-for", "x_agency_id", "chapar-caller", "grpc-timeout", "authorization-bin"] {
        let text = format!("server = \"grpc\"\nmetadata = {{ request = [\"{name}\"] }}");
        check(&service(&text).errors(), &["never passed on"]);
    }
    for name in ["X-Region", "", "x region"] {
        let text = format!("server = \"grpc\"\nmetadata = {{ response = [\"{name}\"] }}");
        check(&service(&text).errors(), &["a name of metadata has letters"]);
    }
    check(&service("server = \"soap\"").errors(), &["no kind of server"]);
    check(&service("metadata = { response = [\"x-region\"] }").errors(), &["an adapter has no metadata"]);
}

#[test]
fn rows_that_an_own_grpc_server_could_not_be_held_to_do_not_load() {
    let own = |lines: &str| {
        Files::default()
            .replace("gov/desk.toml", "[[service]]", "[[service]]\nserver = \"grpc\"")
            .with("gov/desk.toml", &grant("g", WELFARE, lines))
    };
    check(&own("rows = { province = [\"15\"] }").errors(), &["rows by `province` cannot be held"]);
    assert!(own("").load().is_ok());
    assert!(
        Files::default()
            .with("gov/desk.toml", &grant("g", WELFARE, "rows = { province = [\"15\"] }"))
            .load()
            .is_ok()
    );
}

#[test]
fn a_service_is_held_to_its_digest_and_its_adapters() {
    let service = |from: &str, to: &str| Files::default().replace("gov/desk.toml", from, to).errors();
    let right = format!("digest = \"{}\"", CONTRACT.digest());
    check(&service(CONTRACT.digest(), "sha256:00"), &["not the one with this digest", &right]);
    check(&service("gov/desk/adapter\"", "gov/desk/adaptor\""), &["not registered", "gov/desk/adapter`?"]);
    check(&service("bus.example/gov/desk", "other.example/gov/desk"), &["of the trust domain bus.example"]);
    check(&service("spiffe://", "https://"), &["not a valid identity"]);
    check(&service("[\"spiffe://bus.example/gov/desk/adapter\"]", "[]"), &["name at least one adapter"]);
    check(&service("https://10", "http://10"), &["https://HOST:PORT"]);
    let twice = Files::default().edit("gov/desk.toml", |text| {
        let service = text.split_once("[[service]]").unwrap().1.to_owned();
        text.push_str(&format!("\n[[service]]{service}"));
    });
    check(&twice.errors(), &["registered already, by gov/desk"]);
}

#[test]
fn a_grant_is_given_by_the_provider_and_no_one_else() {
    let errors = Files::default().with("com/bank.toml", &grant("g", WELFARE, "")).errors();
    check(&errors, &["com/bank.toml", "desk.v1.Desk/Get is gov/desk's to grant, not com/bank's"]);
}

#[test]
fn two_grants_for_the_same_call_on_the_same_day_do_not_load() {
    let two = |lines: &str| {
        let second = grant("second", WELFARE, lines);
        Files::default().with("gov/desk.toml", &grant("first", WELFARE, "")).with("gov/desk.toml", &second)
    };
    check(&two("").errors(), &["`second` and `first` answer the same call", "gov/desk.toml:15"]);
    check(&two("valid = { from = 2026-12-31, until = 2027-01-01 }").errors(), &["same day"]);
    assert!(two("valid = { from = 2027-01-01, until = 2027-12-31 }").load().is_ok());
    assert!(two("purposes = [\"desk.write\"]").load().is_ok());
}

#[test]
fn ids_are_unique_among_grants_and_delegations() {
    let both = Files::default()
        .with("gov/desk.toml", &grant("same", "com/bank/loans", ""))
        .with("com/bank.toml", &delegation("same", "office/north", "desk.v1.Desk/Get", ""));
    check(&both.errors(), &["the id `same` is taken", "the first is at registry/"]);
}

fn delegation(id: &str, to: &str, method: &str, lines: &str) -> String {
    format!(
        "[[delegation]]\nid = \"{id}\"\nto = \"{to}\"\nmethods = [\"{method}\"]\npurposes = [\"desk.read\"]\nvalid = {{ from = 2026-01-01, until = 2026-12-31 }}\n{lines}\n"
    )
}

#[test]
fn no_one_delegates_what_it_does_not_have() {
    let files = || Files::default().with("gov/desk.toml", &grant("g", "com/bank/loans", ""));
    let delegate = |to: &str, method: &str, lines: &str| {
        files().with("com/bank.toml", &delegation("d", to, method, lines)).errors()
    };
    check(
        &delegate("office/north", "desk.v1.Desk/List", ""),
        &["com/bank has no grant for desk.v1.Desk/List"],
    );
    check(&delegate("office/north", "desk.v1.Desk/Get", "fields = [\"note\"]"), &["has no grant", "fields"]);
    check(
        &delegate("office/north", "desk.v1.Desk/Get", "fields = [\"nme\"]\n"),
        &["`nme`", "did you mean `name`?"],
    );
    check(
        &delegate("office/nort", "desk.v1.Desk/Get", ""),
        &["`office/nort` is not registered", "`office/north`?"],
    );
    check(&delegate("office/north/desk", "desk.v1.Desk/Get", ""), &["`office/north/desk` is not registered"]);
    let purposes = delegation("d", "office/north", "desk.v1.Desk/Get", "").replace("desk.read", "desk.raed");
    let errors = files().with("com/bank.toml", &purposes).errors();
    assert!(errors.contains("did you mean `desk.read`?"), "{errors}");
}

#[test]
fn two_ways_to_one_delegated_call_do_not_load() {
    let twice = Files::default()
        .with("gov/desk.toml", &grant("g", "com/bank/loans", ""))
        .with("com/bank.toml", &delegation("d1", "office/north", "desk.v1.Desk/Get", ""))
        .with("com/bank.toml", &delegation("d2", "office/north/counter", "desk.v1.Desk/Get", ""));
    check(&twice.errors(), &["`d2` by the grant `g` and `d1` by the grant `g`"]);
}

#[test]
fn groups_are_told_with_their_place() {
    let group = |group: &str, to: &str| {
        let files = Files::default().with("gov/desk.toml", &format!("[[group]]\n{group}\n"));
        files.with("gov/desk.toml", &grant("g", to, "")).errors()
    };
    let list = "id = \"all\"\nmembers = [\"gov/welfare\"]";
    check(&group(list, "group/al"), &["there is no group `al`", "did you mean `group/all`?"]);
    check(&group("id = \"All\"\nmembers = [\"gov/welfare\"]", WELFARE), &["a group's id is 1 to 63"]);
    check(&group("id = \"all\"", WELFARE), &["a group has `members`, or `where`"]);
    check(&group("id = \"all\"\nmembers = [\"gov/welfar\"]", WELFARE), &["did you mean `gov/welfare`?"]);
    check(&group(&format!("{list}\nclass = \"gov\""), WELFARE), &["`class` narrows `where`"]);
    check(
        &group("id = \"all\"\nwhere = { county = [\"1\"] }", WELFARE),
        &["no member has the attribute `county`"],
    );
    let attributes = |group: &str| {
        let files = Files::default().replace(
            "gov/welfare.toml",
            "\n[[subsystem]]",
            "attributes = { county = \"15\" }\n\n[[subsystem]]",
        );
        files.with("gov/desk.toml", &format!("[[group]]\nid = \"all\"\n{group}\n")).errors()
    };
    check(&attributes("where = { conty = [\"15\"] }"), &["did you mean `county`?"]);
    check(&attributes("where = { county = [] }"), &["no member has one of no values"]);
    check(&attributes("where = { county = [\"15\"] }\nclass = \"ngo\""), &["not a valid member class"]);
    let twice = Files::default()
        .with("gov/desk.toml", &format!("[[group]]\n{list}\n"))
        .with("bus.toml", &format!("[[group]]\n{list}\n"));
    check(&twice.errors(), &["the group `all` is there twice", "the first is at registry/bus.toml"]);
}

#[test]
fn a_grant_goes_by_its_own_groups_and_those_of_the_bus_and_by_no_one_elses() {
    let group = "[[group]]\nid = \"all\"\nmembers = [\"gov/welfare\"]\n";
    let granted =
        |file: &str| Files::default().with(file, group).with("gov/desk.toml", &grant("g", "group/all", ""));
    assert!(granted("gov/desk.toml").load().is_ok() && granted("bus.toml").load().is_ok());
    check(
        &granted("gov/welfare.toml").errors(),
        &["the group is another member's", "registry/gov/welfare.toml"],
    );
    let clash = granted("bus.toml").with("gov/desk.toml", &grant("h", WELFARE, ""));
    check(&clash.errors(), &["`h` and `g` answer the same call"]);
}

#[test]
fn hours_and_licences_have_their_form() {
    for (lines, part) in [
        ("hours = { from = \"7:00\", until = \"14:00\" }", "an hour is written `07:30`"),
        ("hours = { from = \"07:00\", until = \"24:01\" }", "an hour is written `07:30`"),
        ("hours = { from = \"07:60\", until = \"14:00\" }", "an hour is written `07:30`"),
        ("hours = { from = \"14:00\", until = \"07:00\" }", "`until` is after `from`"),
        (
            "hours = { days = \"mon-sat-tue\", from = \"07:00\", until = \"14:00\" }",
            "days are one of sat, sun",
        ),
        ("hours = { days = \"monday\", from = \"07:00\", until = \"14:00\" }", "days are one of sat, sun"),
    ] {
        check(&of_grant(lines), &[part]);
    }
    let licence = |file: &str, number: &str| {
        let text = format!(
            "licence = {{ number = \"{number}\", valid = {{ from = 2026-01-01, until = 2026-12-31 }} }}\n\n[[subsystem]]"
        );
        Files::default().replace(file, "\n[[subsystem]]", &text).errors()
    };
    check(&licence("gov/welfare.toml", "1"), &["only an office has a licence"]);
    check(&licence("office/north.toml", " "), &["a licence has a number"]);
}

#[test]
fn a_suspension_is_of_something_and_of_ones_own() {
    let suspension =
        |of: &str, more: &str| format!("[[suspension]]\nof = \"{of}\"\nreason = \"r\"\n{more}\n");
    let files = || Files::default().with("gov/desk.toml", &grant("g", WELFARE, ""));
    let by_operator = |of: &str, more: &str| files().with("suspensions.toml", &suspension(of, more)).errors();
    check(&by_operator("grant/h", ""), &["no grant or delegation has the id `h`", "did you mean `grant/g`?"]);
    check(&by_operator("gov/welfar", ""), &["did you mean `gov/welfare`?"]);
    check(&by_operator("gov/welfare/benefit", ""), &["did you mean `gov/welfare/benefits`?"]);
    check(&by_operator("gov/welfare", "from = 2026-01-01"), &["this must be a moment"]);
    check(
        &by_operator("gov/welfare", "from = 2026-01-02T00:00:00Z\nuntil = 2026-01-02T00:00:00Z"),
        &["`until` is not after `from`"],
    );
    check(
        &files().with("suspensions.toml", "[[suspension]]\nof = \"gov/welfare\"\nreason = \" \"\n").errors(),
        &["a suspension says why"],
    );
    for (file, of) in
        [("gov/desk.toml", "grant/g"), ("gov/desk.toml", "gov/desk"), ("gov/desk.toml", "gov/desk/adapter")]
    {
        assert!(files().with(file, &suspension(of, "")).load().is_ok(), "{of}");
    }
    for (file, of) in [
        ("gov/welfare.toml", "grant/g"),
        ("gov/desk.toml", "gov/welfare"),
        ("gov/desk.toml", "gov/welfare/benefits"),
    ] {
        check(
            &files().with(file, &suspension(of, "")).errors(),
            &["a member suspends what is its own", "suspensions.toml"],
        );
    }
}

#[test]
fn no_test_holds_up_a_suspension_and_one_may_expect_it() {
    let suspension = "[[suspension]]\nof = \"gov/welfare\"\nreason = \"r\"\n";
    assert!(tested("allow = [\"name\"]").with("suspensions.toml", suspension).load().is_ok());
    assert!(tested("expect = \"SUSPENDED\"").with("suspensions.toml", suspension).load().is_ok());
    check(&tested("expect = \"SUSPENDED\"").errors(), &["but it is refused with CASE_REQUIRED"]);
}

#[test]
fn a_test_is_asked_within_the_hours_of_its_grant() {
    let files = |lines: &str| {
        let test = format!(
            "[[test]]\nas = \"{WELFARE}\"\ncall = \"desk.v1.Desk/Get\"\npurpose = \"desk.read\"\n{lines}\n"
        );
        let hours = "hours = { days = \"fri\", from = \"08:00\", until = \"09:00\" }";
        Files::default().with("gov/desk.toml", &grant("g", WELFARE, hours)).with("gov/welfare.toml", &test)
    };
    assert!(files("allow = [\"name\"]").load().is_ok());
    assert!(files("on = 2026-02-01\nexpect = \"OUT_OF_HOURS\"").load().is_ok());
}

#[test]
fn a_jalali_day_of_a_suspension_or_a_test_is_told_with_its_gregorian_one() {
    let gregorian = &["a registry has Gregorian days: 2026-11-27"];
    for moment in ["from = 1405-09-06T10:00:00+03:30", "until = 1405-09-06T10:00:00+03:30"] {
        let suspension = format!("[[suspension]]\nof = \"gov/welfare\"\nreason = \"r\"\n{moment}\n");
        check(&Files::default().with("suspensions.toml", &suspension).errors(), gregorian);
    }
    check(&tested("on = 1405-09-06\nexpect = \"CASE_REQUIRED\"").errors(), gregorian);
}

fn tested(lines: &str) -> Files {
    let test = format!(
        "[[test]]\nas = \"{WELFARE}\"\ncall = \"desk.v1.Desk/Get\"\npurpose = \"desk.read\"\n{lines}\n"
    );
    let lines = "requires = [\"case\"]\nvalid = { from = 2026-01-01, until = 2026-06-30 }";
    Files::default().with("gov/desk.toml", &grant("g", WELFARE, lines)).with("gov/welfare.toml", &test)
}

#[test]
fn a_test_that_holds_lets_the_registry_load() {
    for lines in [
        "allow = [\"name\"]\ndeny = [\"note\", \"place.street\"]",
        "expect = \"CASE_REQUIRED\"",
        "on = 2026-07-01\nexpect = \"GRANT_EXPIRED\"",
        "on_behalf_of = \"com/bank\"\nexpect = \"DELEGATION_NOT_GRANTED\"",
        "on = 2026-07-01\ndeny = [\"name\"]",
    ] {
        tested(lines).load().unwrap_or_else(|errors| panic!("{lines}\n{errors}"));
    }
}

#[test]
fn a_test_that_fails_blocks_the_load_and_points_at_itself() {
    let place = "registry/gov/welfare.toml:";
    check(
        &tested("deny = [\"name\"]").errors(),
        &[place, "the grant g gives `name`", "the grant is at registry/gov/desk.toml:15"],
    );
    check(&tested("allow = [\"note\"]").errors(), &[place, "the grant g does not give `note`"]);
    check(&tested("on = 2026-07-01\nallow = [\"name\"]").errors(), &[place, "refused with GRANT_EXPIRED"]);
    check(
        &tested("case = \"1\"\nexpect = \"NOT_GRANTED\"").errors(),
        &[place, "but it is allowed: by the grant g"],
    );
    check(&tested("expect = \"NOT_GRANTED\"").errors(), &[place, "but it is refused with CASE_REQUIRED"]);
}

#[test]
fn a_test_that_checks_nothing_or_names_the_unknown_is_a_mistake() {
    check(&tested("").errors(), &["a test has `allow` and `deny`, or `expect`"]);
    check(
        &tested("allow = [\"name\"]\nexpect = \"NOT_GRANTED\"").errors(),
        &["a test has `allow` and `deny`, or `expect`"],
    );
    check(&tested("deny = [\"nmae\"]").errors(), &["did you mean `name`?"]);
    check(&tested("expect = \"NOT_GRANTD\"").errors(), &["did you mean `NOT_GRANTED`?"]);
}

#[test]
fn files_are_where_members_can_be() {
    check(
        &Files::default().with("gov/deep/welfare.toml", "").errors(),
        &["gov/deep/welfare.toml:1:1: this is no member's file"],
    );
    check(
        &Files::default().with("ngo/welfare.toml", "").errors(),
        &["this is no member's file", "CLASS is gov, com"],
    );
    check(&Files::default().with("gov/empty.toml", "").errors(), &["the table `[member]` is missing"]);
    check(
        &Files::default().edit("bus.toml", String::clear).errors(),
        &["bus.toml:1:1: the table `[bus]` is missing"],
    );
    check(&Files::default().with("bus.toml", "[member]").errors(), &["`member` is no table of this file"]);
}

#[test]
fn all_mistakes_of_all_files_are_told_at_once_and_nothing_that_only_follows() {
    let errors = Files::default()
        .with(
            "gov/desk.toml",
            &grant("a", WELFARE, "purposes = [\"x.y\"]\nfields = [\"nope\"]\nlimit = { burst = 3 }"),
        )
        .with("gov/desk.toml", &grant("b", "gov/broken/system", ""))
        .with("gov/desk.toml", &grant("c", WELFARE, "fields = 5"))
        .with("gov/broken.toml", "[member\n")
        .with("com/bank.toml", &delegation("d", "office/north", "desk.v1.Desk/Get", ""))
        .errors();
    for part in ["`x.y`", "`nope`", "`burst` without", "invalid type: integer `5`", "gov/broken.toml:2:8"] {
        assert!(errors.contains(part), "{part} in\n{errors}");
    }
    assert!(!errors.contains("gov/broken/system"), "its file is broken, so it may be there:\n{errors}");
    assert!(
        !errors.contains("com/bank"),
        "the grant that it needs may be the one with the mistake:\n{errors}"
    );
}

#[test]
fn a_terminal_shows_the_lines_with_a_mark_under_the_place() {
    let errors = Files::default()
        .with("gov/desk.toml", &grant("a", WELFARE, "purposes = [\"desk.raed\"]\nfields = [\"nope\"]"))
        .load()
        .unwrap_err();
    let mut shown = String::new();
    let handler = miette::GraphicalReportHandler::new_themed(miette::GraphicalTheme::unicode_nocolor());
    handler.render_report(&mut shown, &errors).unwrap();
    for part in [
        "chapar::registry::unknown_purpose",
        "[registry/gov/desk.toml:18:13]",
        "purposes = [\"desk.raed\"]",
        "not one of: desk.read, desk.write",
        "help: did you mean `desk.read`?",
        "chapar::registry::unknown_field",
    ] {
        assert!(shown.contains(part), "{part} in\n{shown}");
    }
}

#[test]
fn an_operator_is_a_registered_subsystem_with_roles_that_exist() {
    let operator = |id: &str, roles: &str| format!("[[operator]]\nid = \"{id}\"\nroles = [{roles}]\n");
    let bus = |text: &str| Files::default().with("bus.toml", text);
    let registry = bus(&operator(WELFARE, "\"viewer\"")).load().unwrap();
    let now = "2026-06-01T00:00:00Z".parse().unwrap();
    let check_role =
        |registry: &Registry, id: &str| registry.check_role(&id.parse().unwrap(), Role::Viewer, now);
    assert_eq!(check_role(&registry, WELFARE), Ok(()));
    assert_eq!(check_role(&registry, "gov/desk/adapter"), Err(Reason::NotGranted));
    for of in [WELFARE, "gov/welfare"] {
        let stopped = format!("[[suspension]]\nof = \"{of}\"\nreason = \"a stolen key\"\n");
        let registry =
            bus(&operator(WELFARE, "\"viewer\"")).with("suspensions.toml", &stopped).load().unwrap();
        assert_eq!(check_role(&registry, WELFARE), Err(Reason::Suspended), "{of}");
    }

    check(&bus(&operator(WELFARE, "\"veiwer\"")).errors(), &["`veiwer` is no role", "did you mean `viewer`"]);
    check(&bus(&operator(WELFARE, "")).errors(), &["has a role at least"]);
    check(&bus(&operator("gov/welfare/benefit", "\"viewer\"")).errors(), &["gov/welfare/benefits"]);
    let twice = operator(WELFARE, "\"viewer\"") + &operator(WELFARE, "\"viewer\"");
    check(&bus(&twice).errors(), &["is there twice"]);
    // A member cannot name operators in a file of its own.
    let own = Files::default().with("gov/welfare.toml", &operator(WELFARE, "\"viewer\""));
    check(&own.errors(), &["`operator` is no table of this file"]);
}

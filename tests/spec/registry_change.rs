//! Tests of registry changes that must be refused: altered plans, approvals that do not count, files that
//! changed meanwhile.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chapar_tests::binary::chapar;
use chapar_tests::repository;

/// A store with one registry in force, a draft that adds a grant, and the keys of two approvers.
struct Office(tempfile::TempDir);

const GRANT: &str = r#"
[[grant]]
id       = "welfare-getperson"
to       = "gov/welfare/benefits"
method   = "civil.v1.CivilRegistry/GetPerson"
purposes = ["benefit.eligibility"]
fields   = ["given_name", "life_status"]
valid    = { from = 2026-01-01, until = 2035-12-31 }
basis    = "Decree 1"
"#;

impl Office {
    fn new() -> Self {
        let office = Self(tempfile::tempdir().unwrap());
        let registry = office.path("registry");
        let digest = office.run(&["contract", "check", repository().join("proto/civil").to_str().unwrap()]).1;
        let digest = digest.split_whitespace().next().unwrap().to_owned();
        let keys = ["ali", "bahar", "dara"]
            .map(|name| office.does(&["registry", "key", name, "--out", &format!("{name}.key")]));
        let [ali, bahar, dara] = keys.each_ref().map(|key| key.trim());
        let bus = format!(
            "[bus]\ntrust_domain = \"lorestan.example\"\n\
             [[approver]]\nid = \"ali\"\nkey = \"{ali}\"\nroles = [\"steward of gov/civil-registry\"]\n\
             [[approver]]\nid = \"bahar\"\nkey = \"{bahar}\"\nroles = [\"security\"]\n\
             [[approver]]\nid = \"dara\"\nkey = \"{dara}\"\nroles = [\"author\"]\n\
             [[approval]]\nof = [\"grant\"]\nneeds = [\"steward\", \"security\"]\n\
             [[approval]]\nof = [\"approver\", \"approval\"]\nneeds = [\"security\"]\n"
        );
        let member = |subsystem: &str| {
            let issuer = "5f".repeat(32);
            format!(
                "[member]\nname = {{ fa = \"x\", en = \"x\" }}\nissuers = [\"sha256:{issuer}\"]\n[[subsystem]]\nid = \"{subsystem}\"\n"
            )
        };
        let service = format!(
            "[[service]]\ncontract = \"civil.v1.CivilRegistry\"\ndigest = \"{digest}\"\nadapters = [\"spiffe://lorestan.example/gov/civil-registry/adapter\"]\n"
        );
        for folder in [&registry, &office.path("draft")] {
            std::fs::create_dir_all(folder.join("gov")).unwrap();
            std::fs::write(folder.join("bus.toml"), &bus).unwrap();
            std::fs::write(folder.join("gov/welfare.toml"), member("benefits")).unwrap();
            std::fs::write(folder.join("gov/civil-registry.toml"), member("adapter") + &service).unwrap();
        }
        office.edit("draft/gov/civil-registry.toml", |text| text + GRANT);
        office.does(&["registry", "apply", "--store", "store", "--new", "registry", "--by", "dara"]);
        office.plan();
        office
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn edit(&self, file: &str, edit: impl FnOnce(String) -> String) {
        let text = std::fs::read_to_string(self.path(file)).unwrap();
        std::fs::write(self.path(file), edit(text)).unwrap();
    }

    /// Runs a command, with the contracts where it needs them; whether it succeeds, and what it says.
    fn run(&self, arguments: &[&str]) -> (bool, String) {
        let mut command = Command::new(chapar());
        command.current_dir(self.0.path()).args(arguments);
        if arguments[0] == "registry" && !["key", "approve", "history"].contains(&arguments[1]) {
            command.arg("--contracts").arg(repository().join("proto/civil"));
        }
        let output = command.output().expect("the command runs");
        (
            output.status.success(),
            String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(),
        )
    }

    fn does(&self, arguments: &[&str]) -> String {
        let (succeeded, said) = self.run(arguments);
        assert!(succeeded, "{arguments:?}: {said}");
        said
    }

    fn plan(&self) {
        self.does(&["registry", "plan", "store", "draft", "--key", "dara.key", "--out", "plan", "--force"]);
    }

    fn approve(&self, name: &str) {
        self.does(&["registry", "approve", "plan", "--key", &format!("{name}.key")]);
    }

    fn both_approve(&self) {
        self.approve("ali");
        self.approve("bahar");
    }

    fn apply(&self) -> (bool, String) {
        self.run(&["registry", "apply", "plan", "--store", "store", "--new", "draft", "--by", "dara"])
    }

    /// Asserts that the change does not come through, for this reason, and that this is written down.
    fn refuses(&self, reason: &str) {
        let (succeeded, said) = self.apply();
        assert!(!succeeded && said.contains(reason), "{reason} in\n{said}");
        let journal = std::fs::read_to_string(self.path("store/journal")).unwrap();
        let last = journal.lines().last().unwrap();
        assert!(last.contains("\"outcome\":\"failed\"") && last.contains(reason), "{last}");
        assert!(!Path::new(&self.path("store/generations/000002")).exists());
    }
}

#[test]
fn a_change_comes_through_when_both_have_approved_it() {
    let office = Office::new();
    office.both_approve();
    let (succeeded, said) = office.apply();
    assert!(succeeded && said.contains("generation 2 is in force, approved by ali, bahar"), "{said}");
    let kept = std::fs::read_to_string(office.path("store/generations/000002/plan.txt")).unwrap();
    assert_eq!(
        kept.matches("\n— ").count(),
        3,
        "the author's signature and the approvals are kept beside the files"
    );
}

#[test]
fn a_plan_that_others_have_signed_is_not_overwritten_and_one_of_its_author_alone_is() {
    let office = Office::new();
    office.plan();
    office.approve("ali");
    let signed = std::fs::read(office.path("plan")).unwrap();
    let plan = ["registry", "plan", "store", "draft", "--key", "dara.key", "--out", "plan"];
    let (succeeded, said) = office.run(&plan);
    assert!(!succeeded && said.contains("plan is there already"), "{said}");
    assert_eq!(std::fs::read(office.path("plan")).unwrap(), signed);
    office.does(&[&plan[..], &["--force"]].concat());
    assert_ne!(std::fs::read(office.path("plan")).unwrap(), signed);
}

#[test]
fn a_plan_that_says_something_else_than_the_change_does_is_refused_whoever_signed_it() {
    let office = Office::new();
    // What the approvers would have seen: no sensitive field.
    office.edit("plan", |text| {
        text.replace(" (SENSITIVE)", "").replace("1 gain sensitive", "0 gain sensitive")
    });
    office.both_approve();
    office.refuses("the plan's text differs from what the change does");
}

#[test]
fn a_plan_of_another_day_is_refused() {
    let office = Office::new();
    // On that day the grant is over: the plan would tell of no effects.
    office.edit("plan", |text| {
        let made = text.lines().find(|line| line.starts_with("made: ")).unwrap().to_owned();
        text.replace(&made, "made: 2099-01-01T00:00:00Z")
    });
    office.both_approve();
    office.refuses("the plan is older than 30 days or has a date in the future");
}

#[test]
fn a_signed_plan_that_is_altered_afterwards_is_refused() {
    let office = Office::new();
    office.both_approve();
    office.edit("plan", |text| text.replace("author: dara", "author: someone"));
    office.refuses("the signature of ali: the signature does not verify");
}

#[test]
fn an_approval_counts_for_one_plan_alone() {
    let office = Office::new();
    office.both_approve();
    let signatures = std::fs::read_to_string(office.path("plan")).unwrap();
    let signatures = signatures[signatures.find("\n— ").unwrap()..].to_owned();
    office
        .edit("draft/gov/civil-registry.toml", |text| text.replace("\"life_status\"", "\"marital_status\""));
    office.plan();
    office.edit("plan", |text| text + &signatures);
    office.refuses("the signature does not verify");
}

#[test]
fn a_strangers_approval_and_one_with_an_approvers_name_count_for_nothing() {
    let office = Office::new();
    office.approve("ali");
    office.does(&["registry", "key", "eve", "--out", "eve.key"]);
    office.approve("eve");
    std::fs::create_dir(office.path("eve")).unwrap();
    office.does(&["registry", "key", "bahar", "--out", "eve/bahar.key"]);
    office.does(&["registry", "approve", "plan", "--key", "eve/bahar.key"]);
    office.refuses("not approved: it needs steward of gov/civil-registry AND security");
}

#[test]
fn no_one_approves_a_change_of_their_own() {
    let office = Office::new();
    office.does(&["registry", "plan", "store", "draft", "--key", "ali.key", "--out", "plan", "--force"]);
    let (succeeded, said) = office.run(&["registry", "approve", "plan", "--key", "ali.key"]);
    assert!(!succeeded && said.contains("the author of a plan cannot approve it"), "{said}");
}

#[test]
fn an_author_that_no_registered_key_stands_for_is_refused() {
    let office = Office::new();
    // Ali plans as someone else, and approves his own change.
    office.does(&["registry", "key", "someone", "--out", "someone.key"]);
    office.does(&["registry", "plan", "store", "draft", "--key", "someone.key", "--out", "plan", "--force"]);
    office.both_approve();
    office.refuses("the author `someone` is not known");
    // Or with a key of his own that bears a registered name.
    std::fs::create_dir(office.path("ali")).unwrap();
    office.does(&["registry", "key", "dara", "--out", "ali/dara.key"]);
    office.does(&["registry", "plan", "store", "draft", "--key", "ali/dara.key", "--out", "plan", "--force"]);
    office.both_approve();
    office.refuses("the author `dara` is not known");
}

#[test]
fn a_rollback_needs_the_same_approvals() {
    let office = Office::new();
    office.both_approve();
    assert!(office.apply().0);
    let back = |more: &[&str]| {
        let command = ["registry", "rollback", "store", "1", "--by", "eve", "--reason", "a wish"];
        office.run(&[&command[..], more].concat())
    };
    let (succeeded, said) = back(&[]);
    assert!(
        !succeeded && said.contains("not approved: it needs steward of gov/civil-registry AND security"),
        "{said}"
    );
    office.does(&[
        "registry",
        "plan",
        "store",
        "store/generations/000001/registry",
        "--key",
        "dara.key",
        "--out",
        "plan",
        "--force",
    ]);
    office.approve("ali");
    assert!(!back(&["--plan", "plan"]).0, "one approval is not two");
    office.approve("bahar");
    let (succeeded, said) = back(&["--plan", "plan"]);
    assert!(succeeded && said.contains("generation 3 is in force, as 1 was"), "{said}");
    let kept = std::fs::read_to_string(office.path("store/generations/000003/plan.txt")).unwrap();
    assert!(kept.contains("reason: a wish") && kept.matches("\n— ").count() == 3, "{kept}");
}

#[test]
fn a_plan_that_was_applied_before_a_rollback_does_not_apply_again() {
    let office = Office::new();
    office.both_approve();
    assert!(office.apply().0);
    let applied = std::fs::read_to_string(office.path("plan")).unwrap();
    let first = "store/generations/000001/registry";
    office.does(&["registry", "plan", "store", first, "--key", "dara.key", "--out", "plan", "--force"]);
    office.both_approve();
    let back =
        ["registry", "rollback", "store", "1", "--by", "eve", "--reason", "a mistake", "--plan", "plan"];
    office.does(&back);

    std::fs::write(office.path("plan"), applied).unwrap();
    let (succeeded, said) = office.apply();
    assert!(!succeeded && said.contains("the base has moved"), "{said}");
    let kept = ["registry", "apply", "store/generations/000002/plan.txt", "--store", "store", "--by", "eve"];
    let (succeeded, said) =
        office.run(&[&kept[..], &["--new", "store/generations/000002/registry"]].concat());
    assert!(!succeeded && said.contains("the base has moved"), "{said}");
}

#[test]
fn a_store_that_lost_its_link_takes_no_registry_without_a_plan() {
    let office = Office::new();
    std::fs::remove_file(office.path("store/current")).unwrap();
    let (succeeded, said) =
        office.run(&["registry", "apply", "--store", "store", "--new", "draft", "--by", "dara"]);
    assert!(
        !succeeded && said.contains("current is missing, which says which of them is in force"),
        "{said}"
    );
}

#[test]
fn two_approvers_with_one_key_are_one_person_and_refused() {
    let office = Office::new();
    // C2SP signed-note: NAME+HASH+KEY, with the first 4 bytes of SHA-256(NAME ‖ newline ‖ key) as the hash.
    let bus = std::fs::read_to_string(office.path("draft/bus.toml")).unwrap();
    let bahar = bus.split('"').find(|text| text.starts_with("bahar+")).unwrap();
    let key = bahar.splitn(3, '+').nth(2).unwrap();
    let bytes = [b"zed\n", STANDARD.decode(key).unwrap().as_slice()].concat();
    let hash: String =
        digest(&SHA256, &bytes).as_ref()[..4].iter().map(|byte| format!("{byte:02x}")).collect();
    let zed = format!("zed+{hash}+{key}");
    office.edit("draft/bus.toml", |text| {
        format!("{text}[[approver]]\nid = \"zed\"\nkey = \"{zed}\"\nroles = [\"security\"]\n")
    });
    let (succeeded, said) = office.run(&["registry", "check", "draft"]);
    assert!(!succeeded && said.contains("the approvers bahar and zed have the same key"), "{said}");
    office.plan();
    office.both_approve();
    office.refuses("the approvers bahar and zed have the same key");
}

#[test]
fn two_who_approve_at_the_same_time_have_both_approved() {
    for _ in 0..5 {
        let office = Office::new();
        std::thread::scope(|threads| {
            threads.spawn(|| office.approve("ali"));
            threads.spawn(|| office.approve("bahar"));
        });
        let (succeeded, said) = office.apply();
        assert!(succeeded, "{said}");
    }
}

#[test]
fn nothing_is_signed_with_a_key_that_everyone_may_read() {
    let office = Office::new();
    std::fs::set_permissions(office.path("ali.key"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let before = std::fs::read(office.path("plan")).unwrap();
    let (succeeded, said) = office.run(&["registry", "approve", "plan", "--key", "ali.key"]);
    assert!(!succeeded && said.contains("ali.key") && said.contains("chmod o="), "{said}");
    assert_eq!(std::fs::read(office.path("plan")).unwrap(), before);
}

#[test]
fn one_who_may_not_approve_is_named_and_so_is_who_has() {
    let office = Office::new();
    office.approve("bahar");
    office.does(&["registry", "key", "mallory", "--out", "mallory.key"]);
    office.approve("mallory");
    office.refuses("Approvals so far: bahar; signatures of keys that are not registered: mallory");
}

#[test]
fn files_that_change_after_the_plan_are_refused() {
    let office = Office::new();
    office.both_approve();
    office.edit("draft/gov/civil-registry.toml", |text| {
        text.replace("\"life_status\"", "\"life_status\", \"marital_status\"")
    });
    office.refuses("the new registry is not the one that was planned");
}

#[test]
fn a_change_cannot_bring_the_approvers_that_it_needs() {
    let office = Office::new();
    let eve = office.does(&["registry", "key", "eve", "--out", "eve.key"]);
    office.edit("draft/bus.toml", |text| {
        format!("{text}[[approver]]\nid = \"eve\"\nkey = \"{}\"\nroles = [\"security\", \"steward of gov/civil-registry\"]\n", eve.trim())
    });
    office.plan();
    office.approve("ali");
    office.approve("eve");
    office.refuses("not approved: it needs");
}

#[test]
fn what_ends_soon_is_listed_and_nothing_else() {
    let office = Office::new();
    let today = jiff::tz::TimeZone::UTC.to_datetime(chapar_model::Clock::system().now()).date();
    let soon = today.checked_add(jiff::Span::new().days(20)).unwrap().to_string();
    office.edit("draft/gov/civil-registry.toml", |text| {
        let other = GRANT.replace("welfare-getperson", "other").replace("GetPerson\"", "ListChildren\"");
        text + &other.replace("2035-12-31", &soon)
    });
    let expiring = |days: &str| office.does(&["registry", "expiring", "draft", "--days", days]);
    assert!(expiring("30").contains(&format!("{soon}  grant other")), "{}", expiring("30"));
    assert!(!expiring("30").contains("welfare-getperson"), "{}", expiring("30"));
    assert!(!expiring("10").contains("grant"), "{}", expiring("10"));
}

#[test]
fn one_person_suspends_at_once_and_it_stands_in_the_journal() {
    let office = Office::new();
    let suspend = |of: &str| {
        office.run(&[
            "registry",
            "suspend",
            "store",
            of,
            "--for",
            "2h",
            "--reason",
            "a \"stolen\" key",
            "--by",
            "bahar",
        ])
    };
    let (succeeded, said) = suspend("gov/welfar");
    assert!(!succeeded && said.contains("did you mean `gov/welfare`?"), "{said}");
    assert!(suspend("gov/welfare").0);
    assert!(suspend("gov/welfare/benefits").0, "a second one is added to the first");
    let text = std::fs::read_to_string(office.path("store/current/suspensions.toml")).unwrap();
    assert_eq!(text.matches("[[suspension]]").count(), 2);
    let journal = std::fs::read_to_string(office.path("store/journal")).unwrap();
    let outcomes: Vec<bool> = journal
        .lines()
        .filter(|line| line.contains("\"suspend\""))
        .map(|line| line.contains("\"done\""))
        .collect();
    assert_eq!(outcomes, [false, true, true]);
    // The change that was planned before is planned on another base.
    office.both_approve();
    let (succeeded, said) = office.apply();
    assert!(!succeeded && said.contains("the base has moved"), "{said}");
}

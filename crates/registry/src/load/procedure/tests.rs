//! Tests of procedures: what is loaded, and what is a finding.

use chapar_contract::FieldPath;

use super::types::overlaps;
use crate::testing::{CONTRACT, Files};

const GRANTS: &str = r#"
[[grant]]
id = "get"
to = "gov/welfare/benefits"
method = "desk.v1.Desk/Get"
purposes = ["desk.read"]
fields = ["name", "place.city"]
valid = { from = 2026-01-01, until = 2027-12-31 }
basis = "b"

[[grant]]
id = "list"
to = "gov/welfare/benefits"
method = "desk.v1.Desk/List"
purposes = ["desk.read"]
fields = ["name"]
valid = { from = 2026-01-01, until = 2027-12-31 }
basis = "b"

[[grant]]
id = "compare"
to = "gov/welfare/benefits"
method = "desk.v1.Desk/Compare"
purposes = ["desk.read"]
fields = ["number"]
valid = { from = 2026-01-01, until = 2027-12-31 }
basis = "b"
"#;

const PROCEDURE: &str = r#"
[procedure]
name = { fa = "ا", en = "a" }
purpose = "desk.read"
callers = ["gov/welfare/benefits"]

[[input]]
id = "name"
name = { fa = "ا", en = "a" }

[[part]]
id = "person"
method = "desk.v1.Desk/Get"

[[part]]
id = "all"
method = "desk.v1.Desk/List"

[[part]]
id = "compared"
method = "desk.v1.Desk/Compare"
request = { name = "input.name", city = "person.place.city" }
"#;

fn files(from: &str, to: &str) -> Files {
    assert!(PROCEDURE.contains(from), "{from}");
    Files::default().with("gov/desk.toml", GRANTS).with("procedures/p.toml", &PROCEDURE.replace(from, to))
}

#[test]
fn a_procedure_is_loaded_with_its_parts_in_order_and_is_for_its_callers() {
    let registry = files("", "").load().unwrap();
    let welfare = "gov/welfare/benefits".parse().unwrap();
    let procedure = registry.procedure(&welfare, &"p".parse().unwrap()).unwrap();
    let parts: Vec<&str> = procedure.parts.iter().map(|part| part.id.as_str()).collect();
    assert_eq!(parts, ["person", "all", "compared"]);
    assert_eq!(procedure.parts[2].request.len(), 3, "the subject is given too");
    let bank = "com/bank/loans".parse().unwrap();
    assert!(registry.procedure(&bank, &"p".parse().unwrap()).is_none());
    assert_eq!(registry.procedures_for(&bank).count(), 0);
}

#[test]
fn what_a_call_would_be_refused_for_is_a_finding() {
    for (from, to, finding) in [
        ("\"desk.read\"", "\"desk.write\"", "is no purpose of desk.v1.Desk/List"),
        (
            "callers = [\"gov",
            "callers = [\"com/bank/loans\", \"gov",
            "no grant lets com/bank/loans call desk.v1.Desk/Get",
        ),
        (
            "callers =",
            "on_behalf_of = \"com/bank\"\ncallers =",
            "call desk.v1.Desk/Get on behalf of com/bank for desk.read",
        ),
        (
            "person.place.city",
            "person.place.street",
            "is not granted `place.street` of desk.v1.Desk/Get, which another part takes",
        ),
        ("name = \"input.name\", ", "", "`name` must be present: give it in `request`"),
        ("[\"gov/welfare/benefits\"]", "[]", "name at least one caller"),
        ("desk.v1.Desk/List", "desk.v1.Desk/Count", "this method names none"),
    ] {
        let errors = files(from, to).errors();
        assert!(errors.contains(finding), "{finding}: {errors}");
    }
}

#[test]
fn paths_overlap_that_are_the_same_around_each_other_or_of_one_oneof() {
    let message = CONTRACT.method(&"desk.v1.Desk/Compare".parse().unwrap()).unwrap().input().clone();
    let path = |path: &str| FieldPath::resolve(&message, path).unwrap();
    for (one, other, expected) in [
        ("who", "who", true),
        ("who", "who.id", true),
        ("who.id", "who", true),
        ("town", "village", true),
        ("who.id", "id", false),
        ("name", "names", false),
        ("city", "age", false),
    ] {
        assert_eq!(overlaps(&message, &path(one), &path(other)), expected, "{one}, {other}");
    }
}

#[test]
fn what_is_not_there_or_of_another_type_is_a_finding() {
    for (from, to, finding) in [
        ("person.place.city", "persn.place.city", "there is no part `persn` before this one"),
        ("person.place.city", "compared.number", "there is no part `compared` before this one"),
        ("person.place.city", "all.place.city", "`all` answers with a stream"),
        ("person.place.city", "person.place.cty", "the answer of `person` has no field `place.cty`"),
        ("person.place.city", "input.city", "the procedure has no input `city`"),
        ("person.place.city", "city", "a value comes from `input.ID` or from `PART.FIELD`"),
        ("city = \"person", "age = \"person", "`place.city` is string, and `age` is int32"),
        ("city = \"person", "names = \"person", "has no field `names` that takes one value"),
        ("city = \"person", "id = \"person", "`id` is, or holds, the citizen's id"),
        (
            "city = \"person",
            "who = \"person.place\", x = \"person",
            "`place` is desk.v1.Place, and `who` is desk.v1.Who",
        ),
        ("city = \"person", "town = \"input.name\", village = \"person", "would overwrite each other"),
        ("city = \"person.place.city\"", "age = \"input.name\"", "an input is a text, and `age` is none"),
        ("id = \"all\"", "id = \"person\"", "the id `person` is there twice"),
        ("id = \"all\"", "id = \"input\"", "`input` stands for the inputs"),
        (
            "[[input]]",
            "[[input]]\nid = \"more\"\nname = { fa = \"a\", en = \"a\" }\n[[input]]",
            "no part takes the input `more`",
        ),
        ("[procedure]", "[proceedure]", "`proceedure` is no table of this file"),
    ] {
        let errors = files(from, to).errors();
        assert!(errors.contains(finding), "{finding}: {errors}");
    }
    let seventeen = "\n[[part]]\nid = \"p\"\nmethod = \"desk.v1.Desk/Get\"\n".repeat(14);
    assert!(files("", "").with("procedures/p.toml", &seventeen).errors().contains("1 to 16 parts"));
    let misnamed = Files::default().with("procedures/P_1.toml", PROCEDURE).errors();
    assert!(misnamed.contains("the file's name is not a valid procedure id"), "{misnamed}");
}

//! These tests check what a contract may not say, each with its finding.

use crate::{Contract, Error};

const HEAD: &str = "import \"chapar/contract/v1/options.proto\";\n";
const SAY: &str = "message Say { string id = 1 [(chapar.contract.v1.field).class = CLASS_PERSONAL]; }\n";

/// A contract of one method `S/Get(Ask) returns (Say)` with these rules, a purpose, and these types.
fn contract(syntax: &str, rules: &str, types: &str) -> Result<Contract, Error> {
    exactly(syntax, &format!("{rules} purposes: [\"a.b\"]"), "Ask", types)
}

fn exactly(syntax: &str, rules: &str, asked: &str, types: &str) -> Result<Contract, Error> {
    shaped(syntax, rules, asked, "Say", types)
}

fn shaped(syntax: &str, rules: &str, asked: &str, said: &str, types: &str) -> Result<Contract, Error> {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("t");
    std::fs::create_dir(&dir).unwrap();
    let service = format!(
        "service S {{ rpc Get({asked}) returns ({said}) {{ option (chapar.contract.v1.method) = {{ {rules} }}; }} }}\n"
    );
    std::fs::write(
        dir.join("t.proto"),
        format!("syntax = \"{syntax}\";\npackage t;\n{HEAD}{service}{types}"),
    )
    .unwrap();
    Contract::load(&dir)
}

fn refused(rules: &str, types: &str, finding: &str) {
    let error = contract("proto3", rules, types).unwrap_err().to_string();
    assert!(error.contains("t/t.proto:") && error.contains(finding), "`{finding}` in\n{error}");
}

/// (path, required) of every format of the one method.
fn formats(contract: &Contract) -> Vec<(String, bool)> {
    let method = &contract.service("t.S").unwrap().methods()[0];
    method.formats().iter().map(|format| (format.path.to_string(), format.required)).collect()
}

fn national(text: &str) -> String {
    text.replace("ID", "[(chapar.contract.v1.field).format = FORMAT_IR_NATIONAL_ID]")
}

#[test]
fn a_subject_that_another_field_could_unset_is_refused() {
    let ask = "message Ask { oneof who { string id = 1; string passport = 2; } }\n";
    refused("subject: \"id\"", &format!("{ask}{SAY}"), "oneof");
    let ask =
        "message Ask { oneof who { Person one = 1; string all = 2; } }\nmessage Person { string id = 1; }\n";
    refused("subject: \"one.id\"", &format!("{ask}{SAY}"), "oneof");
    let ask = "message Ask { repeated string id = 1; }\n";
    refused("subject: \"id\"", &format!("{ask}{SAY}"), "not repeated");
    let ask = "message Ask { map<string, string> id = 1; }\n";
    refused("subject: \"id.value\"", &format!("{ask}{SAY}"), "not repeated");
    let ask = "message Ask { optional string id = 1; }\n";
    assert!(
        contract("proto3", "subject: \"id\"", &format!("{ask}{SAY}")).is_ok(),
        "`optional` is no oneof here"
    );
}

#[test]
fn a_format_that_would_not_be_checked_is_refused() {
    let finding = "a format is checked only where a request has one such value";
    for ask in [
        "message Ask { repeated string ids = 1 ID; }\n",
        "message Ask { repeated Person all = 1; }\nmessage Person { string id = 1 ID; }\n",
        "message Ask { map<string, Person> all = 1; }\nmessage Person { string id = 1 ID; }\n",
        "message Ask { string id = 1 ID; Ask next = 2; }\n",
    ] {
        refused("", &format!("{}{SAY}", national(ask)), finding);
    }
    refused(
        "",
        &format!("{}{SAY}", national("message Ask { int64 id = 1 ID; }\n")),
        "only a text has a format",
    );
}

#[test]
fn a_format_is_required_unless_it_or_what_is_around_it_is_optional() {
    let ask = national(
        "message Ask { string a = 1 ID; optional string b = 2 ID; oneof one { string c = 3 ID; string d = 4 ID; }\n\
         Person e = 5; optional Person f = 6; }\nmessage Person { string id = 1 ID; }\n",
    );
    let found = formats(&contract("proto3", "", &format!("{ask}{SAY}")).unwrap());
    let expected = [("a", true), ("b", false), ("c", false), ("d", false), ("e.id", true), ("f.id", false)];
    assert_eq!(found, expected.map(|(path, required)| (path.to_owned(), required)));
    let ask = national("message Ask { required string a = 1 ID; optional string b = 2 ID; }\n");
    let say = SAY.replace("string id", "optional string id");
    let found = formats(&contract("proto2", "", &format!("{ask}{say}")).unwrap());
    assert_eq!(found, [("a".to_owned(), true), ("b".to_owned(), false)]);
}

#[test]
fn whoever_asks_about_a_person_needs_a_purpose() {
    let types =
        |class: &str| format!("message Ask {{ string id = 1; }}\n{}", SAY.replace("CLASS_PERSONAL", class));
    for class in ["CLASS_PERSONAL", "CLASS_SENSITIVE", "CLASS_SECRET"] {
        let error = exactly("proto3", "", "Ask", &types(class)).unwrap_err().to_string();
        assert!(
            error.contains("t/t.proto:4:13: t.S/Get: its answer tells of a person, so it needs `purposes`"),
            "{error}"
        );
    }
    assert!(exactly("proto3", "", "Ask", &types("CLASS_PUBLIC")).is_ok());
    let twice = exactly("proto3", "purposes: [\"a.b\", \"c\", \"a.b\"]", "Ask", &types("CLASS_PUBLIC"));
    assert!(twice.unwrap_err().to_string().contains("purpose `a.b` is there twice"));
}

#[test]
fn rows_are_not_narrowed_where_requests_are_streamed() {
    let types = format!("message Ask {{ string id = 1; }}\n{SAY}");
    for rules in ["row_scopes: [\"province\"]", "max_rows: 5"] {
        let rules = format!("purposes: [\"a.b\"] {rules}");
        let error = exactly("proto3", &rules, "stream Ask", &types).unwrap_err().to_string();
        assert!(error.contains("no `row_scopes` and no `max_rows` where requests are streamed"), "{error}");
        assert!(exactly("proto3", &rules, "Ask", &types).is_ok());
    }
}

#[test]
fn a_rule_of_requests_does_not_pass_in_a_response() {
    let ask = "import \"buf/validate/validate.proto\";\nmessage Ask {}\n";
    for rule in ["(buf.validate.field).required = true", "(chapar.contract.v1.field).pattern = \"x\""] {
        let say = SAY.replace("[", &format!("[{rule}, "));
        refused("", &format!("{ask}{say}"), "is for requests: in a response no one would check it");
    }
}

#[test]
fn a_field_that_a_response_must_have_is_refused_also_inside_a_message() {
    let ask = "message Ask { optional string id = 1; }\n";
    let say = |label: &str| SAY.replace("string id", &format!("{label} string id"));
    let inside = |label: &str| {
        format!("{}message Say {{ optional In inside = 1; }}\n", say(label).replace("Say", "In"))
    };
    for types in [&say as &dyn Fn(&str) -> String, &inside] {
        let error = contract("proto2", "", &format!("{ask}{}", types("required"))).unwrap_err().to_string();
        let finding = "a required field cannot be withheld, and a response without it cannot be read";
        assert!(error.contains("t/t.proto:") && error.contains(finding), "{error}");
        contract("proto2", "", &format!("{ask}{}", types("optional"))).unwrap();
    }
}

#[test]
fn a_key_is_one_comparable_field_at_the_top() {
    let ask = "message Ask { string id = 1; }\n";
    let key = "[(chapar.contract.v1.field) = { class: CLASS_PERSONAL key: true }]";
    let two = format!("{ask}message Say {{ string id = 1 {key}; string other = 2 {key}; }}\n");
    refused("subject: \"id\"", &two, "one key");
    let wrong = "a key is one text or 64-bit number at the top";
    refused("subject: \"id\"", &format!("{ask}message Say {{ bool id = 1 {key}; }}\n"), wrong);
    refused("subject: \"id\"", &format!("{ask}message Say {{ repeated string id = 1 {key}; }}\n"), wrong);
    let deep = format!("{ask}message Say {{ In inside = 1; }}\nmessage In {{ string id = 1 {key}; }}\n");
    refused("subject: \"id\"", &deep, wrong);
    refused("", &format!("{ask}message Say {{ string id = 1 {key}; }}\n"), "the method names none");
}

#[test]
fn a_method_with_pages_has_the_shape_of_aip_158() {
    let token = "string next_page_token = 2 [(chapar.contract.v1.field).page_token = true];";
    let ask = "message Ask { string id = 1; int32 page_size = 2; string page_token = 3; }\n";
    let list = "repeated One list = 1;";
    let one = "message One { string s = 1 [(chapar.contract.v1.field).class = CLASS_PUBLIC]; }\n";
    let good = contract("proto3", "", &format!("{ask}{one}message Say {{ {list} {token} }}\n")).unwrap();
    let method = &good.service("t.S").unwrap().methods()[0];
    assert_eq!(method.next_page_token(), Some("next_page_token"));
    // Without its token there is no next page, so a grant cannot withhold it.
    let mask = |paths: &[&str]| format!("{:?}", method.mask(paths).unwrap());
    assert_eq!(mask(&[]), mask(&["next_page_token"]));

    let shape = "is one repeated message and the token, a text";
    for say in [
        token.to_owned(),
        format!("{list} {}", token.replace("string", "bytes")),
        format!("{list} {}", token.replace("string", "repeated string")),
        format!("{list} {token} string more = 3 [(chapar.contract.v1.field).class = CLASS_PUBLIC];"),
        format!("In inside = 3; {list}"),
    ] {
        let inside = format!("message In {{ {token} }}\n");
        refused("", &format!("{ask}{one}{inside}message Say {{ {say} }}\n"), shape);
    }
    for ask in [
        "message Ask { string page_token = 3; }\n",
        "message Ask { int32 page_size = 2; }\n",
        "message Ask { int64 page_size = 2; string page_token = 3; }\n",
    ] {
        let types = format!("{ask}{one}message Say {{ {list} {token} }}\n");
        refused("", &types, "is asked with `string page_token` and `int32 page_size`");
    }
    let types = format!("{ask}{one}message Say {{ {list} {token} }}\n");
    let error = shaped("proto3", "purposes: [\"a.b\"]", "Ask", "stream Say", &types).unwrap_err().to_string();
    assert!(error.contains("a stream has no pages"), "{error}");
}

#[test]
fn a_message_cannot_hide_the_class_of_what_is_inside_it() {
    let types = |class: &str| {
        format!(
            "message Ask {{ string id = 1; }}\nmessage Say {{ In inside = 1 [(chapar.contract.v1.field).class = {class}]; }}\n\
             message In {{ Deep deep = 1; }}\nmessage Deep {{ string s = 1 [(chapar.contract.v1.field).class = CLASS_SENSITIVE]; In again = 2; }}\n"
        )
    };
    refused("", &types("CLASS_PERSONAL"), "lower class");
    assert!(contract("proto3", "", &types("CLASS_SENSITIVE")).is_ok());
}

#[test]
fn row_scopes_are_columns_and_limits_have_bounds() {
    let types = format!("message Ask {{ string id = 1; }}\n{SAY}");
    refused("row_scopes: [\"province) OR (1=1\"]", &types, "is no column");
    refused("row_scopes: [\"\"]", &types, "is no column");
    refused("max_rows: 100001", &types, "max_rows is at most 100000");
    let stream = |rows: u32| {
        let rules = format!("max_rows: {rows} purposes: [\"a.b\"]");
        shaped("proto3", &rules, "Ask", "stream Say", &types)
    };
    assert_eq!(stream(10_000_000).unwrap().service("t.S").unwrap().methods()[0].max_rows(), 10_000_000);
    let error = stream(10_000_001).unwrap_err().to_string();
    assert!(error.contains("max_rows is at most 10000000"), "{error}");
    for timeout in ["{}", "{ seconds: 31 }", "{ nanos: 999999 }", "{ seconds: -1 }"] {
        refused(&format!("timeout: {timeout}"), &types, "from 1 ms to 30 s");
    }
    let plain = contract("proto3", "", &types).unwrap();
    let method = &plain.service("t.S").unwrap().methods()[0];
    assert_eq!((method.timeout().as_secs(), method.max_rows()), (1, 1000), "the defaults");
}

//! These tests check requests that are written by hand against contracts of one method.

use prost_reflect::{DynamicMessage, prost::Message as _};

use crate::{Contract, Error};

/// A contract of one method whose request has these fields.
pub(crate) fn contract(fields: &str) -> Result<Contract, Error> {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("t");
    std::fs::create_dir(&dir).unwrap();
    let text = format!(
        "syntax = \"proto3\";\npackage t;\nimport \"chapar/contract/v1/options.proto\";\nimport \"buf/validate/validate.proto\";\n\
         service S {{ rpc Get(Ask) returns (Say); }}\nmessage Say {{}}\nenum Color {{ RED = 0; BLUE = 5; }}\n\
         message Ask {{\n{fields}\n}}\nmessage In {{ string name = 1 [(buf.validate.field).required = true]; }}\n"
    );
    std::fs::write(dir.join("t.proto"), text).unwrap();
    Contract::load(&dir)
}

/// What is wrong with a request, given as JSON.
fn violations(fields: &str, request: &str) -> Vec<String> {
    let contract = contract(fields).unwrap_or_else(|error| panic!("{error}"));
    let method = &contract.service("t.S").unwrap().methods()[0];
    let mut json = serde_json::Deserializer::from_str(request);
    let bytes = DynamicMessage::deserialize(method.input().clone(), &mut json).unwrap().encode_to_vec();
    let found = method.violations(&bytes).unwrap();
    found.into_iter().map(|violation| format!("{} {}", violation.path, violation.rule)).collect()
}

#[test]
fn a_pattern_is_of_the_whole_folded_text() {
    let fields = r#"string file = 1 [(chapar.contract.v1.field).pattern = "14\\d\\d/[0-9]{1,4}"];
        optional string name = 2 [(chapar.contract.v1.field).pattern = "[ا-ی]+"];"#;
    assert!(violations(fields, r#"{"file": "1405/7"}"#).is_empty());
    assert!(
        violations(fields, r#"{"file": "۱۴۰۵/٧", "name": "علي"}"#).is_empty(),
        "digits and letters are folded"
    );
    for request in [r#"{"file": "x1405/7"}"#, r#"{"file": "1405/7x"}"#, "{}"] {
        assert_eq!(violations(fields, request), ["file must be as `14\\d\\d/[0-9]{1,4}`"], "{request}");
    }
    assert_eq!(violations(fields, r#"{"file": "1405/7", "name": "x"}"#).len(), 1);
}

#[test]
fn required_is_set_or_not_the_default() {
    let fields = "string a = 1 [(buf.validate.field).required = true];
        optional string b = 2 [(buf.validate.field).required = true];
        int32 c = 3 [(buf.validate.field).required = true];
        In d = 4 [(buf.validate.field).required = true];
        repeated string e = 5 [(buf.validate.field).required = true];";
    let found = violations(fields, r#"{"a": "", "c": 0}"#);
    assert_eq!(found, ["a", "b", "c", "d", "e"].map(|path| format!("{path} must be present")));
    let request = r#"{"a": "x", "b": "", "c": -1, "d": {}, "e": [""]}"#;
    assert_eq!(violations(fields, request), ["d.name must be present"], "what is there is looked into");
}

#[test]
fn nothing_is_asked_of_what_is_inside_an_absent_message() {
    assert!(violations("In one = 1; optional In two = 2;", "{}").is_empty());
    assert_eq!(
        violations("In one = 1; optional In two = 2;", r#"{"two": {}}"#),
        ["two.name must be present"]
    );
}

#[test]
fn texts_have_lengths_in_characters() {
    let fields =
        "optional string a = 1 [(buf.validate.field).string = { min_len: 2 max_len: 3 prefix: \"ا\" }];
        optional string b = 2 [(buf.validate.field).string.len = 2];
        optional string c = 3 [(buf.validate.field).string.pattern = \"[0-9]\"];";
    assert!(violations(fields, r#"{"a": "ابت", "b": "ab", "c": "x1y"}"#).is_empty());
    assert!(violations(fields, "{}").is_empty(), "what tracks presence is not asked for");
    assert_eq!(
        violations(fields, r#"{"a": "x", "b": "abc", "c": "x"}"#),
        [
            "a must have at least 2 characters",
            "a must begin with `ا`",
            "b must have 2 characters",
            "c must match `[0-9]`"
        ]
    );
    assert_eq!(violations(fields, r#"{"a": "ابتث"}"#), ["a must have at most 3 characters"]);
}

#[test]
fn numbers_have_bounds_as_their_types_read_them() {
    let fields = "optional int32 a = 1 [(buf.validate.field).int32 = { gt: -2 lte: 5 }];
        optional uint32 b = 2 [(buf.validate.field).uint32 = { lt: 4000000000 }];
        optional int64 c = 3 [(buf.validate.field).int64.gte = -9223372036854775808];
        optional uint64 d = 4 [(buf.validate.field).uint64.lt = 18446744073709551615];
        int32 e = 5 [(buf.validate.field).int32.lte = 0];";
    for request in [
        r#"{"a": -1, "b": 3999999999, "c": "-9223372036854775808", "d": "18446744073709551614"}"#,
        r#"{"a": 5}"#,
        "{}",
    ] {
        assert!(violations(fields, request).is_empty(), "{request}");
    }
    let request = r#"{"a": -2, "b": 4000000000, "d": "18446744073709551615", "e": 1}"#;
    assert_eq!(
        violations(fields, request),
        [
            "a must be at least -1",
            "b must be at most 3999999999",
            "d must be at most 18446744073709551614",
            "e must be at most 0"
        ]
    );
    assert_eq!(violations(fields, r#"{"a": 6}"#), ["a must be at most 5"]);
    let above_zero = "int32 e = 5 [(buf.validate.field).int32.gt = 0];";
    assert_eq!(
        violations(above_zero, "{}"),
        ["e must be at least 1"],
        "absent is 0 where presence is not tracked"
    );
}

#[test]
fn enums_and_items_have_bounds() {
    let fields = "Color color = 1 [(buf.validate.field).enum.defined_only = true];
        repeated int32 packed = 2 [(buf.validate.field).repeated = { min_items: 1 max_items: 2 }];
        repeated fixed64 wide = 3 [(buf.validate.field).repeated.max_items = 1];
        repeated In all = 4 [(buf.validate.field).repeated.max_items = 1];";
    let fields = fields.replace("repeated In all", "repeated string all");
    assert!(
        violations(&fields, r#"{"color": "BLUE", "packed": [300, -1], "wide": ["1"], "all": ["x"]}"#)
            .is_empty()
    );
    assert_eq!(
        violations(&fields, r#"{"color": 4, "packed": [1, 2, 300], "wide": ["1", "2"], "all": ["x", "y"]}"#),
        [
            "color must be a value that the enum names",
            "packed must have at most 2 items",
            "wide must have at most 1 items",
            "all must have at most 1 items"
        ]
    );
    assert_eq!(violations(&fields, "{}"), ["packed must have at least 1 items"]);
}

#[test]
fn a_rule_that_would_not_be_checked_is_refused() {
    for (fields, finding) in [
        ("string a = 1 [(buf.validate.field).string.email = true];", "email"),
        ("string a = 1 [(buf.validate.field).cel = { id: \"x\" expression: \"true\" }];", "cel"),
        (
            "string a = 1 [(buf.validate.field).int32.gt = 1];",
            "the rule `int32` of buf.validate is not supported here",
        ),
        ("repeated string a = 1 [(buf.validate.field).string.len = 1];", "`string` of buf.validate"),
        (
            "map<string, string> a = 1 [(buf.validate.field).repeated.max_items = 1];",
            "`repeated` of buf.validate",
        ),
        ("repeated In a = 1;", "a rule is checked only where a request has one such field"),
        ("string a = 1 [(chapar.contract.v1.field).pattern = \"(\"];", "no regular expression"),
        ("string a = 1 [(chapar.contract.v1.field).pattern = \"(?=x)\"];", "no regular expression"),
        ("int32 a = 1 [(chapar.contract.v1.field).pattern = \"1\"];", "only one text has a pattern"),
    ] {
        let error = contract(fields).unwrap_err().to_string();
        assert!(error.contains("t/t.proto:") && error.contains(finding), "`{finding}` in\n{error}");
    }
}

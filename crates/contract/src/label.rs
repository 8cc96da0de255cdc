//! `Label` is what a contract calls a field or an enum's value, for people, in Persian and English.

use prost_reflect::{EnumValueDescriptor, FieldDescriptor, Kind, MessageDescriptor};

use crate::options::{self, pb};

/// A name for people.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Label {
    /// In Persian.
    pub fa: String,
    /// In English.
    pub en: String,
}

/// The label of a field, if its contract gives it one in both languages.
pub fn label_of_field(field: &FieldDescriptor) -> Option<Label> {
    whole(options::field(field.parent_pool(), field)?.label)
}

/// The label of an enum's value.
pub fn label_of_value(value: &EnumValueDescriptor) -> Option<Label> {
    whole(options::value(value.parent_pool(), value))
}

/// The label of the field at a dotted path in a message; repeated fields are passed through.
pub fn label_of_path(message: &MessageDescriptor, path: &str) -> Option<Label> {
    let mut inside = Some(message.clone());
    let mut label = None;
    for name in path.split('.') {
        let field = inside?.get_field_by_name(name)?;
        label = label_of_field(&field);
        inside = match field.kind() {
            Kind::Message(inner) => Some(inner),
            _ => None,
        };
    }
    label
}

/// Whether a label has one language alone.
pub(crate) fn is_half(label: &pb::Label) -> bool {
    label.fa.is_empty() != label.en.is_empty()
}

/// A label with one language alone is none: half of the readers would see the other's.
fn whole(label: Option<pb::Label>) -> Option<Label> {
    let pb::Label { fa, en } = label?;
    (!fa.is_empty() && !en.is_empty()).then_some(Label { fa, en })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::Contract;

    #[test]
    fn every_field_and_value_of_the_reference_contracts_answers_has_a_label() {
        let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto");
        for register in ["civil", "health", "education", "agriculture", "banking"] {
            let contract = Contract::load(&proto.join(register)).unwrap();
            let mut messages: Vec<MessageDescriptor> = contract
                .services()
                .flat_map(|service| service.methods())
                .map(|method| method.output().clone())
                .collect();
            let mut seen = Vec::new();
            while let Some(message) = messages.pop() {
                if seen.contains(&message) || message.package_name() == "google.type" {
                    continue;
                }
                for field in message.fields() {
                    match field.kind() {
                        Kind::Message(inner) => messages.push(inner),
                        Kind::Enum(values) => {
                            // The zero value says that nothing was told.
                            for value in values.values().filter(|value| value.number() > 0) {
                                assert!(label_of_value(&value).is_some(), "{}", value.full_name());
                            }
                        }
                        _ => {}
                    }
                    let is_single = !matches!(field.kind(), Kind::Message(_));
                    assert!(!is_single || label_of_field(&field).is_some(), "{}", field.full_name());
                }
                seen.push(message);
            }
            assert!(seen.len() >= 2, "{register}");
        }
    }

    /// A contract whose response has these fields beside a whole one.
    fn contract(fields: &str) -> Result<Contract, String> {
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            r#"syntax = "proto3";
package a.v1;
import "chapar/contract/v1/options.proto";
service S {{ rpc Get(Request) returns (Answer); }}
message Request {{}}
message Answer {{
  string both = 1 [(chapar.contract.v1.field) = {{ class: CLASS_PUBLIC label: {{ fa: "هر دو" en: "both" }} }}];
  Inner more = 2;
  {fields}
}}
message Inner {{
  string both = 1 [(chapar.contract.v1.field) = {{ class: CLASS_PUBLIC label: {{ fa: "درون" en: "inner" }} }}];
}}
enum Kind {{
  KIND_UNSPECIFIED = 0;
  KIND_HALF = 1 [(chapar.contract.v1.value) = {{ en: "half" }}];
}}
"#
        );
        std::fs::create_dir_all(folder.path().join("a/v1")).unwrap();
        std::fs::write(folder.path().join("a/v1/a.proto"), text).unwrap();
        Contract::load(&folder.path().join("a")).map_err(|error| error.to_string())
    }

    #[test]
    fn a_label_is_that_of_the_last_field_of_a_path() {
        let contract = contract("").unwrap();
        let answer = contract.pool().get_message_by_name("a.v1.Answer").unwrap();
        let label = |path: &str| label_of_path(&answer, path).map(|label| label.en);
        assert_eq!(label("both").as_deref(), Some("both"));
        assert_eq!(label("more.both").as_deref(), Some("inner"));
        assert_eq!([label("none"), label("both.none")], [None, None]);
    }

    #[test]
    fn a_label_in_one_language_is_a_finding() {
        let field =
            r#"string one = 3 [(chapar.contract.v1.field) = { class: CLASS_PUBLIC label: { fa: "یکی" } }];"#;
        let value = "Kind kind = 3 [(chapar.contract.v1.field) = { class: CLASS_PUBLIC }];";
        for (fields, whose) in [(field, "a.v1.Answer.one"), (value, "a.v1.KIND_HALF")] {
            let error = contract(fields).err().unwrap();
            assert!(error.contains(whose) && error.contains("has both `fa` and `en`"), "{error}");
        }
    }
}

//! `schema` is the JSON Schema (draft 7) of the registry's files, for editors that complete and check TOML.
//! It has names and types; the loader checks whether they fit together. A test compares the schema with the
//! loader, table by table.

use serde_json::{Map, Value, json};

use crate::operator::Role;

/// The schema of every file: a member's, a procedure's, `bus.toml` and `suspensions.toml`. Which tables a
/// file may have is checked by the loader.
pub fn schema() -> Value {
    let tables: Map<String, Value> = TABLES
        .iter()
        .map(|table| {
            let one = object(table.keys);
            let value = if table.many { json!({"type": "array", "items": one}) } else { one };
            (table.name.to_owned(), described(value, table.meaning))
        })
        .collect();
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "A file of Chapar's registry",
        "type": "object",
        "additionalProperties": false,
        "properties": tables,
    })
}

/// One table of the files.
struct Table {
    name: &'static str,
    /// Whether the table is written `[[name]]`.
    many: bool,
    meaning: &'static str,
    keys: &'static [Key],
}

/// One key of a table.
struct Key {
    name: &'static str,
    required: bool,
    kind: Kind,
}

enum Kind {
    Text,
    Texts,
    Flag,
    Count,
    Day,
    Moment,
    /// One of these words.
    Word(&'static [&'static str]),
    /// Some of these words.
    Words(&'static [&'static str]),
    /// A text that matches this pattern.
    Like(&'static str),
    /// Name → text.
    Named,
    /// Name → texts.
    NamedTexts,
    Object(&'static [Key]),
}

use Kind::{Count, Day, Flag, Like, Moment, Named, NamedTexts, Object, Text, Texts, Word, Words};

const fn must(name: &'static str, kind: Kind) -> Key {
    Key { name, required: true, kind }
}

const fn may(name: &'static str, kind: Kind) -> Key {
    Key { name, required: false, kind }
}

const VALID: Kind = Object(&[must("from", Day), must("until", Day)]);
const NAME: Kind = Object(&[must("fa", Text), must("en", Text)]);
const SHA256: Kind = Like("^sha256:[0-9a-f]{64}$");

const TABLES: &[Table] = &[
    Table { name: "bus", many: false, meaning: "The deployment", keys: &[must("trust_domain", Text)] },
    Table {
        name: "approver",
        many: true,
        meaning: "Who may approve changes",
        keys: &[must("id", Text), must("key", Text), must("roles", Texts)],
    },
    Table {
        name: "operator",
        many: true,
        meaning: "Who operates the bus, in which roles",
        keys: &[must("id", Text), must("roles", Words(Role::NAMES))],
    },
    Table {
        name: "approval",
        many: true,
        meaning: "Which changes need whom",
        keys: &[must("of", Texts), must("needs", Texts)],
    },
    Table {
        name: "member",
        many: false,
        meaning: "An organisation",
        keys: &[
            must("name", NAME),
            must("issuers", Texts),
            may("attributes", Named),
            may("licence", Object(&[must("number", Text), must("valid", VALID)])),
        ],
    },
    Table { name: "subsystem", many: true, meaning: "One system of a member", keys: &[must("id", Text)] },
    Table {
        name: "procedure",
        many: false,
        meaning: "What is asked about one citizen in one call",
        keys: &[must("name", NAME), must("purpose", Text), must("callers", Texts), may("on_behalf_of", Text)],
    },
    Table {
        name: "input",
        many: true,
        meaning: "What the citizen tells besides the national id",
        keys: &[must("id", Text), must("name", NAME)],
    },
    Table {
        name: "part",
        many: true,
        meaning: "One method that a procedure asks",
        keys: &[must("id", Text), must("method", Text), may("request", Named), may("replaces", NAME)],
    },
    Table {
        name: "service",
        many: true,
        meaning: "A service that a member provides",
        keys: &[
            must("contract", Text),
            must("digest", SHA256),
            must("adapters", Texts),
            may("endpoints", Texts),
            may("server", Word(&["adapter", "grpc"])),
            may("metadata", Object(&[may("request", Texts), may("response", Texts)])),
            may("limit", Object(&[may("concurrent", Count)])),
            may("hidden", Flag),
        ],
    },
    Table {
        name: "group",
        many: true,
        meaning: "Subsystems that share grants",
        keys: &[
            must("id", Text),
            may("members", Texts),
            may("where", NamedTexts),
            may("class", Word(&["gov", "com", "office", "bus"])),
            may("subsystem", Text),
        ],
    },
    Table {
        name: "grant",
        many: true,
        meaning: "A provider's permission",
        keys: &[
            must("id", Text),
            must("to", Text),
            must("method", Text),
            may("purposes", Texts),
            must("fields", Texts),
            may("rows", NamedTexts),
            must("valid", VALID),
            may("hours", Object(&[may("days", Text), must("from", Text), must("until", Text)])),
            may(
                "limit",
                Object(&[
                    may("rate", Text),
                    may("burst", Count),
                    may("daily", Count),
                    may("concurrent", Count),
                    may("subjects", Object(&[may("hour", Count), may("day", Count)])),
                    may("clerk_subjects", Object(&[may("hour", Count), may("day", Count)])),
                ]),
            ),
            may("requires", Words(&["case", "clerk"])),
            may("case_pattern", Text),
            must("basis", Text),
            may("citizen", Like("^(shown|after [0-9]{4}-[0-9]{2}-[0-9]{2})$")),
        ],
    },
    Table {
        name: "delegation",
        many: true,
        meaning: "A right that another member may use",
        keys: &[
            must("id", Text),
            must("to", Text),
            must("methods", Texts),
            may("purposes", Texts),
            may("fields", Texts),
            must("valid", VALID),
        ],
    },
    Table {
        name: "suspension",
        many: true,
        meaning: "What is stopped for a time",
        keys: &[must("of", Text), may("from", Moment), may("until", Moment), must("reason", Text)],
    },
    Table {
        name: "test",
        many: true,
        meaning: "What the authors expect",
        keys: &[
            must("as", Text),
            must("call", Text),
            may("purpose", Text),
            may("case", Text),
            may("clerk", Text),
            may("on_behalf_of", Text),
            may("on", Day),
            may("allow", Texts),
            may("deny", Texts),
            may("expect", Text),
        ],
    },
];

fn described(mut value: Value, meaning: &str) -> Value {
    if let Some(object) = value.as_object_mut() {
        object.insert("description".to_owned(), json!(meaning));
    }
    value
}

fn object(keys: &[Key]) -> Value {
    let properties: Map<String, Value> =
        keys.iter().map(|key| (key.name.to_owned(), kind(&key.kind))).collect();
    let required: Vec<&str> = keys.iter().filter(|key| key.required).map(|key| key.name).collect();
    // An unknown key is refused, as by the loader (`deny_unknown_fields`).
    json!({"type": "object", "additionalProperties": false, "properties": properties, "required": required})
}

fn kind(kind: &Kind) -> Value {
    let texts = json!({"type": "array", "items": {"type": "string"}});
    match kind {
        Text => json!({"type": "string"}),
        Texts => texts,
        Flag => json!({"type": "boolean"}),
        Count => json!({"type": "integer", "minimum": 1}),
        // Editors turn TOML's dates into different JSON types, mostly a string.
        Day | Moment => json!({"type": ["string", "object"]}),
        Word(words) => json!({"enum": words}),
        Words(words) => json!({"type": "array", "items": {"enum": words}, "uniqueItems": true}),
        Like(pattern) => json!({"type": "string", "pattern": pattern}),
        Named => json!({"type": "object", "additionalProperties": {"type": "string"}}),
        NamedTexts => json!({"type": "object", "additionalProperties": texts}),
        Object(keys) => object(keys),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Files;

    /// What the loader says of a text in `bus.toml`, in `suspensions.toml` or in a member's file.
    fn errors(table: &str, text: &str) -> String {
        let file = match table {
            "bus" | "operator" | "approver" | "approval" => "bus.toml",
            "suspension" => "suspensions.toml",
            "procedure" | "input" | "part" => "procedures/new.toml",
            _ => "gov/new.toml",
        };
        let files =
            if table == "bus" { Files::default().edit(file, String::clear) } else { Files::default() };
        files.with(file, text).errors()
    }

    /// The names between backticks after `expected`: what serde would have taken.
    fn expected(errors: &str) -> Vec<String> {
        let line = errors
            .lines()
            .find(|line| line.contains("unknown field `nonsense`"))
            .unwrap_or_else(|| panic!("{errors}"));
        let (_, names) = line.split_once("expected").unwrap();
        let mut names: Vec<String> = names.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        names.sort();
        names
    }

    fn names(keys: &[Key]) -> Vec<String> {
        let mut names: Vec<String> = keys.iter().map(|key| key.name.to_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn every_table_has_the_keys_that_the_loader_takes() {
        for table in TABLES {
            let header = if table.many { format!("[[{}]]", table.name) } else { format!("[{}]", table.name) };
            let found = expected(&errors(table.name, &format!("{header}\nnonsense = 1\n")));
            assert_eq!(found, names(table.keys), "{}", table.name);
            for key in table.keys {
                if let Object(inner) = &key.kind {
                    let text = format!("{header}\n{} = {{ nonsense = 1 }}\n", key.name);
                    assert_eq!(
                        expected(&errors(table.name, &text)),
                        names(inner),
                        "{}.{}",
                        table.name,
                        key.name
                    );
                }
            }
        }
    }

    #[test]
    fn every_key_that_must_be_there_is_missed_by_the_loader_and_no_other() {
        for table in TABLES {
            let header = if table.many { format!("[[{}]]", table.name) } else { format!("[{}]", table.name) };
            let first = table.keys.iter().find(|key| key.required).unwrap();
            let said = errors(table.name, &format!("{header}\n"));
            assert!(said.contains(&format!("missing field `{}`", first.name)), "{}: {said}", table.name);
        }
    }

    #[test]
    fn every_table_of_the_loader_is_in_the_schema() {
        let known: Vec<&str> = TABLES.iter().map(|table| table.name).collect();
        let files = [
            crate::raw::OF_A_MEMBER,
            crate::raw::OF_THE_BUS,
            crate::raw::OF_SUSPENSIONS,
            crate::raw::OF_A_PROCEDURE,
        ];
        for name in files.into_iter().flatten() {
            assert!(known.contains(name), "{name}");
        }
        let schema = schema();
        assert_eq!(schema["properties"]["grant"]["items"]["additionalProperties"], false);
        assert_eq!(schema["properties"].as_object().unwrap().len(), known.len());
    }
}

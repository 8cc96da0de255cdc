//! This module makes a small bus for this crate's tests: one contract, one provider, two callers, and a
//! member that acts for another.

use std::path::Path;
use std::sync::LazyLock;

use chapar_contract::Contract;
use jiff::Timestamp;

use crate::decide::{Question, Refused};
use crate::finding::{Findings, LoadErrors};
use crate::grant::Permit;
use crate::load;
use crate::registry::Registry;
use crate::source::Source;

const PROTO: &str = r#"syntax = "proto3";
package desk.v1;
import "chapar/contract/v1/options.proto";
service Desk {
  rpc Get(Ask) returns (Person) {
    option (chapar.contract.v1.method) = { subject: "id" purposes: ["desk.read", "desk.write"] row_scopes: ["province"] };
  }
  rpc List(Ask) returns (stream Person) {
    option (chapar.contract.v1.method) = { subject: "id" purposes: ["desk.read"] };
  }
  rpc Count(Nothing) returns (Number) {}
  rpc Compare(Claim) returns (Number) {
    option (chapar.contract.v1.method) = { subject: "id" purposes: ["desk.read"] };
  }
}
message Claim {
  string id = 1;
  string name = 2 [(chapar.contract.v1.field).format = FORMAT_IR_MOBILE];
  optional string city = 3;
  optional int32 age = 4;
  repeated string names = 5;
  Who who = 6;
  oneof where { string town = 7; string village = 8; }
}
message Who { string id = 1; }
message Ask { string id = 1; }
message Nothing {}
message Number { int64 number = 1 [(chapar.contract.v1.field).class = CLASS_PUBLIC]; }
message Person {
  string id = 1 [(chapar.contract.v1.field) = { class: CLASS_PERSONAL key: true }];
  string name = 2 [(chapar.contract.v1.field).class = CLASS_PERSONAL];
  Place place = 3;
  string note = 4 [(chapar.contract.v1.field).class = CLASS_SECRET];
}
message Place {
  string city = 1 [(chapar.contract.v1.field).class = CLASS_PERSONAL];
  string street = 2 [(chapar.contract.v1.field).class = CLASS_SENSITIVE];
}
"#;

pub(crate) static CONTRACT: LazyLock<Contract> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("desk");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("desk.proto"), PROTO).unwrap();
    Contract::load(&dir).unwrap()
});

/// The files of a good registry.
#[derive(Clone)]
pub(crate) struct Files(Vec<(String, String)>);

impl Default for Files {
    fn default() -> Self {
        let member = |name: &str, subsystem: &str| {
            let issuer = "ab".repeat(32);
            format!(
                "[member]\nname = {{ fa = \"{name}\", en = \"{name}\" }}\nissuers = [\"sha256:{issuer}\"]\n\n[[subsystem]]\nid = \"{subsystem}\"\n"
            )
        };
        let service = format!(
            "\n[[service]]\ncontract = \"desk.v1.Desk\"\ndigest = \"{}\"\nadapters = [\"spiffe://bus.example/gov/desk/adapter\"]\nendpoints = [\"https://10.0.0.5:8443\"]\n",
            CONTRACT.digest()
        );
        let files = [
            ("bus.toml", "[bus]\ntrust_domain = \"bus.example\"\n".to_owned()),
            ("com/bank.toml", member("bank", "loans")),
            ("gov/desk.toml", member("desk", "adapter") + &service),
            ("gov/welfare.toml", member("welfare", "benefits")),
            ("office/north.toml", member("north", "counter")),
        ];
        Self(files.map(|(path, text)| (path.to_owned(), text)).into())
    }
}

impl Files {
    /// The text of one file, to change it.
    pub(crate) fn edit(mut self, path: &str, edit: impl FnOnce(&mut String)) -> Self {
        match self.0.iter_mut().find(|(file, _)| file == path) {
            Some((_, text)) => edit(text),
            None => {
                let mut text = String::new();
                edit(&mut text);
                self.0.push((path.to_owned(), text));
            }
        }
        self
    }

    /// More tables at the end of one file.
    pub(crate) fn with(self, path: &str, tables: &str) -> Self {
        self.edit(path, |text| text.push_str(&format!("\n{tables}")))
    }

    pub(crate) fn replace(self, path: &str, from: &str, to: &str) -> Self {
        self.edit(path, |text| {
            assert!(text.contains(from), "{from:?} is in {path}:\n{text}");
            *text = text.replace(from, to);
        })
    }

    /// As a folder.
    pub(crate) fn write(&self, dir: &Path) {
        for (path, text) in &self.0 {
            let path = dir.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
    }

    pub(crate) fn load(self) -> Result<Registry, LoadErrors> {
        let mut files = self.0;
        files.sort();
        let sources = files.into_iter().map(|(path, text)| {
            let name = Path::new("registry").join(&path);
            Source::new(path, &name, text)
        });
        load::build(
            Path::new("registry"),
            sources.collect(),
            std::slice::from_ref(&CONTRACT),
            Findings::default(),
        )
    }

    /// What is wrong, one line each.
    pub(crate) fn errors(self) -> String {
        self.load().expect_err("the registry is wrong").to_string()
    }
}

/// A grant of `Get`, with further lines.
pub(crate) fn grant(id: &str, to: &str, lines: &str) -> String {
    let mut text = format!("[[grant]]\nid = \"{id}\"\nto = \"{to}\"\nbasis = \"Decree 1\"\n{lines}\n");
    for (key, default) in [
        ("method", "method = \"desk.v1.Desk/Get\"\n"),
        ("purposes", "purposes = [\"desk.read\"]\n"),
        ("fields", "fields = [\"name\"]\n"),
        ("valid", "valid = { from = 2026-01-01, until = 2026-12-31 }\n"),
    ] {
        if !lines.lines().any(|line| line.starts_with(key)) {
            text.push_str(default);
        }
    }
    text
}

/// A call by its words: caller, method, and `key=value` for what else it carries.
pub(crate) fn ask(
    registry: &Registry,
    caller: &str,
    method: &str,
    words: &str,
) -> Result<std::sync::Arc<Permit>, Refused> {
    question(registry, caller, method, words, |question| registry.decide(question))
}

/// What `then` makes of such a call.
pub(crate) fn question<T>(
    registry: &Registry,
    caller: &str,
    method: &str,
    words: &str,
    then: impl FnOnce(&Question<'_>) -> T,
) -> T {
    let word = |key: &str| words.split(' ').find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
    then(&Question {
        caller: &caller.parse().unwrap(),
        method: registry.method(&format!("desk.v1.Desk/{method}")).unwrap(),
        purpose: word("purpose").map(|text| text.parse().unwrap()).as_ref(),
        case: word("case").map(|text| text.parse().unwrap()).as_ref(),
        clerk: word("clerk").map(|text| text.parse().unwrap()).as_ref(),
        on_behalf_of: word("for").map(|text| text.parse().unwrap()).as_ref(),
        now: word("at").unwrap_or("2026-06-01T00:00:00Z").parse::<Timestamp>().unwrap(),
    })
}

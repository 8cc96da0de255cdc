//! These tests write contracts to a folder and load them: digests, merging, and what the compiler refuses.

use super::*;
use crate::{Class, MethodKind};

fn reference(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto").join(name)
}

fn load(text: &str) -> Result<Contract, Error> {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("t");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("t.proto"), text).unwrap();
    Contract::load(&dir)
}

fn valid(response: &str) -> String {
    format!(
        "syntax = \"proto3\";\npackage t;\nimport \"chapar/contract/v1/options.proto\";\nservice S {{\n  rpc Get(Ask) returns (Say) {{\n    option (chapar.contract.v1.method) = {{ subject: \"id\" purposes: [\"a.b\"] }};\n  }}\n}}\nmessage Ask {{ string id = 1; }}\nmessage Say {{\n{response}\n}}\n"
    )
}

#[test]
fn the_reference_contracts_load() {
    for name in ["civil", "health", "education", "agriculture", "banking"] {
        let contract = Contract::load(&reference(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(contract.services().all(|service| !service.methods().is_empty()), "{name}");
        assert!(contract.digest().starts_with("sha256:"));
    }
}

#[test]
fn rules_are_read_from_the_options() {
    let contract = Contract::load(&reference("civil")).unwrap();
    let get = contract.method(&"civil.v1.CivilRegistry/GetPerson".parse().unwrap()).unwrap();
    assert_eq!(get.subject().map(ToString::to_string).as_deref(), Some("national_id"));
    assert_eq!(get.key().map(ToString::to_string).as_deref(), Some("national_id"));
    assert!(get.purposes().iter().any(|purpose| purpose.as_str() == "benefit.eligibility"));
    assert_eq!(get.kind(), MethodKind::Unary);
    assert!(get.fields().iter().any(|field| field.path == "birth_date" && field.class == Class::Personal));
    let list = contract.method(&"civil.v1.CivilRegistry/ListChildren".parse().unwrap()).unwrap();
    assert_eq!(list.kind(), MethodKind::ServerStreaming);
}

#[test]
fn the_digest_ignores_comments_and_nothing_else() {
    let plain = load(&valid("  string id = 1 [(chapar.contract.v1.field).class = CLASS_PERSONAL];")).unwrap();
    let commented =
        load(&valid("  // A comment.\n  string id = 1 [(chapar.contract.v1.field).class = CLASS_PERSONAL];"))
            .unwrap();
    let lowered = load(&valid("  string id = 1 [(chapar.contract.v1.field).class = CLASS_PUBLIC];")).unwrap();
    assert_eq!(plain.digest(), commented.digest());
    assert_ne!(plain.digest(), lowered.digest());
}

/// A folder `t` with `text`, compiled with the options of `with`.
fn digest_with(text: &str, with: &dyn Fn(&str, &str) -> String) -> String {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("t")).unwrap();
    std::fs::write(folder.path().join("t/t.proto"), text).unwrap();
    for (name, text) in crate::BUILT_IN {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, with(name, text)).unwrap();
    }
    let mut resolver = protox::file::ChainFileResolver::new();
    resolver.add(protox::file::GoogleFileResolver::new());
    resolver.add(protox::file::IncludeFileResolver::new(folder.path().to_owned()));
    let mut compiler = protox::Compiler::with_file_resolver(resolver);
    compiler.include_imports(true).open_file("t/t.proto").unwrap();
    digest::digest(&compiler.encode_file_descriptor_set().into()).unwrap()
}

#[test]
fn chapars_own_options_are_no_part_of_the_digest_and_what_only_bears_their_name_is() {
    let text = valid("  string id = 1 [(chapar.contract.v1.field).class = CLASS_PERSONAL];");
    let ours = digest_with(&text, &|_, text| text.to_owned());
    assert_eq!(ours, load(&text).unwrap().digest());
    let without_import = "syntax = \"proto3\";\npackage t;\nmessage M { string id = 1; }\n";
    let importing = without_import.replace("message", "import \"google/protobuf/duration.proto\";\nmessage");
    assert_ne!(
        load(without_import).unwrap().digest(),
        load(&importing).unwrap().digest(),
        "its own imports count"
    );
    let other = digest_with(&text, &|name, text| match name {
        "chapar/contract/v1/options.proto" => text.replace("CLASS_PUBLIC = 1", "CLASS_PUBLIC = 9"),
        _ => text.to_owned(),
    });
    assert_ne!(ours, other, "a file that only bears the name of ours is part of the contract");
}

/// Pinned: a newer Chapar must not change what registries name.
#[test]
fn the_digest_of_a_contract_outlives_a_release() {
    let text = "syntax = \"proto3\";\npackage t;\nimport \"chapar/contract/v1/options.proto\";\nmessage M { string id = 1 [(chapar.contract.v1.field).class = CLASS_PUBLIC]; }\n";
    assert_eq!(
        load(text).unwrap().digest(),
        "sha256:968ef431814c5d3483e695000e8d66a966c01ff19c20f3534e43bc3eeb131e4f"
    );
}

#[test]
fn every_finding_is_told_with_its_place() {
    let text = valid("  string id = 1;\n  string name = 2;")
        .replace("subject: \"id\"", "subject: \"nobody\"")
        .replace("a.b", "A B");
    let error = load(&text).unwrap_err().to_string();
    for part in ["t/t.proto:11:3: t.Say.id", "t/t.proto:12:3: t.Say.name", "`nobody`", "`A B`"] {
        assert!(error.contains(part), "{part} in\n{error}");
    }
}

#[test]
fn a_typing_error_is_told_with_its_place() {
    let error = load("syntax = \"proto3\";\npackage t;\nmessage {\n").unwrap_err().to_string();
    assert!(error.contains("t/t.proto:3:9"), "{error}");
}

#[test]
fn a_method_may_stream_either_way() {
    let unary = valid("  string id = 1 [(chapar.contract.v1.field).class = CLASS_PUBLIC];");
    let kind = |text: String| load(&text).unwrap().services().next().unwrap().methods()[0].kind();
    let asking = unary.replace("(Ask)", "(stream Ask)");
    assert_eq!(kind(unary), MethodKind::Unary);
    assert_eq!(kind(asking.clone()), MethodKind::ClientStreaming);
    assert_eq!(kind(asking.replace("returns (Say)", "returns (stream Say)")), MethodKind::BidiStreaming);
}

#[test]
fn a_stream_may_last_a_day_and_no_longer() {
    let unary = valid("  string id = 1 [(chapar.contract.v1.field).class = CLASS_PUBLIC];");
    let lasting = |seconds: u32| {
        let rules = format!("subject: \"id\" timeout: {{ seconds: {seconds} }}");
        load(&unary.replace("(Ask)", "(stream Ask)").replace("subject: \"id\"", &rules))
    };
    assert!(lasting(86_400).is_ok());
    assert!(lasting(86_401).unwrap_err().to_string().contains("24 h"));
}

#[test]
fn editions_are_refused() {
    assert!(load("edition = \"2023\";\npackage t;\n").is_err());
    let set = prost_types::FileDescriptorSet {
        file: vec![prost_types::FileDescriptorProto {
            name: Some("e.proto".into()),
            syntax: Some("editions".into()),
            ..Default::default()
        }],
    };
    let error = Contract::from_descriptor_set(set.encode_to_vec().into()).unwrap_err().to_string();
    assert!(error.contains("editions"), "{error}");
}

#[test]
fn merged_sets_hold_each_file_once_with_its_options() {
    let contracts: Vec<_> = ["civil", "banking"].map(|name| Contract::load(&reference(name)).unwrap()).into();
    let merged = Contract::from_descriptor_set(merge_descriptor_sets(&contracts).into()).unwrap();
    assert_eq!(merged.services().count(), 2);
    let get = merged.method(&"civil.v1.CivilRegistry/GetPerson".parse().unwrap()).unwrap();
    assert!(!get.purposes().is_empty(), "the options are kept");
}

#[test]
fn every_fault_that_the_compiler_sees_is_told_once() {
    let text = "syntax = \"proto3\";\npackage t;\nmessage A { string a = 1 string b = 2; }\nmessage B { string = 1; }\n";
    let error = load(text).unwrap_err().to_string();
    assert!(error.contains("t/t.proto:3:26: ") && error.contains("t/t.proto:4:20: "), "{error}");
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("t");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("broken.proto"), "syntax = \"proto3\";\npackage t;\nmessage {\n").unwrap();
    std::fs::write(dir.join("uses.proto"), "syntax = \"proto3\";\npackage t;\nimport \"t/broken.proto\";\n")
        .unwrap();
    let error = Contract::load(&dir).unwrap_err().to_string();
    assert_eq!(error.matches("t/broken.proto:3:9").count(), 1, "{error}");
}

#[test]
fn hidden_folders_are_no_part_of_a_contract() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("t");
    std::fs::create_dir_all(dir.join("..data")).unwrap();
    let text = valid("  string id = 1 [(chapar.contract.v1.field).class = CLASS_PUBLIC];");
    std::fs::write(dir.join("t.proto"), &text).unwrap();
    std::fs::write(dir.join("..data/t.proto"), &text).unwrap();
    assert_eq!(Contract::load(&dir).unwrap().services().count(), 1);
}

#[test]
fn an_option_of_the_same_name_that_is_not_chapars_is_refused() {
    let foreign =
        "syntax = \"proto2\"; package chapar.contract.v1; import \"google/protobuf/descriptor.proto\";
        message Rules { repeated string purposes = 2; }
        extend google.protobuf.MethodOptions { optional Rules method = 50999; }";
    let mut resolver = protox::file::ChainFileResolver::new();
    resolver.add(protox::file::GoogleFileResolver::new());
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("options.proto"), foreign).unwrap();
    let service = "syntax = \"proto3\"; package t; import \"options.proto\"; message M {}
        service S { rpc Get(M) returns (M) { option (chapar.contract.v1.method) = { purposes: [\"a.b\"] }; } }";
    std::fs::write(folder.path().join("s.proto"), service).unwrap();
    resolver.add(protox::file::IncludeFileResolver::new(folder.path().to_owned()));
    let mut compiler = protox::Compiler::with_file_resolver(resolver);
    compiler.include_imports(true).open_file("s.proto").unwrap();
    let error =
        Contract::from_descriptor_set(compiler.encode_file_descriptor_set().into()).unwrap_err().to_string();
    assert!(error.contains("t.S.Get: its rules cannot be read"), "{error}");
}

#[test]
fn foreign_bytes_are_a_finding_and_never_a_panic() {
    for bytes in [&b"\x0a"[..], b"\x0a\x01\xff", b"\xff\xff\xff", b"\x0a\x03\x0a\x01\xff"] {
        assert!(Contract::from_descriptor_set(Bytes::from_static(bytes)).is_err(), "{bytes:x?}");
    }
    let whole = Contract::load(&reference("banking")).unwrap().descriptor_bytes().clone();
    for end in (0..whole.len()).step_by(97) {
        // Some cuts fall between two files and leave a smaller set: an answer either way.
        Contract::from_descriptor_set(whole.slice(..end)).ok();
    }
}

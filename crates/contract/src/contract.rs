//! One compiled contract: original descriptor bytes, their digest, and the methods with their rules.

use std::collections::HashMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use chapar_model::MethodPath;
use prost::Message as _;
use prost_reflect::DescriptorPool;

use crate::finding::{Error, Finding};
use crate::method::Method;
use crate::{compile, rules, wire};

/// A compiled contract folder. Cheap to clone.
#[derive(Clone)]
pub struct Contract(Arc<Inner>);

impl fmt::Debug for Contract {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Contract").field(&self.0.digest).finish()
    }
}

struct Inner {
    bytes: Bytes,
    digest: String,
    pool: DescriptorPool,
    services: Vec<Service>,
    methods: HashMap<MethodPath, Arc<Method>>,
}

/// One service of a contract.
#[derive(Clone, Debug)]
pub struct Service {
    pub(crate) name: String,
    pub(crate) methods: Vec<Arc<Method>>,
}

impl Service {
    /// The full name, e.g. `civil.v1.CivilRegistry`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its methods, as declared.
    pub fn methods(&self) -> &[Arc<Method>] {
        &self.methods
    }
}

/// A `FileDescriptorSet` whose files stay bytes: decoding them into `prost-types` would drop the options.
#[derive(Clone, PartialEq, prost::Message)]
struct RawSet {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    file: Vec<Bytes>,
}

/// What must be known of a file before anything else decodes it.
#[derive(Clone, PartialEq, prost::Message)]
struct Head {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "12")]
    syntax: String,
}

impl Contract {
    /// Compiles every `.proto` below `dir`. Imports are looked up beside the folder; Chapar's options, `google/type/date.proto`
    /// and `google/protobuf/*` are built in.
    ///
    /// # Errors
    /// [`Error`] with all findings, each with file, line and column.
    pub fn load(dir: &Path) -> Result<Self, Error> {
        let (bytes, names) = compile::folder(dir)?;
        Self::read(bytes, &|file| names.iter().any(|name| name == file))
    }

    /// Reads a compiled `FileDescriptorSet`, imports included. Every service in it is taken as part of the contract.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the bytes are no descriptor set or break a rule.
    pub fn from_descriptor_set(bytes: Bytes) -> Result<Self, Error> {
        Self::read(bytes, &|_| true)
    }

    fn read(bytes: Bytes, own: &dyn Fn(&str) -> bool) -> Result<Self, Error> {
        let pool = decode(&bytes)?;
        let digest = digest(&bytes)?;
        let services = rules::services(&pool, own)?;
        let methods = services.iter().flat_map(|service| &service.methods);
        let methods = methods.map(|method| (method.path().clone(), Arc::clone(method))).collect();
        Ok(Self(Arc::new(Inner { bytes, digest, pool, services, methods })))
    }

    /// The `FileDescriptorSet`, imports, custom options and comments included, as the compiler wrote it.
    pub fn descriptor_bytes(&self) -> &Bytes {
        &self.0.bytes
    }

    /// `sha256:` and 64 hexadecimal digits, over the files without their comments and positions, ordered by name: editing a
    /// comment or moving the folder changes nothing, anything else does.
    pub fn digest(&self) -> &str {
        &self.0.digest
    }

    /// The services, as declared.
    pub fn services(&self) -> impl Iterator<Item = &Service> {
        self.0.services.iter()
    }

    /// The service of that full name.
    pub fn service(&self, name: &str) -> Option<&Service> {
        self.0.services.iter().find(|service| service.name == name)
    }

    /// The method at `path`.
    pub fn method(&self, path: &MethodPath) -> Option<&Arc<Method>> {
        self.0.methods.get(path)
    }

    /// The descriptors.
    pub fn pool(&self) -> &DescriptorPool {
        &self.0.pool
    }
}

fn invalid(file: &str, message: impl Into<String>) -> Error {
    Error::Invalid(vec![Finding { file: file.to_owned(), line: 0, column: 0, message: message.into() }])
}

fn decode(bytes: &Bytes) -> Result<DescriptorPool, Error> {
    let set = RawSet::decode(bytes.clone()).map_err(|_| invalid("", "these bytes are no descriptor set"))?;
    for file in &set.file {
        let head = Head::decode(file.clone()).map_err(|_| invalid("", "these bytes are no file descriptor"))?;
        if !matches!(head.syntax.as_str(), "" | "proto2" | "proto3") {
            return Err(invalid(&head.name, "protobuf editions are not supported: use proto2 or proto3"));
        }
    }
    let decoded = catch_unwind(AssertUnwindSafe(|| {
        let mut pool = DescriptorPool::new();
        pool.decode_file_descriptor_set(bytes.clone()).map(|()| pool)
    }));
    match decoded {
        Ok(Ok(pool)) => Ok(pool),
        Ok(Err(error)) => Err(invalid("", error.to_string())),
        Err(_) => Err(invalid("", "these descriptors cannot be read")),
    }
}

fn digest(bytes: &Bytes) -> Result<String, Error> {
    let unreadable = || invalid("", "these bytes are no file descriptor");
    let set = RawSet::decode(bytes.clone()).map_err(|_| unreadable())?;
    let mut files = Vec::with_capacity(set.file.len());
    for file in set.file {
        let name = Head::decode(file.clone()).map_err(|_| unreadable())?.name;
        // `FileDescriptorProto.source_code_info`
        let bare = wire::without_field(&file, 9).map_err(|_| unreadable())?;
        files.push((name, bare));
    }
    files.sort();
    let mut context = Context::new(&SHA256);
    for (_, file) in files {
        context.update(&(file.len() as u64).to_be_bytes());
        context.update(&file);
    }
    let hex: String = context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("sha256:{hex}"))
}

/// One `FileDescriptorSet` of several contracts, each file once, their bytes untouched.
pub fn merge_descriptor_sets(contracts: &[Contract]) -> Vec<u8> {
    let mut merged = RawSet { file: Vec::new() };
    let mut seen = Vec::new();
    for contract in contracts {
        for file in RawSet::decode(contract.0.bytes.clone()).unwrap_or_default().file {
            let name = Head::decode(file.clone()).unwrap_or_default().name;
            if !seen.contains(&name) {
                seen.push(name);
                merged.file.push(file);
            }
        }
    }
    merged.encode_to_vec()
}

#[cfg(test)]
mod tests {
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
    fn streaming_requests_and_editions_are_refused() {
        let stream = valid("  string id = 1 [(chapar.contract.v1.field).class = CLASS_PUBLIC];")
            .replace("(Ask)", "(stream Ask)");
        assert!(load(&stream).unwrap_err().to_string().contains("streaming requests"));
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
}

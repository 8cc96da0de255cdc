//! This module collects descriptor files as they arrive, until none is missing, and makes a descriptor pool
//! of them.

use std::collections::{BTreeMap, BTreeSet};

use chapar_contract::descriptor_pool;
use prost::Message as _;
use prost_reflect::DescriptorPool;
use prost_types::FileDescriptorProto;

/// Maximum number of descriptor files, more than any bus has. It bounds the work for a server that keeps
/// naming new files.
const MAX_FILES: usize = 4096;

/// Files by name.
#[derive(Default)]
pub(super) struct Files {
    known: BTreeMap<String, File>,
    asked: BTreeSet<String>,
}

struct File {
    bytes: Vec<u8>,
    imports: Vec<String>,
}

impl Files {
    pub(super) fn add(&mut self, files: Vec<Vec<u8>>) -> Result<(), String> {
        for bytes in files {
            let file = FileDescriptorProto::decode(bytes.as_slice())
                .map_err(|error| format!("reflection: {error}"))?;
            self.known.insert(file.name().to_owned(), File { bytes, imports: file.dependency });
        }
        if self.known.len() > MAX_FILES { Err("reflection: too many files".to_owned()) } else { Ok(()) }
    }

    /// Names of imported files that are still missing. Each name is asked for once, and a server that does
    /// not send it is an error.
    pub(super) fn ask_for_missing(&mut self) -> Result<Vec<String>, String> {
        let imports = self.known.values().flat_map(|file| &file.imports);
        let missing: BTreeSet<String> =
            imports.filter(|name| !self.known.contains_key(*name)).cloned().collect();
        if let Some(again) = missing.iter().find(|name| self.asked.contains(*name)) {
            return Err(format!("reflection: asked for {again}, got something else"));
        }
        self.asked.extend(missing.iter().cloned());
        Ok(missing.into_iter().collect())
    }

    /// The descriptors in all files.
    pub(super) fn pool(self) -> Result<DescriptorPool, String> {
        let set = RawSet { file: self.known.into_values().map(|file| file.bytes).collect() };
        descriptor_pool(&set.encode_to_vec()).map_err(|error| format!("reflection: {error}"))
    }
}

/// A `FileDescriptorSet` whose files stay bytes, so that options survive that prost does not know.
#[derive(Clone, PartialEq, prost::Message)]
struct RawSet {
    #[prost(bytes = "vec", repeated, tag = "1")]
    file: Vec<Vec<u8>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, imports: &[&str]) -> Vec<u8> {
        let dependency = imports.iter().map(|name| (*name).to_owned()).collect();
        let syntax = Some("proto3".to_owned());
        FileDescriptorProto { name: Some(name.to_owned()), dependency, syntax, ..Default::default() }
            .encode_to_vec()
    }

    #[test]
    fn imports_are_asked_for_once_and_come_before_what_imports_them() {
        let mut files = Files::default();
        files.add(vec![file("a.proto", &["b.proto", "c.proto"]), file("b.proto", &["c.proto"])]).unwrap();
        assert_eq!(files.ask_for_missing().unwrap(), ["c.proto"]);
        files.add(vec![file("c.proto", &[])]).unwrap();
        assert!(files.ask_for_missing().unwrap().is_empty());
        assert_eq!(files.pool().unwrap().files().count(), 3);
    }

    #[test]
    fn a_server_that_sends_nonsense_is_told_so() {
        let mut files = Files::default();
        files.add(vec![file("a.proto", &["b.proto"])]).unwrap();
        files.ask_for_missing().unwrap();
        assert!(
            files.ask_for_missing().unwrap_err().contains("b.proto"),
            "the file that was asked for never came"
        );
        let mut circle = Files::default();
        circle.add(vec![file("a.proto", &["b.proto"]), file("b.proto", &["a.proto"])]).unwrap();
        assert!(circle.pool().unwrap_err().contains("a.proto: the file imports itself"));
        let edition = FileDescriptorProto {
            name: Some("e.proto".to_owned()),
            syntax: Some("editions".to_owned()),
            ..Default::default()
        };
        let mut files = Files::default();
        files.add(vec![edition.encode_to_vec()]).unwrap();
        assert!(files.pool().unwrap_err().contains("e.proto"));
        assert!(Files::default().add(vec![vec![0xff]]).is_err());
    }
}

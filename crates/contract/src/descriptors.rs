//! This module reads a `FileDescriptorSet` from outside: a gateway's reflection, a file, a compiler. The
//! descriptor library panics on some bytes, and files that import each other in a circle overflow its stack;
//! neither may end this process. Chapar's options are read in `rules`.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use prost::Message as _;
use prost_reflect::{DescriptorError, DescriptorPool};

/// A `FileDescriptorSet` whose files stay bytes: decoding them into `prost-types` would drop the options.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct RawSet {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub(crate) file: Vec<Bytes>,
}

/// What must be known of a file before anything else decodes it.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Head {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(string, repeated, tag = "3")]
    pub(crate) dependency: Vec<String>,
    #[prost(string, tag = "12")]
    pub(crate) syntax: String,
}

/// Why descriptors cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DescriptorsError {
    /// The bytes are no `FileDescriptorSet`.
    #[error("these bytes are no descriptor set")]
    NotASet,
    /// A file is written in an edition, which prost-reflect cannot read.
    #[error("{file}: protobuf editions are not supported: use proto2 or proto3")]
    Edition {
        /// The file's name.
        file: String,
    },
    /// Files import each other, or one itself.
    #[error("{file}: the file imports itself, directly or through others")]
    Circle {
        /// One of them.
        file: String,
    },
    /// They break a rule of protobuf.
    #[error(transparent)]
    Invalid(#[from] DescriptorError),
    /// The library panicked (docs/decisions/0003).
    #[error("these descriptors cannot be read")]
    Unreadable,
}

/// The descriptors in a `FileDescriptorSet`, in any order of its files.
///
/// # Errors
/// [`DescriptorsError`].
pub fn descriptor_pool(set: &[u8]) -> Result<DescriptorPool, DescriptorsError> {
    let raw = RawSet::decode(set).map_err(|_| DescriptorsError::NotASet)?;
    let mut imports = BTreeMap::new();
    for file in &raw.file {
        let Head { name, dependency, syntax } =
            Head::decode(file.clone()).map_err(|_| DescriptorsError::NotASet)?;
        if !matches!(syntax.as_str(), "" | "proto2" | "proto3") {
            return Err(DescriptorsError::Edition { file: name });
        }
        imports.insert(name, dependency);
    }
    without_circles(imports)?;
    // The pool is made inside the closure, so a panic leaves no half-made state behind.
    let decoded = catch_unwind(AssertUnwindSafe(|| {
        let mut pool = DescriptorPool::new();
        // Of the bytes and not of decoded files, because prost drops options that it does not know.
        pool.decode_file_descriptor_set(set).map(|()| pool)
    }));
    match decoded {
        Ok(pool) => Ok(pool?),
        Err(_) => Err(DescriptorsError::Unreadable),
    }
}

/// Refuses files that import each other. It removes files whose imports are all removed, until none is left;
/// files that remain form a circle.
fn without_circles(mut imports: BTreeMap<String, Vec<String>>) -> Result<(), DescriptorsError> {
    while !imports.is_empty() {
        let is_ready = |imported: &Vec<String>| !imported.iter().any(|name| imports.contains_key(name));
        let ready: Vec<String> =
            imports.iter().filter(|(_, imported)| is_ready(imported)).map(|(name, _)| name.clone()).collect();
        if ready.is_empty() {
            let file = imports.keys().next().cloned().unwrap_or_default();
            return Err(DescriptorsError::Circle { file });
        }
        for name in ready {
            imports.remove(&name);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use prost_types::FileDescriptorProto;

    use super::*;

    fn set(files: &[(&str, &[&str])]) -> Vec<u8> {
        let file = |(name, imports): &(&str, &[&str])| FileDescriptorProto {
            name: Some((*name).to_owned()),
            dependency: imports.iter().map(|name| (*name).to_owned()).collect(),
            public_dependency: (0..imports.len()).filter_map(|at| i32::try_from(at).ok()).collect(),
            syntax: Some("proto3".to_owned()),
            ..FileDescriptorProto::default()
        };
        prost_types::FileDescriptorSet { file: files.iter().map(file).collect() }.encode_to_vec()
    }

    #[test]
    fn files_are_read_in_any_order() {
        let pool = descriptor_pool(&set(&[("a.proto", &["b.proto"]), ("b.proto", &[])])).unwrap();
        assert_eq!(pool.files().count(), 2);
    }

    #[test]
    fn files_that_import_each_other_are_refused_and_overflow_no_stack() {
        for circle in [
            set(&[("a.proto", &["a.proto"])]),
            set(&[("", &[""])]),
            set(&[("a.proto", &["b.proto"]), ("b.proto", &["c.proto"]), ("c.proto", &["a.proto"])]),
            // Found by fuzzing.
            b"\x0a\x0fR\x0b\x12\x12\x04\x0a\x00\x0a\x00\x1a\x00\x0a\x00\x1a\x00".to_vec(),
        ] {
            assert!(matches!(descriptor_pool(&circle), Err(DescriptorsError::Circle { .. })), "{circle:?}");
        }
    }

    #[test]
    fn what_is_no_set_or_in_an_edition_is_named() {
        assert!(matches!(descriptor_pool(b"\xff"), Err(DescriptorsError::NotASet)));
        let file = FileDescriptorProto {
            name: Some("e.proto".to_owned()),
            syntax: Some("editions".to_owned()),
            ..FileDescriptorProto::default()
        };
        let edition = prost_types::FileDescriptorSet { file: vec![file] }.encode_to_vec();
        assert!(descriptor_pool(&edition).unwrap_err().to_string().contains("e.proto"));
    }
}

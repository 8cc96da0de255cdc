//! This module reads descriptors from a file, a `FileDescriptorSet`, for methods that reflection does not
//! show to this caller. The bytes are kept as they were read, so that Chapar's options survive.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use chapar_contract::descriptor_pool;
use prost_reflect::DescriptorPool;

/// A file of descriptors that cannot be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{}: {problem}", .file.display())]
pub struct DescriptorFileError {
    /// The file.
    pub file: PathBuf,
    /// What is wrong with it.
    pub problem: String,
}

/// Reads a `FileDescriptorSet` as `protoc --descriptor_set_out --include_imports` writes it.
///
/// # Errors
/// [`DescriptorFileError`] naming the file.
pub fn descriptors_from_file(file: &Path) -> Result<DescriptorPool, DescriptorFileError> {
    let wrong =
        |problem: &dyn Display| DescriptorFileError { file: file.to_owned(), problem: problem.to_string() };
    let bytes = std::fs::read(file).map_err(|error| wrong(&error))?;
    descriptor_pool(&bytes).map_err(|error| wrong(&error))
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use prost_types::{FileDescriptorProto, FileDescriptorSet};

    use super::*;

    fn read(bytes: &[u8]) -> Result<DescriptorPool, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("contracts.binpb");
        std::fs::write(&file, bytes).unwrap();
        descriptors_from_file(&file).map_err(|error| {
            assert_eq!(error.file, file);
            error.to_string()
        })
    }

    #[test]
    fn descriptors_of_a_file_keep_the_options_of_the_bus() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto/civil");
        let contract = chapar_contract::Contract::load(&folder).unwrap();
        let pool = read(contract.descriptor_bytes()).unwrap();
        let request = pool.get_message_by_name("civil.v1.GetPersonRequest").unwrap();
        let built = crate::json::to_request(&request, &[("national_id", "۰۰۱۳۵۴۲۴۱۹")]).unwrap();
        assert_eq!(&built[..], b"\x0a\x0a0013542419", "the format is known by the field's option");
    }

    #[test]
    fn a_file_that_cannot_be_used_is_named_with_the_reason() {
        let file = FileDescriptorProto {
            name: Some("e.proto".to_owned()),
            syntax: Some("editions".to_owned()),
            ..Default::default()
        };
        let told = read(&FileDescriptorSet { file: vec![file] }.encode_to_vec()).unwrap_err();
        assert!(told.contains("contracts.binpb") && told.contains("e.proto"), "{told}");
        assert!(read(b"\xff").unwrap_err().contains("contracts.binpb"));
        let absent = descriptors_from_file(Path::new("absent.binpb")).unwrap_err().to_string();
        assert!(absent.starts_with("absent.binpb: "), "{absent}");
    }
}

//! `Contract` is one compiled contract: original descriptor bytes, their digest, and the methods with their
//! rules.

mod digest;

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use chapar_model::MethodPath;
use prost::Message as _;
use prost_reflect::DescriptorPool;

use crate::descriptors::{DescriptorsError, Head, RawSet, descriptor_pool};
use crate::finding::{Error, Finding};
use crate::method::Method;
use crate::service::Service;
use crate::{compile, rules};

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

impl Contract {
    /// Compiles every `.proto` below `dir`, hidden files and folders and carried imports (`google`, `chapar`,
    /// `buf`) left out. Imports are looked up beside the folder and in it; Chapar's options,
    /// `google/type/{date,decimal,money,timeofday}.proto` and `google/protobuf/*` are built in.
    ///
    /// # Errors
    /// [`Error`] with all findings, each with file, line and column.
    pub fn load(dir: &Path) -> Result<Self, Error> {
        Self::is_one(dir)?;
        let (bytes, names) = compile::folder(dir)?;
        Self::read(bytes, &|file| names.iter().any(|name| name == file))
    }

    /// Reads a compiled `FileDescriptorSet`, imports included. Every service in it is taken as part of the
    /// contract.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the bytes are no descriptor set or break a rule.
    pub fn from_descriptor_set(bytes: Bytes) -> Result<Self, Error> {
        Self::read(bytes, &|_| true)
    }

    fn read(bytes: Bytes, own: &dyn Fn(&str) -> bool) -> Result<Self, Error> {
        let pool = decode(&bytes)?;
        let digest = digest::digest(&bytes)?;
        let services = rules::services(&pool, own)?;
        let methods = services.iter().flat_map(|service| &service.methods);
        let methods = methods.map(|method| (method.path().clone(), Arc::clone(method))).collect();
        Ok(Self(Arc::new(Inner { bytes, digest, pool, services, methods })))
    }

    /// The `FileDescriptorSet`, imports, custom options and comments included, as the compiler wrote it.
    pub fn descriptor_bytes(&self) -> &Bytes {
        &self.0.bytes
    }

    /// `sha256:` and 64 hexadecimal digits, over the files without their comments and positions, ordered by
    /// name, and without the files of options that are built in: editing a comment, moving the folder or a
    /// newer Chapar changes nothing, anything else does.
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

    /// The names of the files that declare its services, as their include root knows them.
    pub(crate) fn files(&self) -> impl Iterator<Item = String> {
        let services = self.services().filter_map(|service| self.0.pool.get_service_by_name(service.name()));
        services.map(|service| service.parent_file().name().to_owned())
    }

    /// Every file by name, imports included, without comments and positions.
    pub(crate) fn bare_files(&self) -> Result<impl Iterator<Item = (String, Vec<u8>)>, Error> {
        digest::bare(&self.0.bytes)
    }

    /// The descriptors.
    pub fn pool(&self) -> &DescriptorPool {
        &self.0.pool
    }
}

fn decode(bytes: &Bytes) -> Result<DescriptorPool, Error> {
    descriptor_pool(bytes).map_err(|error| {
        let finding = match &error {
            // The library counts lines and columns from 0, and a finding from 1.
            DescriptorsError::Invalid(error) => Finding {
                file: error.file().unwrap_or_default().to_owned(),
                line: error.line().map_or(0, |line| line + 1),
                column: error.column().map_or(0, |column| column + 1),
                message: error.to_string(),
            },
            DescriptorsError::Edition { file } | DescriptorsError::Circle { file } => {
                let told = error.to_string();
                let message = told.strip_prefix(&format!("{file}: ")).unwrap_or(&told);
                return Error::of_file(file, message);
            }
            DescriptorsError::NotASet | DescriptorsError::Unreadable => {
                return Error::of_file("", error.to_string());
            }
        };
        Error::Invalid(vec![finding])
    })
}

/// One `FileDescriptorSet` of several contracts, each file once, their bytes untouched.
pub fn merge_descriptor_sets(contracts: &[Contract]) -> Vec<u8> {
    let mut merged = RawSet { file: Vec::new() };
    let mut seen = Vec::new();
    for contract in contracts {
        // The bytes were decoded when the contract was made, so the defaults are never used.
        for file in RawSet::decode(contract.0.bytes.clone()).unwrap_or_default().file {
            let name = Head::decode(file.clone()).unwrap_or_default().name;
            // Contracts that agree (`Contract::agree`) have the same contents under one name.
            if !seen.contains(&name) {
                seen.push(name);
                merged.file.push(file);
            }
        }
    }
    merged.encode_to_vec()
}

#[cfg(test)]
mod tests;

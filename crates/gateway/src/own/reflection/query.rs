//! This module answers reflection queries by file name and by symbol, with files cut to the methods that the
//! caller may call.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use chapar_model::Clock;
use chapar_registry::{Registry, Role, Subsystem};
use prost::Message as _;
use prost_reflect::DescriptorPool;
use tonic::Code;

use super::filter;
use crate::error::BadDescriptors;
use crate::own::catalogue;

/// A question of the reflection protocol.
pub(super) enum Query<'a> {
    Services,
    File(&'a str),
    Symbol(&'a str),
    Other,
}

/// Its answer.
pub(super) enum ReflectionAnswer {
    Services(Vec<String>),
    Files(Vec<Bytes>),
    Unknown(Code),
}

/// All files that the gateway can show.
pub(crate) struct Directory {
    registry: Arc<Registry>,
    clock: Clock,
    own: Set,
    /// For operators with a role alone.
    for_roles: Vec<(Role, Set)>,
    contracts: BTreeMap<String, Arc<Set>>,
}

/// The files of one descriptor set: their original bytes and what they define.
struct Set {
    files: HashMap<String, Bytes>,
    pool: DescriptorPool,
}

/// A `FileDescriptorSet` whose files stay bytes, so that options unknown to this crate are kept.
#[derive(Clone, PartialEq, prost::Message)]
struct RawSet {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    file: Vec<Bytes>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct FileName {
    #[prost(string, tag = "1")]
    name: String,
}

impl Set {
    fn read(sets: &[&[u8]]) -> Result<Self, BadDescriptors> {
        let mut set = Self { files: HashMap::new(), pool: DescriptorPool::new() };
        for bytes in sets {
            set.pool.decode_file_descriptor_set(*bytes).map_err(|_| BadDescriptors)?;
            for file in RawSet::decode(*bytes).map_err(|_| BadDescriptors)?.file {
                let FileName { name } = FileName::decode(file.as_ref()).map_err(|_| BadDescriptors)?;
                set.files.insert(name, file);
            }
        }
        Ok(set)
    }

    fn file_of(&self, symbol: &str) -> Option<String> {
        let pool = &self.pool;
        let parent = |symbol: &str| symbol.rsplit_once('.').map(|(parent, _)| parent.to_owned());
        let service = pool.get_service_by_name(symbol).map(|service| service.parent_file());
        let found = service
            .or_else(|| pool.get_message_by_name(symbol).map(|message| message.parent_file()))
            .or_else(|| pool.get_enum_by_name(symbol).map(|values| values.parent_file()))
            .or_else(|| pool.get_extension_by_name(symbol).map(|extension| extension.parent_file()))
            // A method is named `package.Service.Method`, which the pool does not look up, so its parent is
            // tried as a service last.
            .or_else(|| pool.get_service_by_name(&parent(symbol)?).map(|service| service.parent_file()));
        found.map(|file| file.name().to_owned())
    }
}

/// A `FileDescriptorSet` without the services that `is_visible` does not let through; nothing if the bytes
/// are none.
pub(crate) fn visible_descriptors(set: &[u8], is_visible: impl Fn(&str) -> bool) -> Option<Vec<u8>> {
    let files = RawSet::decode(set).ok()?.file;
    let kept = files.iter().map(|file| filter::keep_methods(file, |service, _| is_visible(service)));
    Some(RawSet { file: kept.collect::<Option<_>>()? }.encode_to_vec())
}

impl Directory {
    /// Reads the descriptors of the registry's contracts and of the gateway's own services; `ours` are those
    /// that are Chapar's, `for_roles` those that only operators with a role see.
    pub(crate) fn new(
        registry: Arc<Registry>,
        clock: Clock,
        ours: &[&[u8]],
        for_roles: &[(Role, &[u8])],
    ) -> Result<Self, BadDescriptors> {
        let known = [
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
            tonic_types::pb::FILE_DESCRIPTOR_SET,
        ];
        let own = Set::read(&[ours, &known].concat())?;
        let mut contracts = BTreeMap::new();
        for service in registry.services() {
            let set = Set::read(&[service.contract.descriptor_bytes()])?;
            contracts.insert(service.name.clone(), Arc::new(set));
        }
        let for_roles = for_roles.iter().map(|(role, set)| Ok((*role, Set::read(&[set])?)));
        let for_roles = for_roles.collect::<Result<_, BadDescriptors>>()?;
        Ok(Self { registry, clock, own, for_roles, contracts })
    }

    /// What `caller` may see now.
    pub(super) fn view(self: &Arc<Self>, caller: Arc<Subsystem>) -> View {
        let callable = self.registry.callable(&caller.id, self.clock.now());
        let methods = callable.map(|entry| entry.method.path().as_str().to_owned()).collect();
        let now = self.clock.now();
        let roles = self.for_roles.iter().map(|(role, _)| *role);
        let roles = roles.filter(|role| self.registry.check_role(&caller.id, *role, now).is_ok()).collect();
        View { directory: Arc::clone(self), methods, roles }
    }
}

/// The directory as one caller sees it.
pub(super) struct View {
    directory: Arc<Directory>,
    /// `package.Service/Method` of every callable method.
    methods: BTreeSet<String>,
    /// The caller's roles as an operator.
    roles: BTreeSet<Role>,
}

impl View {
    pub(super) fn answer(&self, query: Query<'_>) -> ReflectionAnswer {
        match query {
            Query::Services => ReflectionAnswer::Services(self.services()),
            Query::File(name) => self.file(name).map_or(ReflectionAnswer::Unknown(Code::NotFound), |file| {
                ReflectionAnswer::Files(vec![file])
            }),
            Query::Symbol(symbol) => {
                let file =
                    // A hidden symbol gives the same answer as an unknown one, also if its file is visible
                    // for another service.
                    self.sets().find_map(|set| set.file_of(symbol)).filter(|_| !self.is_hidden(symbol));
                let file = file.and_then(|name| self.file(&name));
                file.map_or(ReflectionAnswer::Unknown(Code::NotFound), |file| {
                    ReflectionAnswer::Files(vec![file])
                })
            }
            Query::Other => ReflectionAnswer::Unknown(Code::Unimplemented),
        }
    }

    fn services(&self) -> Vec<String> {
        let visible = self
            .methods
            .iter()
            .filter_map(|method| method.split_once('/').map(|(service, _)| service.to_owned()));
        let is_visible = |role: Option<Role>| role.is_none_or(|role| self.roles.contains(&role));
        let own = catalogue::SERVICES.into_iter().filter(|name| is_visible(catalogue::role_of(name)));
        let own = own.map(str::to_owned);
        visible.chain(own).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// The gateway's own descriptors, and those of contracts with a method that the caller may call.
    fn sets(&self) -> impl Iterator<Item = &Set> {
        let callable = |service: &str| {
            self.methods.iter().any(|method| method.split_once('/').is_some_and(|(s, _)| s == service))
        };
        let contracts = self.directory.contracts.iter().filter(move |(service, _)| callable(service));
        let own = [&self.directory.own].into_iter().chain(self.for_roles());
        contracts.map(|(_, set)| &**set).chain(own)
    }

    /// The descriptors that the caller's roles show.
    fn for_roles(&self) -> impl Iterator<Item = &Set> {
        let of_caller = |(role, _): &&(Role, Set)| self.roles.contains(role);
        self.directory.for_roles.iter().filter(of_caller).map(|(_, set)| set)
    }

    fn file(&self, name: &str) -> Option<Bytes> {
        let (set, file) = self.sets().find_map(|set| set.files.get(name).map(|file| (set, file)))?;
        if std::iter::once(&self.directory.own).chain(self.for_roles()).any(|own| std::ptr::eq(set, own)) {
            return Some(file.clone());
        }
        // A contract's file may hold methods that this caller may not call, so it is cut for every answer.
        filter::keep_methods(file, |service, method| self.methods.contains(&format!("{service}/{method}")))
    }

    /// Whether a symbol is a service of which the caller may call nothing, or a method that it may not call.
    fn is_hidden(&self, symbol: &str) -> bool {
        let prefix = format!("{symbol}/");
        self.directory.contracts.contains_key(symbol)
            && !self.methods.iter().any(|method| method.starts_with(&prefix))
            || self.is_hidden_method(symbol)
    }

    fn is_hidden_method(&self, symbol: &str) -> bool {
        let Some((service, method)) = symbol.rsplit_once('.') else { return false };
        self.directory.contracts.get(service).is_some_and(|set| {
            let known = set
                .pool
                .get_service_by_name(service)
                .is_some_and(|s| s.methods().any(|m| m.name() == method));
            known && !self.methods.contains(&format!("{service}/{method}"))
        })
    }
}

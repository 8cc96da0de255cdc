//! `Registry::load` reads TOML files into a `Registry`: syntax, members, groups, services, grants,
//! delegations, suspensions, procedures, and tests last. It goes on after an error, to report all errors at
//! once, and leaves out an error that only follows from another one.

mod approval;
mod delegation;
mod grant;
mod group;
mod member;
mod operator;
mod procedure;
mod server;
mod service;
mod suspension;
mod test;
mod value;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use chapar_contract::Contract;
use chapar_model::{GrantId, MemberId, MethodPath, SubsystemId, TrustDomain};

use crate::approval::Approvals;
use crate::entry::{MethodEntry, ServiceEntry, Subsystem};
use crate::finding::{Findings, Kind, LoadErrors};
use crate::folder;
use crate::grant::Grant;
use crate::operator::Operators;
use crate::policy::{Policy, Terms};
use crate::raw::{self, Raw};
use crate::registry::{MethodName, Registry};
use crate::shared::Shared;
use crate::source::Source;
use crate::suspension::Suspensions;

impl Registry {
    /// Reads a folder of TOML: `bus.toml`, `CLASS/CODE.toml` for each member, and `procedures/ID.toml` for
    /// each procedure. Runs every `[[test]]`.
    ///
    /// # Errors
    /// [`LoadErrors`] with everything that is wrong, each with file, line and column.
    pub fn load(dir: &Path, contracts: &[Contract]) -> Result<Self, LoadErrors> {
        let mut findings = Findings::default();
        let sources = folder::read(dir, &mut findings);
        build(dir, sources, contracts, findings)
    }
}

/// Loads a registry from the text of its files.
pub(crate) fn build(
    dir: &Path,
    sources: Vec<Source>,
    contracts: &[Contract],
    mut findings: Findings,
) -> Result<Registry, LoadErrors> {
    let digest = folder::digest(&sources);
    let mut files = Vec::new();
    let mut broken = BTreeSet::new();
    let mut bus = None;
    let mut stopped = None;
    let mut procedures = Vec::new();
    for source in sources {
        let source = Arc::new(source);
        let before = findings.len();
        // The operator's two files have tables that a member's file must not have.
        if source.path == "bus.toml" {
            let raw = raw::parse(&source, raw::OF_THE_BUS, &mut findings);
            bus = Some((source, raw));
            continue;
        }
        if source.path == "suspensions.toml" {
            let raw = raw::parse(&source, raw::OF_SUSPENSIONS, &mut findings);
            stopped = Some((source, raw));
            continue;
        }
        if let Some(name) =
            source.path.strip_prefix("procedures/").and_then(|name| name.strip_suffix(".toml"))
        {
            let name = name.to_owned();
            let raw = raw::parse(&source, raw::OF_A_PROCEDURE, &mut findings);
            let is_broken = findings.len() > before;
            procedures.push(ProcedureFile { source, name, raw, is_broken });
            continue;
        }
        let Some(member) = source.path.strip_suffix(".toml").and_then(|id| id.parse::<MemberId>().ok())
        else {
            let finding = findings.at(&source, 0..0, Kind::MisplacedFile, "this is no member's file");
            finding.advise(
                "a member's file is `CLASS/CODE.toml`, e.g. `gov/welfare.toml`; CLASS is gov, com, office or bus",
            );
            continue;
        };
        let raw = raw::parse(&source, raw::OF_A_MEMBER, &mut findings);
        if findings.len() > before {
            // What this file would define is unknown, so a name that is missing elsewhere may be in it and is
            // not reported.
            broken.insert(member.clone());
        } else if raw.member.is_none() {
            findings.at(&source, 0..0, Kind::Malformed, "the table `[member]` is missing");
        }
        files.push(File { source, member, raw });
    }
    // Without a trust domain no identity can be checked, and later findings would be false.
    let Some(trust_domain) = trust_domain(dir, bus.as_ref(), &mut findings) else {
        return Err(findings.into_errors());
    };
    let draft = Loader {
        contracts,
        trust_domain,
        members: files.iter().map(|file| file.member.clone()).collect(),
        files: files.into(),
        bus,
        stopped,
        procedures,
        broken,
        findings,
        subsystems: HashMap::new(),
        services: Vec::new(),
        methods: HashMap::new(),
        grants: Vec::new(),
        granted: HashMap::new(),
        terms: HashMap::new(),
        ids: HashMap::new(),
        owners: HashMap::new(),
        by_member: HashMap::new(),
        attributes: BTreeMap::new(),
        groups: HashMap::new(),
        suspended: Suspensions::default(),
        shared: Shared::default(),
    };
    draft.finish(digest)
}

fn trust_domain(
    dir: &Path,
    bus: Option<&(Arc<Source>, Raw)>,
    findings: &mut Findings,
) -> Option<TrustDomain> {
    let Some((source, raw)) = bus else {
        findings.of_file(
            &dir.join("bus.toml"),
            Kind::Unreadable,
            "the file is missing: it names the trust domain",
        );
        return None;
    };
    let Some(bus) = &raw.bus else {
        // A `[bus]` table that is malformed has been reported already.
        if findings.is_empty() {
            findings.at(source, 0..0, Kind::Malformed, "the table `[bus]` is missing");
        }
        return None;
    };
    value::parse(source, &bus.trust_domain, findings)
}

/// One member's file.
struct File {
    source: Arc<Source>,
    member: MemberId,
    raw: Raw,
}

/// The file of one procedure, `procedures/NAME.toml`.
struct ProcedureFile {
    source: Arc<Source>,
    name: String,
    raw: Raw,
    /// Whether a table of it could not be read.
    is_broken: bool,
}

/// The place of a value in a file, for findings.
#[derive(Clone)]
struct SourceSpan {
    source: Arc<Source>,
    span: Range<usize>,
}

/// State of a load: what has been read so far, and the findings.
struct Loader<'a> {
    contracts: &'a [Contract],
    trust_domain: TrustDomain,
    files: Arc<[File]>,
    /// `bus.toml`, for its groups.
    bus: Option<(Arc<Source>, Raw)>,
    /// `suspensions.toml`.
    stopped: Option<(Arc<Source>, Raw)>,
    procedures: Vec<ProcedureFile>,
    members: HashSet<MemberId>,
    /// Members whose file has errors. A name that such a file may define is not reported as unknown
    /// elsewhere.
    broken: BTreeSet<MemberId>,
    findings: Findings,
    subsystems: HashMap<SubsystemId, Arc<Subsystem>>,
    services: Vec<Arc<ServiceEntry>>,
    methods: HashMap<MethodName, Arc<MethodEntry>>,
    grants: Vec<Arc<Grant>>,
    /// The grants that a member can delegate.
    granted: HashMap<(MemberId, MethodPath), Vec<Arc<Grant>>>,
    terms: Terms,
    /// Ids of grants and delegations. Both share one namespace, because evidence and suspensions refer to
    /// them by id alone.
    ids: HashMap<GrantId, SourceSpan>,
    /// The member in whose file each grant or delegation is.
    owners: HashMap<GrantId, MemberId>,
    by_member: HashMap<MemberId, Vec<SubsystemId>>,
    attributes: BTreeMap<MemberId, BTreeMap<String, String>>,
    groups: HashMap<Arc<str>, group::Group>,
    suspended: Suspensions,
    shared: Shared,
}

impl Loader<'_> {
    fn finish(mut self, digest: String) -> Result<Registry, LoadErrors> {
        let files = Arc::clone(&self.files);
        for file in files.iter() {
            self.member(file);
        }
        // Groups come after all members, because they select subsystems by name and by attribute.
        let mut approvals = Approvals::default();
        let mut operators = Operators::default();
        if let Some((source, raw)) = self.bus.take() {
            self.groups(&source, None, &raw.groups);
            approvals = self.approvals(&source, &raw);
            operators = self.operators(&source, &raw.operators);
        }
        for file in files.iter() {
            self.groups(&file.source, Some(&file.member), &file.raw.groups);
        }
        // A grant needs its service, and a delegation needs grants of other members' files, so each step
        // covers all files.
        for step in [Self::service, Self::grant, Self::delegation] {
            for file in files.iter() {
                step(&mut self, file);
            }
        }
        if let Some((source, raw)) = self.stopped.take() {
            self.suspensions(&source, None, &raw.suspensions);
        }
        for file in files.iter() {
            self.suspensions(&file.source, Some(&file.member), &file.raw.suspensions);
        }
        // Sorted, so that the order of services does not depend on the files that register them.
        self.services.sort_by(|a, b| a.name.cmp(&b.name));
        let terms = std::mem::take(&mut self.terms);
        let mut policy = Policy { terms, suspensions: std::mem::take(&mut self.suspended) };
        // Procedures come after all grants, because each of their callers must have a right to each part.
        let procedures = self.procedures(&policy);
        // Tests come last, because they use the same policy and decision as calls.
        self.tests(&files, &mut policy);
        if !self.findings.is_empty() {
            return Err(self.findings.into_errors());
        }
        Ok(Registry {
            digest,
            trust_domain: self.trust_domain,
            subsystems: self.subsystems,
            services: self.services,
            methods: self.methods,
            grants: self.grants,
            policy,
            procedures,
            approvals,
            operators,
            tests: files.iter().map(|file| file.raw.tests.len()).sum(),
        })
    }
}

#[cfg(test)]
mod tests;

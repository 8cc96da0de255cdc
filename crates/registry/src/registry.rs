//! `Registry` is the loaded policy: it identifies callers, finds methods and decides calls. It is immutable
//! and shared by all calls. `load` builds it, and `policy` holds the data of decisions.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use chapar_model::{Identity, MemberId, MethodPath, ProcedureId, Purpose, Reason, SubsystemId, TrustDomain};
use jiff::Timestamp;

use crate::approval::Approvals;
use crate::decide::{self, Question, Refused};
use crate::entry::{MethodEntry, Name, ServiceEntry, Subsystem};
use crate::grant::{Grant, Permit, Validity};
use crate::operator::{Operators, Role};
use crate::policy::{Policy, Term};
use crate::procedure::Procedure;

/// The policy of one bus.
pub struct Registry {
    pub(crate) digest: String,
    pub(crate) trust_domain: TrustDomain,
    pub(crate) subsystems: HashMap<SubsystemId, Arc<Subsystem>>,
    pub(crate) services: Vec<Arc<ServiceEntry>>,
    pub(crate) methods: HashMap<MethodName, Arc<MethodEntry>>,
    pub(crate) grants: Vec<Arc<Grant>>,
    pub(crate) policy: Policy,
    pub(crate) procedures: BTreeMap<ProcedureId, Arc<Procedure>>,
    pub(crate) approvals: Approvals,
    pub(crate) operators: Operators,
    /// How many `[[test]]`s it has, all of which hold.
    pub(crate) tests: usize,
}

/// A [`MethodPath`]'s text: what `:path` is looked up by.
pub(crate) type MethodName = Arc<str>;

/// One right of a caller: a method that it may call now, and what is disclosed.
#[derive(Clone, Debug)]
pub struct Right<'a> {
    /// The method that may be called.
    pub method: &'a MethodPath,
    /// Purposes of the contract that the right covers.
    pub purposes: &'a [Purpose],
    /// What is disclosed, and under which grant.
    pub permit: &'a Arc<Permit>,
    /// The member whose right it is, for a delegated one.
    pub on_behalf_of: Option<&'a MemberId>,
    /// The digest of the method's contract.
    pub contract_digest: &'a str,
}

/// A grant, a delegation or a licence, which ends on a day.
#[derive(Clone, Debug)]
pub struct Ending {
    /// E.g. `grant welfare-getperson`.
    pub what: String,
    /// The grantee, the delegating member, or the licensed office.
    pub whom: String,
    /// The days on which it is valid.
    pub valid: Validity,
}

impl Registry {
    /// `sha256:` and 64 hexadecimal digits, over the names and bytes of the registry's files: what evidence
    /// names a policy by.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The deployment whose policy it is.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// The name of a member; nothing for one without subsystems.
    pub fn member_name(&self, member: &MemberId) -> Option<&Name> {
        let own = self.subsystems.values().find(|subsystem| subsystem.id.member() == member)?;
        Some(&own.name)
    }

    /// Every registered subsystem.
    pub fn subsystems(&self) -> impl Iterator<Item = &Arc<Subsystem>> {
        self.subsystems.values()
    }

    /// The registered subsystem that a certificate speaks for.
    ///
    /// `issuer_spki_sha256`: SHA-256 of the issuing authority's SubjectPublicKeyInfo (DER).
    ///
    /// # Errors
    /// [`Reason::IdentityUnknown`] if it is of another trust domain or not registered;
    /// [`Reason::IssuerNotAllowed`] if that authority may not speak for its member.
    pub fn identify(
        &self,
        identity: &Identity,
        issuer_spki_sha256: &[u8; 32],
    ) -> Result<Arc<Subsystem>, Reason> {
        // The same path under another trust domain is another party, so it is unknown and not merely wrongly
        // issued.
        let known = self
            .subsystems
            .get(identity.subsystem())
            .filter(|_| *identity.trust_domain() == self.trust_domain);
        let subsystem = known.ok_or(Reason::IdentityUnknown)?;
        if subsystem.issuers.contains(issuer_spki_sha256) {
            Ok(Arc::clone(subsystem))
        } else {
            Err(Reason::IssuerNotAllowed)
        }
    }

    /// The authorities that may speak for an identity's member; none if it is not registered. As
    /// [`Registry::identify`] names them.
    pub fn issuers(&self, identity: &Identity) -> &[[u8; 32]] {
        let known = self
            .subsystems
            .get(identity.subsystem())
            .filter(|_| *identity.trust_domain() == self.trust_domain);
        known.map_or(&[], |subsystem| &subsystem.issuers)
    }

    /// The method at `path`, `package.Service/Method`, compared byte for byte.
    pub fn method(&self, path: &str) -> Option<&Arc<MethodEntry>> {
        self.methods.get(path)
    }

    /// As [`Registry::method`], for `caller`: a hidden method is there for those alone who have, or had, a
    /// right to it.
    pub fn method_for(&self, caller: &SubsystemId, path: &str) -> Option<&Arc<MethodEntry>> {
        let entry = self.method(path)?;
        // A grant that has ended keeps the service visible: its former holder knows the service, and gets the
        // true reason.
        let has_right =
            || self.policy.terms.get(caller).is_some_and(|terms| terms.contains_key(entry.method.path()));
        (!entry.service.hidden || has_right()).then_some(entry)
    }

    /// The services that `caller` may know of, by name: those that are not hidden, and those that it has, or
    /// had, a right to.
    pub fn services_for(&self, caller: &SubsystemId) -> impl Iterator<Item = &Arc<ServiceEntry>> {
        let terms = self.policy.terms.get(caller);
        let has_right = move |service: &ServiceEntry| {
            terms
                .is_some_and(|terms| service.methods().iter().any(|method| terms.contains_key(method.path())))
        };
        self.services().filter(move |service| !service.hidden || has_right(service))
    }

    /// Every service, by name.
    pub fn services(&self) -> impl Iterator<Item = &Arc<ServiceEntry>> {
        self.services.iter()
    }

    /// The procedures that `caller` may ask, by id.
    pub fn procedures_for(&self, caller: &SubsystemId) -> impl Iterator<Item = &Arc<Procedure>> {
        self.procedures.values().filter(|procedure| procedure.callers.contains(caller))
    }

    /// Every procedure, by id.
    pub fn procedures(&self) -> impl Iterator<Item = &Arc<Procedure>> {
        self.procedures.values()
    }

    /// The procedure of this id, if `caller` may ask it.
    pub fn procedure(&self, caller: &SubsystemId, id: &ProcedureId) -> Option<&Arc<Procedure>> {
        self.procedures.get(id).filter(|procedure| procedure.callers.contains(caller))
    }

    /// How many procedures it has.
    pub fn procedure_count(&self) -> usize {
        self.procedures.len()
    }

    /// Who approves changes of this registry, and by which rules.
    pub fn approvals(&self) -> &Approvals {
        &self.approvals
    }

    /// Whether a subsystem operates the bus in this role now.
    ///
    /// # Errors
    /// [`Reason::NotGranted`] if it has no such role; [`Reason::Suspended`] if it or its member is suspended.
    pub fn check_role(&self, subsystem: &SubsystemId, role: Role, now: Timestamp) -> Result<(), Reason> {
        if !self.operators.has(subsystem, role) {
            return Err(Reason::NotGranted);
        }
        match self.policy.suspensions.subsystem(subsystem, now) {
            true => Err(Reason::Suspended),
            false => Ok(()),
        }
    }

    /// How many `[[test]]`s it has, all of which hold.
    pub fn tests(&self) -> usize {
        self.tests
    }

    /// Everything that ends on a day: grants, delegations, and offices' licences.
    pub fn endings(&self) -> Vec<Ending> {
        let mut endings: Vec<Ending> = self
            .grants
            .iter()
            .map(|grant| Ending {
                what: format!("grant {}", grant.id),
                whom: grant.to.to_string(),
                valid: grant.valid,
            })
            .collect();
        let delegated = self.policy.terms.values().flat_map(HashMap::values).flatten().filter_map(|term| {
            let delegated = term.delegated.as_ref()?;
            let member = term.on_behalf_of.as_ref()?;
            Some((&delegated.id, (member, delegated.valid)))
        });
        // A delegation has a term for each method and subsystem; the map by id keeps one.
        let delegations: BTreeMap<_, _> = delegated.collect();
        endings.extend(delegations.into_iter().map(|(id, (member, valid))| Ending {
            what: format!("delegation {id}"),
            whom: format!("of {member}"),
            valid,
        }));
        let licences = self.policy.suspensions.licences.iter();
        endings.extend(licences.map(|(member, valid)| Ending {
            what: "licence".to_owned(),
            whom: member.to_string(),
            valid: *valid,
        }));
        endings
    }

    /// Every grant, by file and place in it.
    pub fn grants(&self) -> impl Iterator<Item = &Arc<Grant>> {
        self.grants.iter()
    }

    /// Whether a call is allowed, and what it may have. Pure and total: the same question has the same answer
    /// for as long as the registry lives. Allocates nothing when it allows.
    ///
    /// # Errors
    /// [`Refused`], with the first reason of: method unknown (for a hidden service), suspended (caller or
    /// provider), purpose required, purpose unknown, not granted or delegation not granted, grant expired,
    /// purpose not granted, out of hours, suspended (grant, delegation or delegating member), case required,
    /// case invalid, clerk required.
    pub fn decide(&self, question: &Question<'_>) -> Result<Arc<Permit>, Refused> {
        decide::decide(&self.policy, question).map(Arc::clone)
    }

    /// What `caller` may do on the day of `now`, at whichever hours, by its own grants and by delegation, by
    /// method.
    pub fn rights(&self, caller: &SubsystemId, now: Timestamp) -> impl Iterator<Item = Right<'_>> {
        let policy = &self.policy;
        // A suspended caller has no rights, whatever its grants say.
        let stopped = policy.suspensions.subsystem(caller, now);
        let terms = policy.terms.get(caller).filter(|_| !stopped).into_iter().flatten();
        let valid = terms
            .flat_map(|(_, terms)| terms)
            .filter(|term| term.valid_at(now) && !policy.is_suspended(term, now));
        let mut rights: Vec<_> = valid.filter_map(|term| self.right(term)).collect();
        // Terms are kept in a hash map, so the order is made here.
        rights.sort_by_key(|right| (right.method, right.on_behalf_of, &right.permit.grant.id));
        rights.into_iter()
    }

    fn right<'a>(&'a self, term: &'a Term) -> Option<Right<'a>> {
        let method = &term.permit.grant.method;
        Some(Right {
            method,
            purposes: &term.purposes,
            permit: &term.permit,
            on_behalf_of: term.on_behalf_of.as_ref(),
            // Terms are made for registered methods only, so this is never `None`.
            contract_digest: self.method(method.as_str())?.service.contract.digest(),
        })
    }

    /// The methods that `caller` may call at `now` for any purpose, by its own grants and by delegation, each
    /// once.
    pub fn callable(&self, caller: &SubsystemId, now: Timestamp) -> impl Iterator<Item = &MethodEntry> {
        let mut methods: Vec<_> = self.rights(caller, now).map(|right| right.method.clone()).collect();
        // Rights are ordered by method, so duplicates are neighbours.
        methods.dedup();
        methods.into_iter().filter_map(|path| self.method(path.as_str()).map(AsRef::as_ref))
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Registry").field(&self.digest).finish()
    }
}

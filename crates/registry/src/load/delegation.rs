//! This module loads `[[delegation]]`: a member lets another one use its rights, never more than its own
//! grants allow.

use std::sync::Arc;

use chapar_model::{GrantId, MemberId, Purpose, SubsystemId};

use super::value::at;
use super::{File, Loader};
use crate::entry::MethodEntry;
use crate::finding::Kind;
use crate::grant::Permit;
use crate::policy::{Delegated, Term};
use crate::raw::{self, Text};

/// A delegation whose own names are all known.
struct Checked {
    id: GrantId,
    to: Arc<[SubsystemId]>,
    terms: Delegated,
    fields: Option<Vec<String>>,
}

impl Loader<'_> {
    pub(super) fn delegation(&mut self, file: &File) {
        for delegation in &file.raw.delegations {
            self.one_delegation(file, delegation);
        }
    }

    fn one_delegation(&mut self, file: &File, raw: &raw::Delegation) -> Option<()> {
        let source = &file.source;
        let id = self.id(source, &file.member, &raw.id);
        let to = self.delegates(file, &raw.to);
        let valid = self.validity(source, &raw.valid);
        let purposes: Vec<Purpose> =
            raw.purposes.iter().filter_map(|purpose| self.parse(source, purpose)).collect();
        if raw.methods.get_ref().is_empty() {
            self.malformed(source, raw.methods.span(), "a delegation names at least one method");
        }
        let methods: Vec<_> = raw
            .methods
            .get_ref()
            .iter()
            .filter_map(|text| self.known_method(source, text).map(|entry| (text, entry)))
            .collect();
        // All parts are read before the first `?`, so that one load reports every error of the delegation.
        let id = id?;
        let to = to?;
        let valid = valid?;
        // After any error the search below is skipped, because a grant that was left out as faulty would be
        // reported as missing.
        if !self.findings.is_empty() {
            return None;
        }
        self.known_by_one(file, raw, &methods);
        if !self.findings.is_empty() {
            return None;
        }
        let fields = raw
            .fields
            .as_ref()
            .map(|fields| fields.get_ref().iter().map(|field| field.get_ref().clone()).collect());
        let checked = Checked { id: id.clone(), to, terms: Delegated { id, purposes, valid }, fields };
        for (text, entry) in methods {
            self.delegate(file, &checked, text, &entry);
        }
        Some(())
    }

    /// Each purpose and each field must be one of at least one of the methods.
    fn known_by_one(&mut self, file: &File, raw: &raw::Delegation, methods: &[(&Text, Arc<MethodEntry>)]) {
        let known = || methods.iter().flat_map(|(_, entry)| entry.method.purposes()).map(Purpose::as_str);
        for purpose in raw.purposes.iter().filter(|purpose| !known().any(|known| known == purpose.get_ref()))
        {
            let message = format!("`{}` is no purpose of the delegated methods", purpose.get_ref());
            let finding = self.findings.at(&file.source, purpose.span(), Kind::UnknownPurpose, message);
            finding.suggest(purpose.get_ref(), known());
        }
        let known =
            || methods.iter().flat_map(|(_, entry)| entry.method.fields()).map(|field| field.path.as_str());
        let fields = raw.fields.as_ref().map(|fields| fields.get_ref().as_slice()).unwrap_or_default();
        for field in fields.iter().filter(|field| !known().any(|known| known == field.get_ref())) {
            let message = format!("no response of the delegated methods has the field `{}`", field.get_ref());
            let finding = self.findings.at(&file.source, field.span(), Kind::UnknownField, message);
            finding.suggest(field.get_ref(), known());
        }
    }

    /// The subsystems that may act: one, all of a member, or those of a group.
    fn delegates(&mut self, file: &File, text: &Text) -> Option<Arc<[SubsystemId]>> {
        // A subsystem's id has three parts, a member's has two.
        if text.get_ref().matches('/').count() == 2 || text.get_ref().starts_with("group/") {
            return self.grantee(&file.source, Some(&file.member), text).map(|(_, subsystems)| subsystems);
        }
        let member: MemberId = self.known_member(&file.source, text)?;
        let mut subsystems = self.by_member.get(&member).cloned().unwrap_or_default();
        subsystems.sort();
        Some(subsystems.into())
    }

    fn delegate(&mut self, file: &File, delegation: &Checked, text: &Text, entry: &MethodEntry) {
        let own = (file.member.clone(), entry.method.path().clone());
        let mut found = false;
        for grant in self.granted.get(&own).cloned().unwrap_or_default() {
            // The term is the intersection of grant and delegation, so a delegation never gives more than its
            // grant.
            let both = |purpose: &&Purpose| delegation.terms.purposes.contains(purpose);
            let purposes: Vec<Purpose> = grant.purposes.iter().filter(both).cloned().collect();
            // A grant without purposes is of a contract that has none: then no purpose can be missing.
            if purposes.is_empty() && !grant.purposes.is_empty() {
                continue;
            }
            let granted =
                |field: &&String| delegation.fields.as_ref().is_none_or(|fields| fields.contains(field));
            let fields: Vec<String> = grant.fields.iter().filter(granted).cloned().collect();
            if fields.is_empty() {
                continue;
            }
            found = true;
            match self.shared.disclosure(entry, fields) {
                Ok(disclosure) => {
                    let (_, rows_header) = self.shared.rows(grant.rows.as_ref().clone());
                    let permit = Permit::new(&grant, Some(delegation.id.clone()), disclosure, rows_header);
                    let permit = Arc::new(permit);
                    let term = Term {
                        on_behalf_of: Some(file.member.clone()),
                        delegated: Some(delegation.terms.clone()),
                        purposes,
                        permit,
                    };
                    self.insert(file, delegation, text, &Arc::new(term));
                }
                Err(error) => self.malformed(&file.source, text.span(), error.to_string()),
            }
        }
        if !found {
            let message = format!(
                "{} has no grant for {} with these purposes and fields",
                file.member,
                entry.method.path()
            );
            let finding = self.findings.at(&file.source, text.span(), Kind::NothingToDelegate, message);
            finding.advise(format!(
                "{} gives it, in a grant to a subsystem of {}",
                entry.service.provider, file.member
            ));
        }
    }

    fn insert(&mut self, file: &File, delegation: &Checked, text: &Text, term: &Arc<Term>) {
        // One finding for a delegation is enough, whatever number of subsystems it has.
        let mut clash = None;
        for caller in delegation.to.iter() {
            let methods = self.terms.entry(caller.clone()).or_default();
            let beside = methods.entry(term.permit.grant.method.clone()).or_default();
            if let Some(other) = beside.iter().find(|other| other.clashes(term)) {
                clash = other
                    .delegated
                    .as_ref()
                    .map(|delegated| (delegated.id.clone(), other.permit.grant.id.clone()));
            }
            beside.push(Arc::clone(term));
        }
        if let Some((other, grant)) = clash {
            // The other delegation has its id in `ids`, so the default is never used.
            let place = self.ids.get(&other).map(at).unwrap_or_default();
            let message = format!(
                "`{}` by the grant `{}` and `{other}` by the grant `{grant}` answer the same call on the same day",
                delegation.id, term.permit.grant.id
            );
            let finding = self.findings.at(&file.source, text.span(), Kind::Overlap, message);
            finding.advise(format!(
                "the other delegation is at {place}: part them, or the grants, by purpose or by date"
            ));
        }
    }
}

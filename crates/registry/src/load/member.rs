//! This module loads `[member]`, with attributes and licence, and `[[subsystem]]`.

use std::sync::Arc;

use chapar_model::{Class, SubsystemId};

use super::{File, Loader};
use crate::entry::{Name, Subsystem};
use crate::finding::Kind;
use crate::raw;

impl Loader<'_> {
    pub(super) fn member(&mut self, file: &File) {
        let source = &file.source;
        let (name, issuers) = match &file.raw.member {
            Some(member) => {
                let issuers = &member.issuers;
                if issuers.get_ref().is_empty() {
                    let message = "no authority may speak for this member: name at least one";
                    self.malformed(source, issuers.span(), message);
                }
                let mut hashes = Vec::new();
                for issuer in issuers.get_ref() {
                    match chapar_model::parse_sha256(issuer.get_ref()) {
                        Some(hash) => hashes.push(hash),
                        None => {
                            let message = "an issuer is `sha256:` and the 64 hexadecimal digits of its public key's SHA-256";
                            self.malformed(source, issuer.span(), message);
                        }
                    }
                }
                (Name { fa: member.name.fa.clone(), en: member.name.en.clone() }, hashes)
            }
            // The missing table has been reported. The subsystems are registered all the same, so that their
            // names are not reported as unknown.
            None => (Name { fa: String::new(), en: String::new() }, Vec::new()),
        };
        if let Some(member) = &file.raw.member {
            let named = member
                .attributes
                .iter()
                .map(|(name, value)| (name.get_ref().clone(), value.get_ref().clone()));
            self.attributes.insert(file.member.clone(), named.collect());
            self.licence(file, member);
        }
        let name = Arc::new(name);
        let issuers = Arc::<[[u8; 32]]>::from(issuers);
        for subsystem in &file.raw.subsystems {
            let written = &subsystem.id;
            let Ok(id) = format!("{}/{}", file.member, written.get_ref()).parse::<SubsystemId>() else {
                self.malformed(
                    source,
                    written.span(),
                    "a subsystem's id is 1 to 63 of a-z, 0-9, `-`, e.g. `benefits`",
                );
                continue;
            };
            if self.subsystems.contains_key(&id) {
                let message = format!("the subsystem `{id}` is there twice");
                self.findings.at(source, written.span(), Kind::Duplicate, message);
                continue;
            }
            let entry = Subsystem { id: id.clone(), name: Arc::clone(&name), issuers: Arc::clone(&issuers) };
            self.by_member.entry(file.member.clone()).or_default().push(id.clone());
            self.subsystems.insert(id, Arc::new(entry));
        }
    }

    fn licence(&mut self, file: &File, member: &raw::Member) {
        let Some(licence) = &member.licence else { return };
        if file.member.class() != Class::Office {
            self.malformed(&file.source, licence.span(), "only an office has a licence");
        }
        if licence.get_ref().number.get_ref().trim().is_empty() {
            self.malformed(&file.source, licence.get_ref().number.span(), "a licence has a number");
        }
        // Outside of its days a licence suspends the office (`Suspensions::member`).
        if let Some(valid) = self.validity(&file.source, &licence.get_ref().valid) {
            self.suspended.licences.insert(file.member.clone(), valid);
        }
    }
}

//! This module loads procedures, `procedures/ID.toml`: their callers, inputs and parts. Each caller must have
//! a right to each part for the procedure's purpose, and to each field whose value goes into another part's
//! request: what is not granted is refused at every call, so it is refused here.

mod part;
mod rights;
mod types;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chapar_model::{PartId, ProcedureId, Purpose, SubsystemId};

use super::{Loader, ProcedureFile};
use crate::entry::Name;
use crate::finding::Kind;
use crate::policy::Policy;
use crate::procedure::{Input, MAX_PARTS, Part, Procedure, ValueSource};
use crate::raw::{self, Text};
use crate::source::Source;

impl Loader<'_> {
    /// The procedures of all files, by id.
    pub(super) fn procedures(&mut self, policy: &Policy) -> BTreeMap<ProcedureId, Arc<Procedure>> {
        let mut procedures = BTreeMap::new();
        for file in std::mem::take(&mut self.procedures) {
            if let Some(procedure) = self.one_procedure(&file) {
                // After any error rights may be missing only because of it, as in `delegation`.
                if self.findings.is_empty() {
                    self.rights(&file, &procedure, policy);
                }
                procedures.insert(procedure.id.clone(), Arc::new(procedure));
            }
        }
        procedures
    }

    fn one_procedure(&mut self, file: &ProcedureFile) -> Option<Procedure> {
        let source = &file.source;
        let id = file.name.parse::<ProcedureId>();
        if let Err(error) = &id {
            self.findings.at(source, 0..0, Kind::MisplacedFile, format!("the file's name is {error}"));
        }
        let Some(raw) = &file.raw.procedure else {
            // A table that is malformed has been reported already.
            if !file.is_broken {
                self.malformed(source, 0..0, "the table `[procedure]` is missing");
            }
            return None;
        };
        let callers = self.procedure_callers(source, raw);
        let on_behalf_of = raw.on_behalf_of.as_ref().map(|member| self.known_member(source, member));
        let purpose: Option<Purpose> = self.parse(source, &raw.purpose);
        let inputs = self.inputs(source, &file.raw.inputs);
        let count = file.raw.parts.len();
        if count == 0 || count > MAX_PARTS {
            self.malformed(source, raw.purpose.span(), format!("a procedure has 1 to {MAX_PARTS} parts"));
        }
        let mut parts = Vec::new();
        let mut is_whole = !file.is_broken;
        for raw_part in &file.raw.parts {
            match self.part(source, &raw.purpose, &inputs, (&parts, is_whole), raw_part) {
                Some(part) => parts.push(part),
                None => is_whole = false,
            }
        }
        // What only follows from a part with an error would not be true of the part as it is meant.
        if is_whole {
            self.unused_inputs(source, file, &parts);
        }
        let procedure = Procedure {
            id: id.ok()?,
            name: name(&raw.name),
            purpose: purpose?,
            callers,
            on_behalf_of: on_behalf_of.map_or(Some(None), |member| member.map(Some))?,
            inputs,
            parts,
        };
        is_whole.then_some(procedure)
    }

    fn procedure_callers(&mut self, source: &Arc<Source>, raw: &raw::Procedure) -> BTreeSet<SubsystemId> {
        if raw.callers.get_ref().is_empty() {
            self.malformed(
                source,
                raw.callers.span(),
                "a procedure that nobody may ask: name at least one caller",
            );
        }
        let mut callers = BTreeSet::new();
        for caller in raw.callers.get_ref() {
            if let Some((_, subsystems)) = self.grantee(source, None, caller) {
                callers.extend(subsystems.iter().cloned());
            }
        }
        callers
    }

    fn inputs(&mut self, source: &Arc<Source>, raw: &[raw::Input]) -> Vec<Input> {
        let mut inputs: Vec<Input> = Vec::new();
        for raw in raw {
            let known = |id: &PartId| inputs.iter().any(|input| input.id == *id);
            let Some(id) = self.own_id(source, &raw.id, known) else { continue };
            inputs.push(Input { id, name: name(&raw.name) });
        }
        inputs
    }

    /// An id that no other part, or no other input, of the file has.
    fn own_id(
        &mut self,
        source: &Arc<Source>,
        text: &Text,
        is_known: impl Fn(&PartId) -> bool,
    ) -> Option<PartId> {
        let id: PartId = self.parse(source, text)?;
        // `input.NAME` and `PART.FIELD` stand in the same place.
        if id.as_str() == "input" {
            self.malformed(source, text.span(), "`input` stands for the inputs: give it another id");
            return None;
        }
        if is_known(&id) {
            self.findings.at(source, text.span(), Kind::Duplicate, format!("the id `{id}` is there twice"));
            return None;
        }
        Some(id)
    }

    fn unused_inputs(&mut self, source: &Arc<Source>, file: &ProcedureFile, parts: &[Part]) {
        for (number, input) in file.raw.inputs.iter().enumerate() {
            let mut fields = parts.iter().flat_map(|part| &part.request);
            if !fields.any(|field| field.from == ValueSource::Input(number)) {
                let message = format!("no part takes the input `{}`", input.id.get_ref());
                self.malformed(source, input.id.span(), message);
            }
        }
    }
}

fn name(raw: &raw::Name) -> Name {
    Name { fa: raw.fa.clone(), en: raw.en.clone() }
}

#[cfg(test)]
mod tests;

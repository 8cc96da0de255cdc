//! Whether each caller of a procedure has a right to all that it needs.

use chapar_contract::is_inside_path;
use chapar_model::MemberId;

use crate::entry::MethodEntry;
use crate::finding::Kind;
use crate::load::{Loader, ProcedureFile};
use crate::policy::{Policy, Term};
use crate::procedure::{Procedure, ValueSource};

impl Loader<'_> {
    /// Findings for callers without a right that the procedure needs.
    pub(super) fn rights(&mut self, file: &ProcedureFile, procedure: &Procedure, policy: &Policy) {
        for (number, (part, raw)) in procedure.parts.iter().zip(&file.raw.parts).enumerate() {
            let method = part.entry.method.path();
            let taken = taken_fields(procedure, number);
            for caller in &procedure.callers {
                let terms =
                    policy.terms.get(caller).and_then(|methods| methods.get(method)).into_iter().flatten();
                let mut terms = terms.filter(|term| is_for(term, procedure)).peekable();
                let message = if terms.peek().is_none() {
                    let whose = procedure.on_behalf_of.as_ref();
                    let whose =
                        whose.map_or_else(String::new, |member: &MemberId| format!(" on behalf of {member}"));
                    format!("no grant lets {caller} call {method}{whose} for {}", procedure.purpose)
                } else {
                    // One grant at a time answers a call, so each must give what is needed.
                    let lacking = terms
                        .find_map(|term| taken.iter().find(|field| !is_disclosed(term, &part.entry, field)));
                    let Some(field) = lacking else { continue };
                    format!("{caller} is not granted `{field}` of {method}, which another part takes")
                };
                self.findings.at(&file.source, raw.method.span(), Kind::NotGranted, message);
            }
        }
    }
}

/// Whether a right discloses all of a field: the field itself, a field around it, or every field inside it.
fn is_disclosed(term: &Term, entry: &MethodEntry, field: &str) -> bool {
    let is_given =
        |path: &str| term.permit.disclosed.iter().any(|known| known == path || is_inside_path(known, path));
    let mut inside =
        entry.method.fields().iter().filter(|known| is_inside_path(field, &known.path)).peekable();
    is_given(field) || (inside.peek().is_some() && inside.all(|known| is_given(&known.path)))
}

/// Whether a right is one that the procedure's calls may use.
fn is_for(term: &Term, procedure: &Procedure) -> bool {
    term.on_behalf_of == procedure.on_behalf_of && term.purposes.contains(&procedure.purpose)
}

/// The fields of a part's answer that other parts take.
fn taken_fields(procedure: &Procedure, number: usize) -> Vec<&str> {
    let fields = procedure.parts.iter().flat_map(|part| &part.request);
    let taken = fields.filter_map(|field| match &field.from {
        ValueSource::Answer { part, path } if *part == number => Some(path.as_str()),
        _ => None,
    });
    taken.collect()
}

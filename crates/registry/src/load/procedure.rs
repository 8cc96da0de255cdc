//! This module loads procedures, `procedures/ID.toml`: their callers, inputs and parts. Each caller must have
//! a right to each part for the procedure's purpose, and to each field whose value goes into another part's
//! request: what is not granted is refused at every call, so it is refused here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chapar_contract::FieldPath;
use chapar_model::{MemberId, PartId, ProcedureId, Purpose, SubsystemId};
use prost_reflect::{FieldDescriptor, Kind as FieldKind, MessageDescriptor};

use super::{Loader, ProcedureFile};
use crate::entry::{MethodEntry, Name};
use crate::finding::Kind;
use crate::policy::{Policy, Term};
use crate::procedure::{Input, MAX_PARTS, Part, Procedure, RequestField, ValueSource};
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

    fn part(
        &mut self,
        source: &Arc<Source>,
        purpose: &Text,
        inputs: &[Input],
        (earlier, is_whole): (&[Part], bool),
        raw: &raw::Part,
    ) -> Option<Part> {
        let id = self.own_id(source, &raw.id, |id| earlier.iter().any(|part| part.id == *id));
        let entry = self.known_method(source, &raw.method)?;
        self.purpose(source, purpose, &entry);
        if entry.method.kind().streams_requests() {
            self.malformed(
                source,
                raw.method.span(),
                "a part is one request, and this method takes a stream of them",
            );
        }
        let mut request = Vec::new();
        match entry.method.subject() {
            Some(subject) => request.push(RequestField { path: subject.clone(), from: ValueSource::Subject }),
            None => {
                let message = "a procedure is about one citizen, and this method names none (`subject`)";
                self.malformed(source, raw.method.span(), message);
            }
        }
        let before = self.findings.len();
        for (written, from) in &raw.request {
            let Some(path) = self.request_field(source, &entry, written) else { continue };
            let Some(target) = singular(entry.method.input(), path.as_str()) else { continue };
            if let Some(other) =
                request.iter().find(|field| overlaps(entry.method.input(), &field.path, &path))
            {
                let message = match other.from {
                    ValueSource::Subject => {
                        format!("`{path}` is, or holds, the citizen's id, which the procedure is asked with")
                    }
                    _ => format!("`{path}` and `{}` would overwrite each other", other.path),
                };
                self.malformed(source, written.span(), message);
                continue;
            }
            if let Some(from) = self.value_source(source, from, &target, inputs, (earlier, is_whole)) {
                request.push(RequestField { path, from });
            }
        }
        if self.findings.len() == before {
            self.required(source, raw, &entry, &request);
        }
        let replaces = raw.replaces.as_ref().map(name);
        (self.findings.len() == before).then_some(Part { id: id?, entry, request, replaces })
    }

    /// A field of the method's request that takes one value.
    fn request_field(&mut self, source: &Arc<Source>, entry: &MethodEntry, text: &Text) -> Option<FieldPath> {
        let input = entry.method.input();
        let path = FieldPath::resolve(input, text.get_ref()).ok();
        let path = path.filter(|path| singular(input, path.as_str()).is_some());
        if path.is_none() {
            let known: Vec<String> = input.fields().map(|field| field.name().to_owned()).collect();
            let message = format!(
                "the request of {} has no field `{}` that takes one value",
                entry.method.path(),
                text.get_ref()
            );
            let finding = self.findings.at(source, text.span(), Kind::UnknownField, message);
            finding.suggest(text.get_ref(), known.iter().map(String::as_str));
        }
        path
    }

    /// Where a value comes from: `input.ID`, or `PART.FIELD` of a part before.
    fn value_source(
        &mut self,
        source: &Arc<Source>,
        text: &Text,
        target: &FieldDescriptor,
        inputs: &[Input],
        (earlier, is_whole): (&[Part], bool),
    ) -> Option<ValueSource> {
        let Some((of, name)) = text.get_ref().split_once('.') else {
            self.malformed(source, text.span(), "a value comes from `input.ID` or from `PART.FIELD`");
            return None;
        };
        if of == "input" {
            let found = inputs.iter().position(|input| input.id.as_str() == name);
            if found.is_none() {
                let message = format!("the procedure has no input `{name}`");
                let finding = self.findings.at(source, text.span(), Kind::Malformed, message);
                finding.suggest(name, inputs.iter().map(|input| input.id.as_str()));
            }
            if target.kind() != FieldKind::String {
                self.malformed(
                    source,
                    text.span(),
                    format!("an input is a text, and `{}` is none", target.name()),
                );
                return None;
            }
            return found.map(ValueSource::Input);
        }
        let Some(part) = earlier.iter().position(|part| part.id.as_str() == of) else {
            // It may be one that was left out for an error of its own.
            if !is_whole {
                return None;
            }
            let message = format!("there is no part `{of}` before this one");
            let finding = self.findings.at(source, text.span(), Kind::Malformed, message);
            finding.suggest(of, earlier.iter().map(|part| part.id.as_str()));
            return None;
        };
        let from = earlier.get(part)?;
        if from.entry.method.kind().streams_responses() {
            self.malformed(
                source,
                text.span(),
                format!("`{of}` answers with a stream, and a value is of one message"),
            );
            return None;
        }
        let output = from.entry.method.output();
        let Some(found) = singular(output, name) else {
            let message = format!("the answer of `{of}` has no field `{name}` with one value");
            let finding = self.findings.at(source, text.span(), Kind::UnknownField, message);
            finding.suggest(name, from.entry.method.fields().iter().map(|field| field.path.as_str()));
            return None;
        };
        if !is_same_type(&found.kind(), &target.kind()) {
            let message = format!(
                "`{name}` is {}, and `{}` is {}",
                type_name(&found.kind()),
                target.name(),
                type_name(&target.kind())
            );
            self.malformed(source, text.span(), message);
            return None;
        }
        let path = FieldPath::resolve(output, name).ok()?;
        Some(ValueSource::Answer { part, path })
    }

    /// Request fields that must be present, and that nothing gives.
    fn required(
        &mut self,
        source: &Arc<Source>,
        raw: &raw::Part,
        entry: &MethodEntry,
        request: &[RequestField],
    ) {
        // What an empty request breaks is what a request without these fields would be refused for.
        let missing = entry.method.violations(&[]).unwrap_or_default().into_iter();
        let missing =
            missing.filter(|missing| !request.iter().any(|field| field.path.as_str() == missing.path));
        for missing in missing {
            let message = format!(
                "`{}` {}: give it in `request`, from an input or from a part before",
                missing.path, missing.rule
            );
            self.malformed(source, raw.method.span(), message);
        }
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

    /// Findings for callers without a right that the procedure needs.
    fn rights(&mut self, file: &ProcedureFile, procedure: &Procedure, policy: &Policy) {
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

/// Whether setting one path would change what is at the other: it is the same, around it or inside it, or
/// another member of its oneof.
fn overlaps(message: &MessageDescriptor, one: &FieldPath, other: &FieldPath) -> bool {
    let (one, other) = (one.as_str(), other.as_str());
    let is_inside =
        |outer: &str, inner: &str| inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('.'));
    let around = |path: &str| path.rsplit_once('.').map(|(around, _)| around.to_owned());
    let oneof = |path: &str| {
        let field = singular(message, path)?;
        Some(field.containing_oneof()?.full_name().to_owned())
    };
    let is_same_oneof = || around(one) == around(other) && oneof(one).is_some() && oneof(one) == oneof(other);
    one == other || is_inside(one, other) || is_inside(other, one) || is_same_oneof()
}

/// Whether a right discloses all of a field: the field itself, a field around it, or every field inside it.
fn is_disclosed(term: &Term, entry: &MethodEntry, field: &str) -> bool {
    let is_inside =
        |outer: &str, inner: &str| inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('.'));
    let is_given =
        |path: &str| term.permit.disclosed.iter().any(|known| known == path || is_inside(known, path));
    let mut inside = entry.method.fields().iter().filter(|known| is_inside(field, &known.path)).peekable();
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

fn name(raw: &raw::Name) -> Name {
    Name { fa: raw.fa.clone(), en: raw.en.clone() }
}

/// The field at a dotted path, if it and all messages around it are singular.
fn singular(message: &MessageDescriptor, path: &str) -> Option<FieldDescriptor> {
    let mut inside = Some(message.clone());
    let mut found = None;
    for name in path.split('.') {
        let field = inside?.get_field_by_name(name)?;
        if field.is_list() || field.is_map() {
            return None;
        }
        inside = match field.kind() {
            FieldKind::Message(inner) => Some(inner),
            _ => None,
        };
        found = Some(field);
    }
    found
}

/// Whether a value of one can be put into the other as it is. Messages and enums of two contracts are
/// compared by their names.
fn is_same_type(one: &FieldKind, other: &FieldKind) -> bool {
    type_name(one) == type_name(other)
}

fn type_name(kind: &FieldKind) -> String {
    match kind {
        FieldKind::Message(message) => message.full_name().to_owned(),
        FieldKind::Enum(names) => names.full_name().to_owned(),
        scalar => format!("{scalar:?}").to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{CONTRACT, Files};

    const GRANTS: &str = r#"
[[grant]]
id = "get"
to = "gov/welfare/benefits"
method = "desk.v1.Desk/Get"
purposes = ["desk.read"]
fields = ["name", "place.city"]
valid = { from = 2026-01-01, until = 2027-12-31 }
basis = "b"

[[grant]]
id = "list"
to = "gov/welfare/benefits"
method = "desk.v1.Desk/List"
purposes = ["desk.read"]
fields = ["name"]
valid = { from = 2026-01-01, until = 2027-12-31 }
basis = "b"

[[grant]]
id = "compare"
to = "gov/welfare/benefits"
method = "desk.v1.Desk/Compare"
purposes = ["desk.read"]
fields = ["number"]
valid = { from = 2026-01-01, until = 2027-12-31 }
basis = "b"
"#;

    const PROCEDURE: &str = r#"
[procedure]
name = { fa = "ا", en = "a" }
purpose = "desk.read"
callers = ["gov/welfare/benefits"]

[[input]]
id = "name"
name = { fa = "ا", en = "a" }

[[part]]
id = "person"
method = "desk.v1.Desk/Get"

[[part]]
id = "all"
method = "desk.v1.Desk/List"

[[part]]
id = "compared"
method = "desk.v1.Desk/Compare"
request = { name = "input.name", city = "person.place.city" }
"#;

    fn files(from: &str, to: &str) -> Files {
        assert!(PROCEDURE.contains(from), "{from}");
        Files::default().with("gov/desk.toml", GRANTS).with("procedures/p.toml", &PROCEDURE.replace(from, to))
    }

    #[test]
    fn a_procedure_is_loaded_with_its_parts_in_order_and_is_for_its_callers() {
        let registry = files("", "").load().unwrap();
        let welfare = "gov/welfare/benefits".parse().unwrap();
        let procedure = registry.procedure(&welfare, &"p".parse().unwrap()).unwrap();
        let parts: Vec<&str> = procedure.parts.iter().map(|part| part.id.as_str()).collect();
        assert_eq!(parts, ["person", "all", "compared"]);
        assert_eq!(procedure.parts[2].request.len(), 3, "the subject is given too");
        let bank = "com/bank/loans".parse().unwrap();
        assert!(registry.procedure(&bank, &"p".parse().unwrap()).is_none());
        assert_eq!(registry.procedures_for(&bank).count(), 0);
    }

    #[test]
    fn what_a_call_would_be_refused_for_is_a_finding() {
        for (from, to, finding) in [
            ("\"desk.read\"", "\"desk.write\"", "is no purpose of desk.v1.Desk/List"),
            (
                "callers = [\"gov",
                "callers = [\"com/bank/loans\", \"gov",
                "no grant lets com/bank/loans call desk.v1.Desk/Get",
            ),
            (
                "callers =",
                "on_behalf_of = \"com/bank\"\ncallers =",
                "call desk.v1.Desk/Get on behalf of com/bank for desk.read",
            ),
            (
                "person.place.city",
                "person.place.street",
                "is not granted `place.street` of desk.v1.Desk/Get, which another part takes",
            ),
            ("name = \"input.name\", ", "", "`name` must be present: give it in `request`"),
            ("[\"gov/welfare/benefits\"]", "[]", "name at least one caller"),
            ("desk.v1.Desk/List", "desk.v1.Desk/Count", "this method names none"),
        ] {
            let errors = files(from, to).errors();
            assert!(errors.contains(finding), "{finding}: {errors}");
        }
    }

    #[test]
    fn paths_overlap_that_are_the_same_around_each_other_or_of_one_oneof() {
        let message = CONTRACT.method(&"desk.v1.Desk/Compare".parse().unwrap()).unwrap().input().clone();
        let path = |path: &str| FieldPath::resolve(&message, path).unwrap();
        for (one, other, expected) in [
            ("who", "who", true),
            ("who", "who.id", true),
            ("who.id", "who", true),
            ("town", "village", true),
            ("who.id", "id", false),
            ("name", "names", false),
            ("city", "age", false),
        ] {
            assert_eq!(overlaps(&message, &path(one), &path(other)), expected, "{one}, {other}");
        }
    }

    #[test]
    fn what_is_not_there_or_of_another_type_is_a_finding() {
        for (from, to, finding) in [
            ("person.place.city", "persn.place.city", "there is no part `persn` before this one"),
            ("person.place.city", "compared.number", "there is no part `compared` before this one"),
            ("person.place.city", "all.place.city", "`all` answers with a stream"),
            ("person.place.city", "person.place.cty", "the answer of `person` has no field `place.cty`"),
            ("person.place.city", "input.city", "the procedure has no input `city`"),
            ("person.place.city", "city", "a value comes from `input.ID` or from `PART.FIELD`"),
            ("city = \"person", "age = \"person", "`place.city` is string, and `age` is int32"),
            ("city = \"person", "names = \"person", "has no field `names` that takes one value"),
            ("city = \"person", "id = \"person", "`id` is, or holds, the citizen's id"),
            (
                "city = \"person",
                "who = \"person.place\", x = \"person",
                "`place` is desk.v1.Place, and `who` is desk.v1.Who",
            ),
            ("city = \"person", "town = \"input.name\", village = \"person", "would overwrite each other"),
            ("city = \"person.place.city\"", "age = \"input.name\"", "an input is a text, and `age` is none"),
            ("id = \"all\"", "id = \"person\"", "the id `person` is there twice"),
            ("id = \"all\"", "id = \"input\"", "`input` stands for the inputs"),
            (
                "[[input]]",
                "[[input]]\nid = \"more\"\nname = { fa = \"a\", en = \"a\" }\n[[input]]",
                "no part takes the input `more`",
            ),
            ("[procedure]", "[proceedure]", "`proceedure` is no table of this file"),
        ] {
            let errors = files(from, to).errors();
            assert!(errors.contains(finding), "{finding}: {errors}");
        }
        let seventeen = "\n[[part]]\nid = \"p\"\nmethod = \"desk.v1.Desk/Get\"\n".repeat(14);
        assert!(files("", "").with("procedures/p.toml", &seventeen).errors().contains("1 to 16 parts"));
        let misnamed = Files::default().with("procedures/P_1.toml", PROCEDURE).errors();
        assert!(misnamed.contains("the file's name is not a valid procedure id"), "{misnamed}");
    }
}

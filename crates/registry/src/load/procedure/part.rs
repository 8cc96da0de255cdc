//! A part of a procedure: its method, and where each field of its request comes from.

use std::sync::Arc;

use chapar_contract::FieldPath;
use prost_reflect::{FieldDescriptor, Kind as FieldKind};

use super::name;
use super::types::{is_same_type, overlaps, singular, type_name};
use crate::entry::MethodEntry;
use crate::finding::Kind;
use crate::load::Loader;
use crate::procedure::{Input, Part, RequestField, ValueSource};
use crate::raw::{self, Text};
use crate::source::Source;

impl Loader<'_> {
    pub(super) fn part(
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
}

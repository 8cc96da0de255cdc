//! This module compares what options promise: to citizens (class, purposes), to grants (row scopes) and to
//! callers (formats, bounds).

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor};

use super::{Break, Comparison};
use crate::field_path::{FieldPath, is_inside_path};
use crate::method::Method;

impl Comparison {
    /// Compares the options of one method. `place` is the method in the new version.
    pub(super) fn promises(&mut self, was: &Method, now: &Method, place: &MethodDescriptor) {
        self.subject(was, now, place);
        for purpose in was.purposes().iter().filter(|purpose| !now.purposes().contains(purpose)) {
            self.tell_method(place, Break::PurposeRemoved, format!("the purpose {purpose} is gone"));
        }
        for purpose in now.purposes().iter().filter(|purpose| !was.purposes().contains(purpose)) {
            self.tell_method(place, Break::PurposeAdded, format!("the purpose {purpose} is new"));
        }
        for scope in was.row_scopes().iter().filter(|scope| !now.row_scopes().contains(scope)) {
            self.tell_method(place, Break::RowScopeRemoved, format!("the row scope {scope} is gone"));
        }
        if now.timeout() < was.timeout() {
            let message = format!("its timeout was {:?} and is {:?}", was.timeout(), now.timeout());
            self.tell_method(place, Break::BoundLowered, message);
        }
        if now.max_rows() < was.max_rows() {
            let message = format!("its max_rows was {} and is {}", was.max_rows(), now.max_rows());
            self.tell_method(place, Break::BoundLowered, message);
        }
        self.classes(was, now);
        self.formats(was, now);
    }

    fn subject(&mut self, was: &Method, now: &Method, place: &MethodDescriptor) {
        if was.subject() != now.subject() {
            let message = format!("the subject was {} and is {}", words(was.subject()), words(now.subject()));
            self.tell_method(place, Break::SubjectMoved, message);
        }
        if was.key() != now.key() {
            let message = format!("the key was {} and is {}", words(was.key()), words(now.key()));
            self.tell_method(place, Break::KeyChanged, message);
        }
    }

    /// Reports each leaf whose class is lower than before. A leaf is compared with the same path, with the
    /// message that it was a part of, and with the parts that it had.
    fn classes(&mut self, was: &Method, now: &Method) {
        let within = |inner: &str, outer: &str| inner == outer || is_inside_path(outer, inner);
        for before in was.fields() {
            let touched = |path: &str| within(path, &before.path) || within(&before.path, path);
            for after in
                now.fields().iter().filter(|after| touched(&after.path) && after.class < before.class)
            {
                let message = format!("its class was {:?} and is {:?}", before.class, after.class);
                if let Some(field) = field_at(now.output(), &after.path) {
                    self.tell_field(&field, Break::ClassLowered, message.to_lowercase());
                }
            }
        }
    }

    fn formats(&mut self, was: &Method, now: &Method) {
        let before = asked(was);
        let after = asked(now);
        let missing = |from: &[(String, String)], to: &[(String, String)]| -> Vec<(String, String)> {
            from.iter().filter(|rule| !to.contains(rule)).cloned().collect()
        };
        // Rules are compared as texts, so a rule that was changed is one that is gone and one that is new.
        for (kind, rules, verb) in [
            (Break::FormatLoosened, missing(&before, &after), "no longer"),
            (Break::FormatTightened, missing(&after, &before), "now"),
        ] {
            for (path, rule) in rules {
                let message = format!("{verb} held to: {rule}");
                // A field that is gone is reported as removed.
                if let Some(field) = field_at(now.input(), &path) {
                    self.tell_field(&field, kind, message);
                }
            }
        }
    }
}

/// Everything that a request is held to besides its type, by path.
fn asked(method: &Method) -> Vec<(String, String)> {
    let formats = method.formats.iter().flat_map(|format| {
        let required = format.required.then(|| "must be present".to_owned());
        [Some(format!("is {}", format.format)), required]
            .map(|rule| rule.map(|rule| (format.path.to_string(), rule)))
    });
    let rules = method
        .rules
        .iter()
        .flat_map(|rule| rule.checks.iter().map(|check| Some((rule.path.to_string(), check.to_string()))));
    formats.chain(rules).flatten().collect()
}

fn words(path: Option<&FieldPath>) -> &str {
    path.map_or("nothing", FieldPath::as_str)
}

fn field_at(message: &MessageDescriptor, path: &str) -> Option<FieldDescriptor> {
    let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
    let field = message.get_field_by_name(first)?;
    match (rest, field.kind()) {
        (None, _) => Some(field),
        (Some(rest), Kind::Message(inner)) => field_at(&inner, rest),
        (Some(_), _) => None,
    }
}

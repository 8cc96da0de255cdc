//! This module compares the wire and JSON: streaming, types of fields by number, names, and enum values that
//! are gone.

use prost_reflect::prost_types::method_options::IdempotencyLevel;
use prost_reflect::{
    Cardinality, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor,
};

use super::{Break, Comparison};

impl Comparison {
    /// Compares streaming, request and response types, and idempotency.
    pub(super) fn shape(&mut self, was: &MethodDescriptor, now: &MethodDescriptor) {
        let sides = [
            ("the request", was.is_client_streaming(), now.is_client_streaming(), was.input(), now.input()),
            (
                "the response",
                was.is_server_streaming(),
                now.is_server_streaming(),
                was.output(),
                now.output(),
            ),
        ];
        for (side, streamed, streams, before, after) in sides {
            if streamed != streams {
                let change = if streams { "is a stream now" } else { "is no stream any more" };
                self.tell_method(now, Break::StreamingChanged, format!("{side} {change}"));
            }
            // Types of the same name are compared field by field. Another name is one finding, and its fields
            // would only repeat it.
            if before.full_name() == after.full_name() {
                self.message(&before, &after);
            } else {
                let message = format!("{side} was {} and is {}", before.full_name(), after.full_name());
                self.tell_method(now, Break::TypeChanged, message);
            }
        }
        let before = idempotency(was);
        let after = idempotency(now);
        // A higher level only lets callers retry. A lower one breaks those that rely on it.
        if after < before {
            self.tell_method(now, Break::IdempotencyLowered, "its idempotency_level is lower than it was");
        }
    }

    fn message(&mut self, was: &MessageDescriptor, now: &MessageDescriptor) {
        let pair = (was.full_name().to_owned(), now.full_name().to_owned());
        // Google's types are stable. A pair that was compared before is skipped, else a type that contains
        // itself would never end.
        if was.package_name().starts_with("google.") || self.seen.contains(&pair) {
            return;
        }
        self.seen.push(pair);
        for field in was.fields() {
            match now.get_field(field.number()) {
                Some(same) => self.field(&field, &same),
                None if is_reserved(now, &field) => {}
                None => {
                    let name = field.name();
                    let number = field.number();
                    let message = format!("the field {name} = {number} is gone, and not both are reserved");
                    self.tell_message(now, Break::Removed, message);
                }
            }
        }
        for added in now.fields().filter(|field| was.get_field(field.number()).is_none()) {
            if added.cardinality() == Cardinality::Required {
                self.tell_field(&added, Break::CardinalityChanged, "a new field cannot be required");
            }
        }
        self.reservations(was, now);
    }

    fn reservations(&mut self, was: &MessageDescriptor, now: &MessageDescriptor) {
        // A reserved name or number that is free again could come back with another meaning.
        for name in was.reserved_names() {
            if now.get_field_by_name(name).is_some() || !now.reserved_names().any(|other| other == name) {
                self.tell_message(now, Break::Removed, format!("the name {name} is no longer reserved"));
            }
        }
        for range in was.reserved_ranges() {
            let kept =
                now.reserved_ranges().any(|other| other.start <= range.start && range.end <= other.end);
            if !kept {
                let message =
                    format!("the numbers {} to {} are no longer reserved", range.start, range.end - 1);
                self.tell_message(now, Break::Removed, message);
            }
        }
    }

    fn field(&mut self, was: &FieldDescriptor, now: &FieldDescriptor) {
        if was.name() != now.name() {
            self.tell_field(now, Break::Renamed, format!("its name was {}", was.name()));
        } else if was.json_name() != now.json_name() {
            self.tell_field(now, Break::Renamed, format!("its name in JSON was {}", was.json_name()));
        }
        let oneof = |field: &FieldDescriptor| {
            field
                .containing_oneof()
                .filter(|oneof| !oneof.is_synthetic())
                .map(|oneof| oneof.name().to_owned())
        };
        // A member of a oneof unsets the others, so a message of one version can lose a value in the other.
        if oneof(was) != oneof(now) {
            self.tell_field(now, Break::CardinalityChanged, "it moved into a oneof, or out of one");
        }
        let many = |field: &FieldDescriptor| (field.is_list(), field.is_map());
        let must = |field: &FieldDescriptor| field.cardinality() == Cardinality::Required;
        if many(was) != many(now) || must(was) != must(now) {
            let message = format!("it was {} and is {}", words(was), words(now));
            self.tell_field(now, Break::CardinalityChanged, message);
        }
        match (was.kind(), now.kind()) {
            (Kind::Message(before), Kind::Message(after))
                if was.is_group() == now.is_group() && before.full_name() == after.full_name() =>
            {
                self.message(&before, &after);
            }
            (Kind::Enum(before), Kind::Enum(after)) if before.full_name() == after.full_name() => {
                self.enumeration(&before, &after, now);
            }
            (before, after) if before == after => {}
            (before, after) => {
                self.tell_field(
                    now,
                    Break::TypeChanged,
                    format!("its type was {} and is {}", name(&before), name(&after)),
                );
            }
        }
    }

    fn enumeration(&mut self, was: &EnumDescriptor, now: &EnumDescriptor, field: &FieldDescriptor) {
        for value in was.values() {
            let number = value.number();
            if now.values().any(|other| other.number() == number && other.name() == value.name()) {
                continue;
            }
            // Name and number must both be reserved: JSON goes by the name, and the wire by the number.
            let reserved = now.reserved_names().any(|name| name == value.name())
                && now.reserved_ranges().any(|range| range.contains(&number));
            match now.get_value(number) {
                Some(other) => {
                    let message = format!("the value {number} of {} was {}", now.full_name(), value.name());
                    self.tell(&other.parent_enum().parent_file(), other.path(), Break::Renamed, message);
                }
                None if reserved => {}
                None => {
                    let message = format!(
                        "the value {} of {} is gone, and not both are reserved",
                        value.name(),
                        now.full_name()
                    );
                    self.tell_field(field, Break::Removed, message);
                }
            }
        }
    }
}

fn is_reserved(message: &MessageDescriptor, field: &FieldDescriptor) -> bool {
    message.reserved_names().any(|name| name == field.name())
        && message.reserved_ranges().any(|range| range.contains(&field.number()))
}

fn words(field: &FieldDescriptor) -> &'static str {
    match (field.is_map(), field.cardinality()) {
        (true, _) => "a map",
        (_, Cardinality::Repeated) => "repeated",
        (_, Cardinality::Required) => "required",
        (_, Cardinality::Optional) => "single",
    }
}

fn name(kind: &Kind) -> String {
    match kind {
        Kind::Message(message) => message.full_name().to_owned(),
        Kind::Enum(names) => names.full_name().to_owned(),
        kind => format!("{kind:?}").to_lowercase(),
    }
}

fn idempotency(method: &MethodDescriptor) -> u8 {
    match method.method_descriptor_proto().options.as_ref().map(|options| options.idempotency_level()) {
        Some(IdempotencyLevel::NoSideEffects) => 2,
        Some(IdempotencyLevel::Idempotent) => 1,
        Some(IdempotencyLevel::IdempotencyUnknown) | None => 0,
    }
}

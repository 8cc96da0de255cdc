//! This module makes a request message from `field=value` arguments. No error shows a value, because it may
//! be a citizen's.

use bytes::Bytes;
use chapar_contract::text;
use prost::Message as _;
use prost_reflect::{
    Cardinality, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage as _, Value,
};

/// An argument that the request does not take.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ArgumentError {
    /// The message has no such field.
    #[error("no field `{field}` in {message}; {takes}")]
    Unknown {
        /// The name that was given.
        field: String,
        /// The message's full name.
        message: String,
        /// What it does take.
        takes: String,
    },
    /// A field that is not repeated is given more than once.
    #[error("`{field}` is given twice")]
    Twice {
        /// The path.
        field: String,
    },
    /// A map. Its keys have no place in `field=value`.
    #[error("`{field}` is a map, which cannot be given here")]
    Map {
        /// The path.
        field: String,
    },
    /// A path goes on where there is nothing below.
    #[error("`{part}` in `{field}` holds no fields")]
    Leaf {
        /// The whole path.
        field: String,
        /// The part that has no fields.
        part: String,
    },
    /// A value of another kind than the field's.
    #[error("`{field}` takes {takes}")]
    Value {
        /// The path.
        field: String,
        /// What it takes.
        takes: String,
    },
}

/// Builds a message of type `descriptor` from pairs of field and value.
///
/// Paths are dotted (`address.city`); a repeated field is given several times; an enum by its name; a
/// `google.type.Date` as `YYYY-MM-DD`; bytes in base64; any other message as JSON. Digits may be Persian or
/// Arabic where the field is a number, a date, or a string with a format.
///
/// # Errors
/// [`ArgumentError`], naming the field and what it takes, never the value.
pub fn to_request(
    descriptor: &MessageDescriptor,
    arguments: &[(&str, &str)],
) -> Result<Bytes, ArgumentError> {
    let mut message = DynamicMessage::new(descriptor.clone());
    let mut given: Vec<&str> = Vec::new();
    for (path, text) in arguments {
        let repeated = set(&mut message, path, path, text)?;
        // A second value would replace the first without a word.
        if given.contains(path) && !repeated {
            return Err(ArgumentError::Twice { field: (*path).to_owned() });
        }
        given.push(path);
    }
    Ok(Bytes::from(message.encode_to_vec()))
}

/// Sets one field; tells whether it is repeated.
fn set(message: &mut DynamicMessage, whole: &str, path: &str, text: &str) -> Result<bool, ArgumentError> {
    let descriptor = message.descriptor();
    let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    // Both the contract's name and the JSON name (lowerCamelCase) are accepted, as by protobuf's JSON
    // parsers.
    let field = descriptor.get_field_by_name(name).or_else(|| descriptor.get_field_by_json_name(name));
    let field = field.ok_or_else(|| ArgumentError::Unknown {
        field: name.to_owned(),
        message: descriptor.full_name().to_owned(),
        takes: takes(&descriptor),
    })?;
    let unfit = |takes: String| ArgumentError::Value { field: whole.to_owned(), takes };
    let Some(rest) = rest else {
        if field.is_map() {
            return Err(ArgumentError::Map { field: whole.to_owned() });
        }
        let value = parse(&field, text).map_err(unfit)?;
        // A repeated field takes one argument for each element.
        match message.get_field_mut(&field) {
            Value::List(list) => list.push(value),
            place => *place = value,
        }
        return Ok(field.is_list());
    };
    // A message that is not set yet is created by this access.
    match message.get_field_mut(&field) {
        Value::Message(inner) => set(inner, whole, rest, text),
        _ => Err(ArgumentError::Leaf { field: whole.to_owned(), part: name.to_owned() }),
    }
}

/// One value of the field's kind; the error says what the field takes.
fn parse(field: &FieldDescriptor, text: &str) -> Result<Value, String> {
    let digits = || text::ascii_digits(text.trim());
    let number = |what: &str| format!("a number ({what})");
    match field.kind() {
        // Digits of other scripts are folded only where the contract gives a format. Other text stays as it
        // was typed.
        Kind::String if has_format(field) => Ok(Value::String(digits())),
        Kind::String => Ok(Value::String(text.to_owned())),
        Kind::Bool => match text {
            "true" | "yes" => Ok(Value::Bool(true)),
            "false" | "no" => Ok(Value::Bool(false)),
            _ => Err("`true` or `false`".to_owned()),
        },
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
            digits().parse().map(Value::I32).map_err(|_| number("int32"))
        }
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
            digits().parse().map(Value::I64).map_err(|_| number("int64"))
        }
        Kind::Uint32 | Kind::Fixed32 => digits().parse().map(Value::U32).map_err(|_| number("uint32")),
        Kind::Uint64 | Kind::Fixed64 => digits().parse().map(Value::U64).map_err(|_| number("uint64")),
        Kind::Float => digits().parse().map(Value::F32).map_err(|_| number("float")),
        Kind::Double => digits().parse().map(Value::F64).map_err(|_| number("double")),
        Kind::Bytes => {
            use base64::Engine as _;
            let bytes = base64::engine::general_purpose::STANDARD.decode(text).map_err(|_| "base64")?;
            Ok(Value::Bytes(bytes.into()))
        }
        Kind::Enum(of) => {
            let names = || of.values().map(|value| value.name().to_owned()).collect::<Vec<_>>().join(", ");
            let found = of.get_value_by_name(text).ok_or_else(|| format!("one of {}", names()))?;
            Ok(Value::EnumNumber(found.number()))
        }
        Kind::Message(of) if of.full_name() == "google.type.Date" => date(of, &digits()),
        Kind::Message(of) => {
            let takes = format!("{} as JSON", of.full_name());
            let mut json = serde_json::Deserializer::from_str(text);
            let message = DynamicMessage::deserialize(of, &mut json).map_err(|_| takes.clone())?;
            // Text after the JSON value is refused, else a slip in a bracket would drop a part of the
            // request.
            json.end().map_err(|_| takes)?;
            Ok(Value::Message(message))
        }
    }
}

fn date(descriptor: MessageDescriptor, text: &str) -> Result<Value, String> {
    let takes = || "a date of the Gregorian calendar, `YYYY-MM-DD`".to_owned();
    let date: jiff::civil::Date = text.parse().map_err(|_| takes())?;
    let mut message = DynamicMessage::new(descriptor);
    let parts =
        [("year", i32::from(date.year())), ("month", date.month().into()), ("day", date.day().into())];
    for (name, value) in parts {
        message.try_set_field_by_name(name, Value::I32(value)).map_err(|_| takes())?;
    }
    Ok(Value::Message(message))
}

/// Whether Chapar's option on the field names a format. Read by name from the descriptors that the bus sends,
/// so that a contract made with newer options is still understood.
fn has_format(field: &FieldDescriptor) -> bool {
    let options = field.options();
    let extension = options.descriptor().get_extension_by_full_name("chapar.contract.v1.field");
    extension.is_some_and(|extension| match options.get_extension(&extension).as_ref() {
        Value::Message(rules) => {
            let format = rules.get_field_by_name("format").and_then(|format| format.as_enum_number());
            format.is_some_and(|number| number != 0)
        }
        _ => false,
    })
}

/// The fields that a message takes, in words, for a person who typed something else.
pub fn takes(descriptor: &MessageDescriptor) -> String {
    let many = |field: &FieldDescriptor| field.cardinality() == Cardinality::Repeated;
    let name = |field: FieldDescriptor| {
        format!("`{}`{}", field.name(), if many(&field) { " (repeated)" } else { "" })
    };
    let fields: Vec<String> = descriptor.fields().map(name).collect();
    if fields.is_empty() {
        "it takes no fields".to_owned()
    } else {
        format!("it takes {}", fields.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::json::to_json;

    fn descriptor(contract: &str, message: &str) -> MessageDescriptor {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto").join(contract);
        let contract = chapar_contract::Contract::load(&folder).unwrap();
        contract.pool().get_message_by_name(message).unwrap()
    }

    fn build(
        contract: &str,
        message: &str,
        arguments: &[(&str, &str)],
    ) -> Result<serde_json::Value, ArgumentError> {
        let descriptor = descriptor(contract, message);
        Ok(to_json(&descriptor, to_request(&descriptor, arguments)?).unwrap())
    }

    #[test]
    fn digits_may_be_persian_where_a_format_says_what_they_are() {
        let fields = [("national_id", "۰۰۱۳۵۴۲۴۱۹"), ("birth_date", "۱۳۷۰/۰۵/۱۲"), ("given_name", "دی ۱۲")];
        let built = build("civil", "civil.v1.VerifyIdentityRequest", &fields).unwrap();
        let wanted = serde_json::json!({"national_id": "0013542419", "birth_date": "1370/05/12", "given_name": "دی ۱۲"});
        assert_eq!(built, wanted);
    }

    #[test]
    fn a_field_takes_what_its_kind_takes() {
        let parcel = "agriculture.v1.Parcel";
        let built = build("agriculture", parcel, &[("number", "۱۲"), ("area", "1.5")]).unwrap();
        assert_eq!(built, serde_json::json!({"number": "12", "area": 1.5}));
        let wrong = build("agriculture", parcel, &[("water", "1")]).unwrap_err().to_string();
        assert!(wrong.contains("`water` takes one of WATER_UNSPECIFIED"), "{wrong}");
        let person = "civil.v1.Person";
        for (field, value) in [("birth_date", "1990-02-31"), ("birth_date.year", "x")] {
            assert!(
                matches!(build("civil", person, &[(field, value)]), Err(ArgumentError::Value { .. })),
                "{field}"
            );
        }
        let whole = build("civil", person, &[("birth_date", "۱۹۹۰-۰۲-۲۸")]).unwrap();
        let parts = [("birth_date.year", "1990"), ("birth_date.month", "2"), ("birth_date.day", "28")];
        assert_eq!(whole["birth_date"], serde_json::json!({"year": 1990, "month": 2, "day": 28}));
        assert_eq!(build("civil", person, &parts).unwrap(), whole);
    }

    #[test]
    fn a_repeated_field_is_given_several_times() {
        let rules = "chapar.contract.v1.MethodRules";
        let built =
            build("civil", rules, &[("purposes", "a"), ("purposes", "b"), ("max_rows", "۳")]).unwrap();
        assert_eq!(built, serde_json::json!({"purposes": ["a", "b"], "max_rows": 3}));
    }

    #[test]
    fn a_message_is_given_as_json_and_text_after_it_is_refused() {
        let method = "google.protobuf.MethodDescriptorProto";
        let built = build("civil", method, &[("options", r#"{"deprecated": true}"#)]).unwrap();
        assert_eq!(built, serde_json::json!({"options": {"deprecated": true}}));
        for rest in ["}", "{}", "x"] {
            let text = format!(r#"{{"deprecated": true}} {rest}"#);
            let told = build("civil", method, &[("options", text.as_str())]).unwrap_err().to_string();
            assert_eq!(told, "`options` takes google.protobuf.MethodOptions as JSON", "{rest}");
        }
    }

    #[test]
    fn a_mistake_is_told_with_what_the_message_takes_and_without_the_value() {
        let request = "civil.v1.GetPersonRequest";
        for field in ["national", "national_id.x"] {
            let told = build("civil", request, &[(field, "0013542419")]).unwrap_err().to_string();
            assert!(told.contains("national_id") && !told.contains("0013542419"), "{told}");
        }
        let twice = build("civil", request, &[("national_id", "1"), ("national_id", "2")]).unwrap_err();
        assert_eq!(twice, ArgumentError::Twice { field: "national_id".to_owned() });
    }
}

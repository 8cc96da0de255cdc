//! `field=value` arguments → a request message, by the method's own descriptor. No error shows a value: what
//! stands there may be a citizen's.

use chapar_contract::text;
use prost_reflect::{
    Cardinality, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage as _, Value,
};

use super::Failure;

/// Builds a message of type `descriptor`.
///
/// Paths are dotted (`address.city`); a repeated field is given several times; an enum by its name; a
/// `google.type.Date` as `YYYY-MM-DD`; bytes in base64; any other message as JSON. Digits may be Persian or
/// Arabic where the field is a number, a date, or a string with a format.
///
/// # Errors
/// A usage failure that names the argument's field and what it takes.
pub(super) fn message(
    descriptor: &MessageDescriptor,
    arguments: &[String],
) -> Result<DynamicMessage, Failure> {
    let mut message = DynamicMessage::new(descriptor.clone());
    let mut given: Vec<&str> = Vec::new();
    for argument in arguments {
        let Some((path, value)) = argument.split_once('=') else {
            return Err(Failure::usage(format_args!(
                "an argument after the method is `field=value`; {}",
                takes(descriptor)
            )));
        };
        let repeated = set(&mut message, path, path, value)?;
        if given.contains(&path) && !repeated {
            return Err(Failure::usage(format_args!("`{path}` is given twice")));
        }
        given.push(path);
    }
    Ok(message)
}

/// Sets one field; tells whether it is repeated.
fn set(message: &mut DynamicMessage, whole: &str, path: &str, text: &str) -> Result<bool, Failure> {
    let descriptor = message.descriptor();
    let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    // Both spellings are taken, because callers copy names from the contract and from JSON.
    let field = descriptor.get_field_by_name(name).or_else(|| descriptor.get_field_by_json_name(name));
    let Some(field) = field else {
        return Err(Failure::usage(format_args!(
            "no field `{name}` in {}; {}",
            descriptor.full_name(),
            takes(&descriptor)
        )));
    };
    let Some(rest) = rest else {
        let value =
            parse(&field, text).map_err(|takes| Failure::usage(format_args!("`{whole}` takes {takes}")))?;
        return match message.get_field_mut(&field) {
            Value::List(list) => {
                list.push(value);
                Ok(true)
            }
            // The key of a map has no place in `field=value`.
            _ if field.is_map() => {
                Err(Failure::usage(format_args!("`{whole}` is a map, which cannot be given here")))
            }
            place => {
                *place = value;
                Ok(false)
            }
        };
    };
    match message.get_field_mut(&field) {
        Value::Message(inner) => set(inner, whole, rest, text),
        _ => Err(Failure::usage(format_args!("`{name}` in `{whole}` holds no fields"))),
    }
}

/// One value of the field's kind; the error says what the field takes.
fn parse(field: &FieldDescriptor, text: &str) -> Result<Value, String> {
    let digits = || text::ascii_digits(text.trim());
    let number = |what: &str| format!("a number ({what})");
    match field.kind() {
        // Digits of other scripts are folded only in fields with a format, where they cannot be meant
        // otherwise.
        Kind::String if super::options::format(field).is_some() => Ok(Value::String(digits())),
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
            let mut json = serde_json::Deserializer::from_str(text);
            let takes = format!("{} as JSON", of.full_name());
            DynamicMessage::deserialize(of, &mut json).map(Value::Message).map_err(|_| takes)
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

/// What a message takes, for a person who typed something else.
fn takes(descriptor: &MessageDescriptor) -> String {
    let fields: Vec<String> = descriptor
        .fields()
        .map(|field| {
            let many = if field.cardinality() == Cardinality::Repeated { " (repeated)" } else { "" };
            format!("`{}`{many}", field.name())
        })
        .collect();
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
    use crate::cli::{Exit, answer};

    fn build(contract: &str, message: &str, arguments: &[&str]) -> Result<serde_json::Value, Failure> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto").join(contract);
        let contract = chapar_contract::Contract::load(&folder).unwrap();
        let descriptor = contract.pool().get_message_by_name(message).unwrap();
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        self::message(&descriptor, &arguments).and_then(|message| answer::set_fields(&message))
    }

    #[test]
    fn digits_may_be_persian_where_a_format_says_what_they_are() {
        let fields = ["national_id=۰۰۱۳۵۴۲۴۱۹", "birth_date=۱۳۷۰/۰۵/۱۲", "given_name=دی ۱۲"];
        let built = build("civil", "civil.v1.VerifyIdentityRequest", &fields).unwrap();
        let wanted = serde_json::json!({"national_id": "0013542419", "birth_date": "1370/05/12", "given_name": "دی ۱۲"});
        assert_eq!(built, wanted);
    }

    #[test]
    fn a_field_takes_what_its_kind_takes() {
        let fields = ["number=۱۲", "area=۱٫۵".replace('٫', ".").as_str(), "water=1"].map(str::to_owned);
        let parcel = "agriculture.v1.Parcel";
        let [number, area, water] = &fields;
        let built = build("agriculture", parcel, &[number, area]).unwrap();
        assert_eq!(built, serde_json::json!({"number": "12", "area": 1.5}));
        let wrong = build("agriculture", parcel, &[water]).unwrap_err().report.to_string();
        assert!(wrong.contains("`water` takes one of WATER_UNSPECIFIED"), "{wrong}");
        let person = ["birth_date=1990-02-31", "birth_date.year=x"];
        for field in person {
            assert_eq!(build("civil", "civil.v1.Person", &[field]).unwrap_err().exit, Exit::Usage, "{field}");
        }
        let date = build("civil", "civil.v1.Person", &["birth_date=1990-02-28"]).unwrap();
        assert_eq!(date["birth_date"], serde_json::json!({"year": 1990, "month": 2, "day": 28}));
    }

    #[test]
    fn a_mistake_is_told_with_what_the_message_takes_and_without_the_value() {
        for wrong in ["0013542419", "national=0013542419", "national_id.x=0013542419"] {
            let failure = build("civil", "civil.v1.GetPersonRequest", &[wrong]).unwrap_err();
            let told = failure.report.to_string();
            assert!(told.contains("national_id") && !told.contains("0013542419"), "{told}");
        }
        let twice =
            build("civil", "civil.v1.GetPersonRequest", &["national_id=1", "national_id=2"]).unwrap_err();
        assert_eq!(twice.report.to_string(), "`national_id` is given twice");
    }
}

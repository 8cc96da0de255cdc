//! This module makes random types: a file of three messages that contain each other, in proto2 or proto3.

use prost_reflect::prost_types::field_descriptor_proto::{Label, Type};
use prost_reflect::prost_types::{
    DescriptorProto, EnumDescriptorProto, EnumValueDescriptorProto, FieldDescriptorProto, FieldOptions,
    FileDescriptorProto, MessageOptions, OneofDescriptorProto,
};
use prost_reflect::{DescriptorPool, Kind, MessageDescriptor};

use super::dice::Dice;

const MESSAGES: usize = 3;
const SCALARS: [Type; 16] = [
    Type::Double,
    Type::Float,
    Type::Int64,
    Type::Uint64,
    Type::Int32,
    Type::Fixed64,
    Type::Fixed32,
    Type::Bool,
    Type::String,
    Type::Bytes,
    Type::Uint32,
    Type::Enum,
    Type::Sfixed32,
    Type::Sfixed64,
    Type::Sint32,
    Type::Sint64,
];
/// At every length of a tag.
const NUMBERS: [i32; 14] = [1, 2, 3, 4, 5, 9, 15, 16, 17, 200, 2047, 2048, 300_000, 536_870_911];

/// A random type.
///
/// # Panics
/// Never: what is made is a valid file.
pub fn schema(seed: u64) -> MessageDescriptor {
    let mut dice = Dice::new(seed);
    let old = dice.once_in(2);
    let file = FileDescriptorProto {
        name: Some("t.proto".into()),
        package: Some("t".into()),
        syntax: Some(if old { "proto2" } else { "proto3" }.into()),
        message_type: (0..MESSAGES).map(|index| message(&mut dice, index, old)).collect(),
        enum_type: vec![EnumDescriptorProto {
            name: Some("E".into()),
            value: ["ZERO", "ONE", "FAR"]
                .iter()
                .zip([0, 1, 1 << 20])
                .map(|(name, number)| value(name, number))
                .collect(),
            ..Default::default()
        }],
        ..Default::default()
    };
    let mut pool = DescriptorPool::new();
    pool.add_file_descriptor_proto(file).expect("a valid file");
    pool.get_message_by_name("t.M0").expect("the first message")
}

fn value(name: &str, number: i32) -> EnumValueDescriptorProto {
    EnumValueDescriptorProto { name: Some(name.into()), number: Some(number), ..Default::default() }
}

fn message(dice: &mut Dice, index: usize, old: bool) -> DescriptorProto {
    let mut made = DescriptorProto { name: Some(format!("M{index}")), ..Default::default() };
    let oneofs = dice.roll(3);
    made.oneof_decl = (0..oneofs)
        .map(|n| OneofDescriptorProto { name: Some(format!("o{n}")), ..Default::default() })
        .collect();
    let mut members = vec![0; oneofs];
    let mut optional = Vec::new();
    let first = dice.roll(NUMBERS.len());
    for n in 0..2 + dice.roll(6) {
        // Any numbers, each once.
        let number = NUMBERS[(first + n * 3) % NUMBERS.len()];
        let mut field = FieldDescriptorProto {
            name: Some(format!("f{n}")),
            number: Some(number),
            label: Some(Label::Optional as i32),
            ..Default::default()
        };
        match dice.roll(10) {
            0 => map(dice, &mut made, &mut field, index),
            1 if old => group(dice, &mut made, &mut field, n, index),
            2 | 3 => typed(dice, &mut field, Some(index)),
            _ => typed(dice, &mut field, None),
        }
        let scalar_list = field.label() == Label::Optional && dice.once_in(3);
        if scalar_list {
            field.label = Some(Label::Repeated as i32);
            if !matches!(field.r#type(), Type::String | Type::Bytes | Type::Message | Type::Group)
                && dice.once_in(2)
            {
                field.options = Some(FieldOptions { packed: Some(dice.once_in(2)), ..Default::default() });
            }
        } else if field.label() == Label::Optional && oneofs > 0 && dice.once_in(2) {
            let of = dice.roll(oneofs);
            members[of] += 1;
            field.oneof_index = i32::try_from(of).ok();
        } else if field.label() == Label::Optional && !old && dice.once_in(4) {
            optional.push(made.field.len());
        }
        made.field.push(field);
    }
    // A oneof has a member at least, and those that proto3's `optional` makes stand at the end.
    let kept: Vec<usize> = (0..oneofs).filter(|of| members[*of] > 0).collect();
    for field in made.field.iter_mut().filter(|field| field.oneof_index.is_some()) {
        let of = usize::try_from(field.oneof_index()).unwrap_or_default();
        field.oneof_index = kept.iter().position(|kept| *kept == of).and_then(|of| i32::try_from(of).ok());
    }
    made.oneof_decl = kept
        .iter()
        .map(|n| OneofDescriptorProto { name: Some(format!("o{n}")), ..Default::default() })
        .collect();
    for index in optional {
        let name = format!("_{}", made.field[index].name());
        made.field[index].proto3_optional = Some(true);
        made.field[index].oneof_index = i32::try_from(made.oneof_decl.len()).ok();
        made.oneof_decl.push(OneofDescriptorProto { name: Some(name), ..Default::default() });
    }
    made
}

/// `beside`: a message, any of the file's, also the one that holds it.
fn typed(dice: &mut Dice, field: &mut FieldDescriptorProto, beside: Option<usize>) {
    if beside.is_some() {
        field.r#type = Some(Type::Message as i32);
        field.type_name = Some(format!(".t.M{}", dice.roll(MESSAGES)));
        return;
    }
    let scalar = *dice.one(&SCALARS);
    field.r#type = Some(scalar as i32);
    if scalar == Type::Enum {
        field.type_name = Some(".t.E".into());
    }
}

fn map(dice: &mut Dice, of: &mut DescriptorProto, field: &mut FieldDescriptorProto, index: usize) {
    let part = |name: &str, number: i32| FieldDescriptorProto {
        name: Some(name.into()),
        number: Some(number),
        label: Some(Label::Optional as i32),
        ..Default::default()
    };
    let mut key = part("key", 1);
    key.r#type =
        Some(*dice.one(&[Type::String, Type::Int32, Type::Bool, Type::Fixed64, Type::Sint64]) as i32);
    let mut value = part("value", 2);
    let inner = dice.once_in(2).then_some(index);
    typed(dice, &mut value, inner);
    let name = format!("{}Entry", field.name().to_uppercase());
    field.label = Some(Label::Repeated as i32);
    field.r#type = Some(Type::Message as i32);
    field.type_name = Some(format!(".t.M{index}.{name}"));
    of.nested_type.push(DescriptorProto {
        name: Some(name),
        field: vec![key, value],
        options: Some(MessageOptions { map_entry: Some(true), ..Default::default() }),
        ..Default::default()
    });
}

fn group(
    dice: &mut Dice,
    of: &mut DescriptorProto,
    field: &mut FieldDescriptorProto,
    n: usize,
    index: usize,
) {
    let name = format!("G{n}");
    field.name = Some(name.to_lowercase());
    field.r#type = Some(Type::Group as i32);
    field.type_name = Some(format!(".t.M{index}.{name}"));
    let fields = (1..3).map(|number| {
        let mut inner = FieldDescriptorProto {
            name: Some(format!("g{number}")),
            number: Some(number),
            label: Some(if dice.once_in(3) { Label::Repeated } else { Label::Optional } as i32),
            ..Default::default()
        };
        let beside = dice.once_in(4).then_some(index);
        typed(dice, &mut inner, beside);
        inner
    });
    let field = fields.collect();
    of.nested_type.push(DescriptorProto { name: Some(name), field, ..Default::default() });
}

/// Paths of the type, three steps deep, maps passed through; at most 200.
pub(super) fn paths(message: &MessageDescriptor) -> Vec<String> {
    let mut found = Vec::new();
    collect(message, "", 3, &mut found);
    found.truncate(200);
    found
}

fn collect(message: &MessageDescriptor, prefix: &str, depth: u32, found: &mut Vec<String>) {
    for field in message.fields() {
        let path = format!("{prefix}{}", field.name());
        let inner = match field.kind() {
            Kind::Message(entry) if field.is_map() => entry.map_entry_value_field().kind(),
            kind => kind,
        };
        found.push(path.clone());
        if let Kind::Message(inner) = inner
            && depth > 1
        {
            collect(&inner, &format!("{path}."), depth - 1, found);
        }
    }
}

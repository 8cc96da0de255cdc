//! A relation as it is drafted: its columns as fields, and the methods by which it is asked.

use super::super::guess::{Guess, Guesses};
use super::super::names::{camel, snake};
use super::super::numbers::Numbers;
use super::names::{UniqueNames, enum_names, joined};
use super::proto::{enumeration, type_of};
use super::statement::text_type;
use crate::dialect::Dialect;
use crate::source::catalogue::{Field, Kind, Relation};

/// A column as a field.
pub(super) struct DraftedColumn<'c> {
    pub(super) field: &'c Field,
    /// The field's name.
    pub(super) name: String,
    /// The field's type in protobuf.
    pub(super) kind: String,
    pub(super) guess: Option<Guess>,
    /// The column as an expression of the statement, with its alias.
    pub(super) selected: String,
    /// Declarations for the statement's head.
    pub(super) declared: Option<String>,
}

/// A relation that is drafted.
pub(super) struct DraftedRelation<'c> {
    pub(super) relation: &'c Relation,
    pub(super) message: String,
    pub(super) columns: Vec<DraftedColumn<'c>>,
    pub(super) enums: Vec<String>,
}

/// One method.
pub(super) struct DraftedMethod {
    pub(super) name: String,
    pub(super) request: String,
    pub(super) by: Vec<String>,
    pub(super) is_list: bool,
}

impl<'c> DraftedRelation<'c> {
    pub(super) fn new(
        relation: &'c Relation,
        dialect: Dialect,
        guesses: &Guesses,
        numbers: &mut Numbers,
        remarks: &mut Vec<String>,
        used: &mut UniqueNames,
    ) -> Option<Self> {
        let Some(name) = snake(&relation.name) else {
            remarks.push(format!(
                "`{}` has a name that protobuf cannot have: publish it through a view",
                relation.name
            ));
            return None;
        };
        let message = used.take(&camel(&name));
        let mut drafted = Self { relation, message, columns: Vec::new(), enums: Vec::new() };
        for (place, field) in relation.columns.iter().enumerate() {
            let own = snake(&field.name).unwrap_or_else(|| format!("column_{}", place + 1));
            let is_taken = drafted.columns.iter().any(|column| column.name == own);
            let name = if is_taken { format!("{own}_{}", place + 1) } else { own };
            let guess = guesses.get(&relation.name, &field.name);
            let column = drafted.column(field, name, guess, dialect, (&mut *numbers, &mut *used), remarks);
            drafted.columns.push(column);
        }
        Some(drafted)
    }

    fn column(
        &mut self,
        field: &'c Field,
        name: String,
        guess: Option<Guess>,
        dialect: Dialect,
        (numbers, used): (&mut Numbers, &mut UniqueNames),
        remarks: &mut Vec<String>,
    ) -> DraftedColumn<'c> {
        let quoted = dialect.quoted(&field.name);
        let alias = dialect.quoted(&name);
        let mut selected = if field.name == name { quoted.clone() } else { format!("{quoted} AS {alias}") };
        let mut declared = None;
        let mut kind = type_of(&field.kind).to_owned();
        match (&field.kind, guess) {
            (Kind::Text, Some(Guess::Jalali(pattern))) => {
                "google.type.Date".clone_into(&mut kind);
                declared = Some(format!("-- column {name}: jalali \"{pattern}\""));
            }
            (Kind::Text, Some(Guess::Gregorian)) => "google.type.Date".clone_into(&mut kind),
            (Kind::DateTime, _) => {
                declared = Some(format!("-- column {name}: zone \"Asia/Tehran\""));
                remarks.push(format!(
                    "`{}.{}` has no time zone; the draft says Asia/Tehran",
                    self.relation.name, field.name
                ));
            }
            (Kind::List(element), _) => kind = format!("repeated {}", type_of(element)),
            (Kind::Other, _) => {
                selected = format!("CAST({quoted} AS {}) AS {alias}", text_type(dialect));
                remarks.push(format!(
                    "`{}.{}` is of the type {}, and is drafted as its text",
                    self.relation.name, field.name, field.declared
                ));
            }
            (Kind::Enum(values), _) => {
                match enum_names(values) {
                    Some(names) => {
                        kind = used.take(&format!("{}{}", self.message, camel(&name)));
                        let cases = values.iter().zip(&names).map(|(value, name)| {
                            format!(" WHEN '{}' THEN '{name}'", value.replace('\'', "''"))
                        });
                        // A database's type of names is compared as text; a value that is not listed stays,
                        // and is an error of its row.
                        let text = format!("CAST({quoted} AS {})", text_type(dialect));
                        selected =
                            format!("CASE {text}{} ELSE {text} END AS {alias}", cases.collect::<String>());
                        self.enums.push(enumeration(&kind, &names, numbers));
                    }
                    None => remarks.push(format!(
                        "`{}.{}` holds one of {}, which are no different names of protobuf: it is drafted as text",
                        self.relation.name,
                        field.name,
                        values.join(", ")
                    )),
                }
            }
            _ => {}
        }
        DraftedColumn { field, name, kind, guess, selected, declared }
    }

    /// A method for each key and each reference, by different columns.
    pub(super) fn methods(&self, used: &mut UniqueNames) -> Vec<DraftedMethod> {
        let mut methods: Vec<DraftedMethod> = Vec::new();
        let by = |columns: &[String]| -> Option<Vec<String>> {
            let name = |column: &String| {
                let own = self.columns.iter().find(|own| own.field.name == *column)?;
                // Only a text or whole number can be asked for, and not what is read by a cast.
                let is_askable =
                    matches!(own.kind.as_str(), "string" | "int32" | "int64" | "uint32" | "uint64")
                        && !matches!(own.field.kind, Kind::Other | Kind::Enum(_));
                is_askable.then(|| own.name.clone())
            };
            columns.iter().map(name).collect()
        };
        for (number, key) in self.relation.keys.iter().enumerate() {
            let Some(by) = by(key) else { continue };
            let suffix = if number == 0 { String::new() } else { format!("By{}", joined(&by)) };
            let name = format!("Get{}{suffix}", self.message);
            methods.push(DraftedMethod {
                request: used.take(&format!("{name}Request")),
                name,
                by,
                is_list: false,
            });
        }
        for reference in &self.relation.references {
            let Some(by) = by(&reference.columns) else { continue };
            if methods.iter().any(|method| method.by == by) {
                continue;
            }
            let name = format!("List{}By{}", self.message, joined(&by));
            if methods.iter().any(|method| method.name == name) {
                continue;
            }
            methods.push(DraftedMethod {
                request: used.take(&format!("{name}Request")),
                name,
                by,
                is_list: true,
            });
        }
        methods
    }

    /// The field by which the method asks for a person, if it looks like one.
    pub(super) fn subject(&self, method: &DraftedMethod) -> Option<&str> {
        let [by] = method.by.as_slice() else { return None };
        let column = self.columns.iter().find(|column| column.name == *by)?;
        let is_person =
            matches!(column.guess, Some(Guess::Identifier(chapar_contract::Format::IrNationalId)));
        is_person.then_some(column.name.as_str())
    }
}

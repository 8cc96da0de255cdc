//! This module makes the fields of a procedure's form, and reads what was typed into them. The gateway checks
//! all of it again; here a fault is told before anything is asked, beside its field.

use std::collections::BTreeMap;

use chapar_client::Procedure;
use chapar_contract::Format;
use chapar_model::{CaseNumber, Language};

use super::forms::SentForm;
use crate::inquiries::Asked;
use crate::page::{Fault, Field, FieldKind};
use crate::words::{name_in, typed};

const SUBJECT: &str = "subject";
const CASE: &str = "case";

/// The fields in their order: the citizen, the inputs, the case.
pub(super) fn of(procedure: &Procedure, language: Language) -> Vec<Field> {
    let mut fields = vec![Field {
        name: SUBJECT.to_owned(),
        label: language.pick("شماره ملی متقاضی", "The applicant's national id").to_owned(),
        hint: Some(language.pick("۱۰ رقم", "10 digits").to_owned()),
        kind: FieldKind::Digits,
        is_required: true,
    }];
    for input in &procedure.inputs {
        let (kind, hint) = match Format::of_name(&input.format) {
            Some(Format::JalaliDate) => (FieldKind::JalaliDay, None),
            Some(Format::IrIban) => {
                (FieldKind::Code, Some(language.pick("IR و ۲۴ رقم", "IR and 24 digits").to_owned()))
            }
            Some(_) => (FieldKind::Digits, None),
            None => (FieldKind::Text, None),
        };
        let label = name_in(language, input.name.as_ref()).to_owned();
        fields.push(Field { name: input_name(&input.id), label, hint, kind, is_required: true });
    }
    fields.push(Field {
        name: CASE.to_owned(),
        label: language.pick("شماره پرونده", "Case number").to_owned(),
        hint: None,
        kind: FieldKind::Code,
        is_required: is_case_required(procedure),
    });
    fields
}

fn is_case_required(procedure: &Procedure) -> bool {
    procedure.requires.iter().any(|required| required == CASE)
}

fn input_name(id: &str) -> String {
    format!("input-{id}")
}

/// What was typed, or what is wrong with it.
pub(super) fn read(procedure: &Procedure, form: &SentForm, language: Language) -> Result<Asked, Vec<Fault>> {
    let mut faults = Vec::new();
    let mut fault = |field: &str, text: &str| {
        faults.push(Fault { field: field.to_owned(), text: text.to_owned() });
    };
    let subject = typed(form.get(SUBJECT));
    if !Format::IrNationalId.check(&subject) {
        let text = language.pick(
            "شماره ملی درست نیست: ۱۰ رقم با رقم کنترل",
            "The national id is wrong: 10 digits, the last of which checks the others",
        );
        fault(SUBJECT, text);
    }
    // One way of writing for what may be written in several: else the same question would be two inquiries.
    let subject = Format::IrNationalId.normalise(&subject);
    let mut inputs = BTreeMap::new();
    for input in &procedure.inputs {
        let name = input_name(&input.id);
        let format = Format::of_name(&input.format);
        let value = match format {
            Some(Format::JalaliDate) => day(form, &name),
            _ => typed(form.get(&name)),
        };
        let label = name_in(language, input.name.as_ref());
        let is_right = !value.is_empty() && format.is_none_or(|format| format.check(&value));
        if !is_right {
            let text = match language {
                Language::Fa => format!("«{label}» درست نیست"),
                Language::En => format!("`{label}` is wrong"),
            };
            fault(&name, &text);
        }
        let value = format.map_or(value.clone(), |format| format.normalise(&value));
        inputs.insert(input.id.clone(), value);
    }
    let case = typed(form.get(CASE));
    let parsed = (!case.is_empty()).then(|| case.parse::<CaseNumber>());
    let is_missing = parsed.is_none() && is_case_required(procedure);
    if is_missing || matches!(parsed, Some(Err(_))) {
        let text = language.pick(
            "شماره پرونده را بنویسید: حروف لاتین، رقم و . _ / -",
            "Give the case number: Latin letters, digits, and . _ / -",
        );
        fault(CASE, text);
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    Ok(Asked { procedure: procedure.id.clone(), subject, case: parsed.and_then(Result::ok), inputs })
}

/// A Jalali day of three boxes, `1405/09/02`; empty if a box is.
fn day(form: &SentForm, name: &str) -> String {
    let [year, month, day] = ["year", "month", "day"].map(|part| typed(form.get(&format!("{name}-{part}"))));
    match (year.is_empty() || month.is_empty() || day.is_empty(), month.len(), day.len()) {
        (false, 1..=2, 1..=2) => format!("{year}/{month:0>2}/{day:0>2}"),
        _ => String::new(),
    }
}

//! The form of one procedure: the citizen's national id, what the procedure asks for besides, and the case. A
//! day of the Jalali calendar is three boxes. Faults are told above the form, with links to the fields, and
//! beside each field.

use chapar_client::Procedure;
use chapar_model::{Language, RequestId};
use maud::{Markup, html};

use super::{Frame, page};
use crate::session::Session;
use crate::words::name_in;

/// A field of the form.
pub(crate) struct Field {
    /// Its name in the form.
    pub(crate) name: String,
    pub(crate) label: String,
    /// Shown under the label.
    pub(crate) hint: Option<String>,
    pub(crate) kind: FieldKind,
    pub(crate) is_required: bool,
}

/// How a field is typed.
pub(crate) enum FieldKind {
    /// Digits alone.
    Digits,
    /// Letters and digits that read from left to right.
    Code,
    Text,
    /// Year, month and day.
    JalaliDay,
}

/// What is wrong with a field.
pub(crate) struct Fault {
    pub(crate) field: String,
    pub(crate) text: String,
}

/// A form that is shown.
pub(crate) struct FormPage<'a> {
    pub(crate) procedure: &'a Procedure,
    pub(crate) fields: &'a [Field],
    /// Under this id the inquiry is made, however often the form is sent.
    pub(crate) id: RequestId,
    pub(crate) faults: &'a [Fault],
    /// What was typed, by the names of the form.
    pub(crate) typed: &'a dyn Fn(&str) -> String,
    /// Said above the form if the inquiry was not answered.
    pub(crate) notice: Option<Markup>,
}

pub(crate) fn form(language: Language, session: &Session, form: &FormPage<'_>) -> Markup {
    let heading = name_in(language, form.procedure.name.as_ref());
    let is_faulty = !form.faults.is_empty();
    let title = if is_faulty {
        format!("{}: {heading}", language.pick("خطا", "Error"))
    } else {
        heading.to_owned()
    };
    let path = format!("/procedures/{}", form.procedure.id);
    let frame = Frame { language, title, session: Some(session), path: &path };
    page(
        &frame,
        &html! {
            h1 { (heading) }
            @if let Some(notice) = &form.notice {
                div.summary role="alert" { (notice) }
            }
            @if is_faulty {
                div.summary role="alert" tabindex="-1" {
                    h2 { (language.pick("این‌ها را درست کنید", "Correct this")) }
                    ul { @for fault in form.faults { li { a href={ "#" (fault.field) } { (fault.text) } } } }
                }
            }
            form method="post" action={ "/" (language.code()) (path) } autocomplete="off" {
                input type="hidden" name="form" value=(session.form_token());
                input type="hidden" name="inquiry" value=(form.id);
                @for field in form.fields { (control(language, form, field)) }
                button { (language.pick("بپرس", "Ask")) }
            }
        },
    )
}

fn control(language: Language, form: &FormPage<'_>, field: &Field) -> Markup {
    let name = field.name.as_str();
    let fault = form.faults.iter().find(|fault| fault.field == name);
    let described = match (&field.hint, fault) {
        (None, None) => None,
        (hint, fault) => {
            let hint = hint.as_ref().map(|_| format!("{name}-hint"));
            let fault = fault.map(|_| format!("{name}-fault"));
            Some([hint, fault].into_iter().flatten().collect::<Vec<_>>().join(" "))
        }
    };
    let notes = html! {
        @if let Some(hint) = &field.hint { p.hint id={ (name) "-hint" } { (hint) } }
        @if let Some(fault) = fault { p.fault id={ (name) "-fault" } { "✗ " (fault.text) } }
    };
    let invalid = fault.map(|_| "true");
    if let FieldKind::JalaliDay = field.kind {
        let boxes = [
            ("day", language.pick("روز", "Day"), 2),
            ("month", language.pick("ماه", "Month"), 2),
            ("year", language.pick("سال", "Year"), 4),
        ];
        return html! {
            fieldset id=(name) tabindex="-1" aria-describedby=[described] {
                legend { (field.label) }
                (notes)
                div.day {
                    @for (part, label, length) in boxes {
                        @let id = format!("{name}-{part}");
                        div {
                            label for=(id) { (label) }
                            input id=(id) name=(id) type="text" inputmode="numeric" dir="ltr" size=(length) maxlength="8"
                                value=((form.typed)(&id)) aria-invalid=[invalid];
                        }
                    }
                }
            }
        };
    }
    let (mode, direction) = match field.kind {
        FieldKind::Digits => (Some("numeric"), Some("ltr")),
        FieldKind::Code => (None, Some("ltr")),
        FieldKind::Text | FieldKind::JalaliDay => (None, None),
    };
    html! {
        label for=(name) {
            (field.label)
            @if !field.is_required { " (" (language.pick("اختیاری", "optional")) ")" }
        }
        (notes)
        input id=(name) name=(name) type="text" inputmode=[mode] dir=[direction] maxlength="256" spellcheck="false"
            value=((form.typed)(name)) aria-invalid=[invalid] aria-describedby=[described];
    }
}

//! The page of an answer: a card for each part, with what was withheld named as withheld, and the receipts.
//! Its print view is the same page without its navigation.

use std::time::Duration;

use chapar_client::{PartEnd, Procedure, ProcedurePart};
use chapar_contract::label_of_path;
use maud::{Markup, html};

use super::home::moment;
use super::{Frame, page};
use crate::bus::{Answered, AnsweredPart};
use crate::inquiries::Inquiry;
use crate::session::Session;
use crate::show;
use crate::words::Language;

pub(crate) fn answer(
    language: Language,
    session: &Session,
    procedure: &Procedure,
    id: &str,
    inquiry: &Inquiry,
    answered: &Answered,
    left: Duration,
) -> Markup {
    let title = language.name(procedure.name.as_ref()).to_owned();
    let path = format!("/inquiries/{id}");
    let frame = Frame { language, title: title.clone(), session: Some(session), path: &path };
    let count = answered.answered();
    page(
        &frame,
        &html! {
            h1 { (title) }
            dl.facts {
                dt { (language.pick("شماره ملی", "National id")) }
                dd { bdi dir="ltr" { (language.digits(&inquiry.asked.subject)) } }
                @if let Some(case) = &inquiry.asked.case {
                    dt { (language.pick("شماره پرونده", "Case")) }
                    dd { bdi dir="ltr" { (language.digits(case.as_str())) } }
                }
                dt { (language.pick("زمان", "Time")) }
                dd { bdi dir="ltr" { (moment(inquiry.at, language)) } }
                dt { (language.pick("پاسخ‌ها", "Answers")) }
                dd { (language.digits(&count.to_string())) " " (language.pick("از", "of")) " "
                     (language.digits(&answered.parts.len().to_string())) }
            }
            @for part in &answered.parts {
                @if let Some(described) = procedure.parts.iter().find(|known| known.id == part.id) {
                    (card(language, &inquiry.asked.subject, described, part))
                }
            }
            p.screen { (language.pick("این پاسخ تا ", "This answer is kept for "))
                (language.digits(&left.as_secs().div_ceil(60).to_string()))
                (language.pick(" دقیقهٔ دیگر نگه داشته می‌شود و سپس پاک می‌شود. برای چاپ، Ctrl+P.", " more minutes, and then forgotten. To print it: Ctrl+P.")) }
            p.screen { a.button href={ "/" (language.code()) "/procedures/" (procedure.id) } { (language.pick("متقاضی بعدی", "Next applicant")) } }
        },
    )
}

fn card(language: Language, subject: &str, described: &ProcedurePart, part: &AnsweredPart) -> Markup {
    html! {
        section {
            h2 { (language.name(described.provider_name.as_ref())) }
            @if let Some(replaces) = &described.replaces {
                p.hint { (language.pick("به جای ", "In place of: ")) (language.name(Some(replaces))) }
            }
            @match &part.end {
                None => p.fault { "✗ " (language.pick("پاسخ نیمه‌کاره ماند.", "The answer was broken off.")) },
                Some(end) if !end.waits_for.is_empty() => p.fault { "✗ " (language.pick(
                    "پرسیده نشد، چون پاسخی که به آن نیاز داشت نرسید.",
                    "Not asked, since an answer that it needs did not come.",
                )) },
                Some(end) => {
                    @if let Some(refusal) = &end.refusal {
                        p.fault { "✗ " (language.advice(refusal.code)) }
                        @let told = if language == Language::Fa && !refusal.localized.is_empty() { &refusal.localized } else { &refusal.message };
                        p.hint { (told) }
                        p.code { (language.pick("کد برای پشتیبانی: ", "Code for the help desk: "))
                            bdi dir="ltr" { (refusal.reason) " " (end.call_id) } }
                    } @else {
                        (records(language, subject, part))
                        (withheld(language, part, end))
                    }
                    @if !end.entry.is_empty() {
                        p.code { (language.pick("رسید: ", "Receipt: ")) bdi dir="ltr" { (end.entry) } }
                    }
                }
            }
        }
    }
}

fn records(language: Language, subject: &str, part: &AnsweredPart) -> Markup {
    html! {
        @if part.messages.is_empty() {
            p { (language.pick("چیزی ثبت نشده است.", "Nothing is registered.")) }
        }
        @for message in &part.messages {
            dl {
                @for line in show::lines(message, subject, language) {
                    dt { (line.label) }
                    dd { @if line.is_code { bdi dir="ltr" { (line.value) } } @else { bdi { (line.value) } } }
                }
            }
        }
    }
}

/// What the grant withheld, by name: a clerk must not take it for absent.
fn withheld(language: Language, part: &AnsweredPart, end: &PartEnd) -> Markup {
    let name = |path: &String| {
        let label = part.output.as_ref().and_then(|output| label_of_path(output, path));
        label.map_or_else(
            || path.replace(['_', '.'], " "),
            |label| language.pick(&label.fa, &label.en).to_owned(),
        )
    };
    let names: Vec<String> = end.withheld.iter().map(name).collect();
    html! {
        @if !names.is_empty() {
            p.withheld { "⊘ " (language.pick("این‌ها به دفتر داده نمی‌شود: ", "Withheld from this office: "))
                (names.join(language.pick("، ", ", "))) }
        }
    }
}

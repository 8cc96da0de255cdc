//! The page of an answer: a card for each part, with what was withheld named as withheld, and the receipts.
//! Its print view is the same page without its navigation.

use std::time::Duration;

use chapar_client::PartEnd;
use chapar_contract::label_of_path;
use chapar_model::Language;
use maud::{Markup, html};

use super::{Frame, Refused, page, sentence};
use crate::bus::{Answered, AnsweredPart, Unshown};
use crate::inquiries::Asked;
use crate::session::Session;
use crate::show;
use crate::words::{moment, name_in};

/// An answer that is shown.
pub(crate) struct Answer<'a> {
    /// The inquiry's id, as the address has it.
    pub(crate) id: &'a str,
    pub(crate) asked: &'a Asked,
    pub(crate) at: jiff::Timestamp,
    pub(crate) answered: &'a Answered,
    /// How much longer it is kept.
    pub(crate) left: Duration,
}

pub(crate) fn answer(language: Language, session: &Session, shown: &Answer<'_>) -> Markup {
    let Answer { id, asked, at, answered, left } = shown;
    let procedure = &answered.procedure;
    let title = name_in(language, procedure.name.as_ref()).to_owned();
    let path = format!("/inquiries/{id}");
    let frame = Frame { language, title: title.clone(), session: Some(session), path: &path };
    page(
        &frame,
        &html! {
            h1 { (title) }
            dl.facts {
                dt { (language.pick("شماره ملی", "National id")) }
                dd { bdi dir="ltr" { (language.digits(&asked.subject)) } }
                @if let Some(case) = &asked.case {
                    dt { (language.pick("شماره پرونده", "Case")) }
                    dd { bdi dir="ltr" { (language.digits(case.as_str())) } }
                }
                dt { (language.pick("زمان", "Time")) }
                dd { bdi dir="ltr" { (moment(*at, language)) } }
                dt { (language.pick("پاسخ‌ها", "Answers")) }
                dd { (language.digits(&answered.count().to_string())) " " (language.pick("از", "of")) " "
                     (language.digits(&answered.parts.len().to_string())) }
            }
            @for part in &answered.parts { (card(language, &asked.subject, part)) }
            p.screen { (language.pick("این پاسخ تا ", "This answer is kept for "))
                (language.digits(&left.as_secs().div_ceil(60).to_string()))
                (language.pick(" دقیقهٔ دیگر نگه داشته می‌شود و سپس پاک می‌شود. برای چاپ، Ctrl+P.", " more minutes, and then forgotten. To print it: Ctrl+P.")) }
            p.screen { a.button href={ "/" (language.code()) "/procedures/" (procedure.id) } { (language.pick("متقاضی بعدی", "Next applicant")) } }
        },
    )
}

fn card(language: Language, subject: &str, part: &AnsweredPart) -> Markup {
    html! {
        section {
            h2 { (heading(language, part)) }
            // What was released before a part failed was disclosed, and is recorded: it is shown.
            (records(language, subject, part))
            @match &part.end {
                None => p.fault { "✗ " (language.pick("پاسخ نیمه‌کاره ماند.", "The answer was broken off.")) },
                Some(end) if !end.waits_for.is_empty() => p.fault { "✗ " (language.pick(
                    "پرسیده نشد، چون پاسخی که به آن نیاز داشت نرسید.",
                    "Not asked, since an answer that it needs did not come.",
                )) },
                Some(end) => {
                    @if let Some(refusal) = &end.refusal {
                        (sentence(language, &Refused {
                            code: refusal.code,
                            reason: &refusal.reason,
                            call_id: &end.call_id,
                            message: &refusal.message,
                            localized: &refusal.localized,
                        }))
                    } @else if part.messages.is_empty() && part.unshown.is_none() {
                        p { (language.pick("چیزی ثبت نشده است.", "Nothing is registered.")) }
                    }
                    (withheld(language, part, end))
                    @if !end.entry.is_empty() {
                        p.code { (language.pick("رسید: ", "Receipt: ")) bdi dir="ltr" { (end.entry) } }
                    }
                }
            }
        }
    }
}

/// The agency, and the paper that its answer replaces: one agency may answer several parts.
fn heading(language: Language, part: &AnsweredPart) -> Markup {
    let provider = name_in(language, part.described.provider_name.as_ref());
    html! {
        @if provider.is_empty() { bdi dir="ltr" { (part.described.id) } } @else { (provider) }
        @if let Some(replaces) = &part.described.replaces {
            " " small { (language.pick("به جای ", "in place of: ")) (name_in(language, Some(replaces))) }
        }
    }
}

fn records(language: Language, subject: &str, part: &AnsweredPart) -> Markup {
    let disclosed = part.end.as_ref().map_or(&[][..], |end| &end.disclosed);
    let call_id = part.end.as_ref().map_or("", |end| &end.call_id);
    html! {
        @for message in &part.messages {
            dl {
                @for line in show::lines(message, subject, disclosed, language) {
                    dt { (line.label) }
                    dd { @if line.is_code { bdi dir="ltr" { (line.value) } } @else { bdi { (line.value) } } }
                }
            }
        }
        @if let Some(unshown) = part.unshown {
            p.fault { "✗ " (match unshown {
                Unshown::Unreadable => language.pick(
                    "پاسخ رسید، ولی این صفحه آن را نمی‌خواند. کد زیر را به پشتیبانی بدهید.",
                    "An answer came, and this page cannot read it. Give the code below to the help desk.",
                ),
                Unshown::TooLong => language.pick(
                    "پاسخ بلندتر از آن است که این صفحه نشان دهد: بخشی از آن اینجا نیست.",
                    "The answer is longer than this page can show: a part of it is not here.",
                ),
            }) }
            p.code { (language.pick("کد برای پشتیبانی: ", "Code for the help desk: ")) bdi dir="ltr" { (call_id) } }
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

#[cfg(test)]
mod tests {
    use chapar_client::{PartRefusal, ProcedurePart};
    use prost_reflect::{DescriptorPool, DynamicMessage, Value};

    use super::*;

    /// A part with one record, and this end.
    fn part(end: Option<PartEnd>) -> AnsweredPart {
        let output = DescriptorPool::global().get_message_by_name("google.protobuf.StringValue").unwrap();
        let mut record = DynamicMessage::new(output.clone());
        record.set_field_by_name("value", Value::String("a field by the river".to_owned()));
        let described = ProcedurePart { id: "parcels".to_owned(), ..ProcedurePart::default() };
        AnsweredPart { described, messages: vec![record], end, output: Some(output), unshown: None }
    }

    #[test]
    fn records_that_came_before_a_part_failed_are_shown_with_the_failure() {
        let refusal = PartRefusal { code: 11, reason: "TOO_MANY_ROWS".to_owned(), ..PartRefusal::default() };
        let refused = part(Some(PartEnd { refusal: Some(refusal), ..PartEnd::default() }));
        for (part, failure) in [(refused, "TOO_MANY_ROWS"), (part(None), "The answer was broken off")] {
            let card = card(Language::En, "4061234560", &part).into_string();
            assert!(card.contains("a field by the river") && card.contains(failure), "{card}");
            assert!(!card.contains("Nothing is registered"), "{card}");
        }
    }

    #[test]
    fn no_record_is_told_as_such_only_where_the_part_was_answered() {
        let none = AnsweredPart { messages: Vec::new(), ..part(Some(PartEnd::default())) };
        assert!(card(Language::En, "4061234560", &none).into_string().contains("Nothing is registered"));
        let waits = PartEnd { waits_for: "person".to_owned(), ..PartEnd::default() };
        for end in [None, Some(waits)] {
            let card = card(Language::En, "4061234560", &AnsweredPart { end, ..part(None) }).into_string();
            assert!(!card.contains("Nothing is registered"), "{card}");
        }
    }
}

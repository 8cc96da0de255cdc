//! The page of the office's procedures, and the clerk's inquiries of today.

use chapar_client::Procedure;
use chapar_model::Language;
use maud::{Markup, html};

use super::{Frame, page};
use crate::bus::Health;
use crate::inquiries::DayEntry;
use crate::session::Session;
use crate::words::{name_in, time};

/// One procedure, and the health of its agencies.
pub(crate) struct Card<'a> {
    pub(crate) procedure: &'a Procedure,
    pub(crate) health: Health,
}

/// A line of the day, and whether its answer is still kept.
pub(crate) struct DayLine {
    pub(crate) line: DayEntry,
    pub(crate) is_kept: bool,
}

pub(crate) fn home(language: Language, session: &Session, cards: &[Card<'_>]) -> Markup {
    let title = language.pick("کارها", "Procedures").to_owned();
    let frame = Frame { language, title: title.clone(), session: Some(session), path: "/" };
    page(
        &frame,
        &html! {
            h1 { (title) }
            @if cards.is_empty() {
                p { (language.pick("این دفتر هنوز کاری ندارد.", "This office has no procedures yet.")) }
            }
            ul.cards {
                @for Card { procedure, health } in cards {
                    li {
                        h2 { a href={ "/" (language.code()) "/procedures/" (procedure.id) } { (name_in(language, procedure.name.as_ref())) } }
                        (badge(language, *health))
                        (replaced(language, procedure))
                    }
                }
            }
        },
    )
}

fn badge(language: Language, health: Health) -> Markup {
    let text = match health {
        Health::Serving => ("همهٔ دستگاه‌ها پاسخ می‌دهند", "All agencies answer"),
        Health::Unknown => ("پاسخ‌گویی دستگاه‌ها معلوم نیست", "Whether the agencies answer is not known"),
        Health::NotServing => (
            "دستگاهی اکنون پاسخ نمی‌دهد؛ بخشی از پاسخ‌ها نخواهد رسید",
            "An agency does not answer now; a part of the answers will be missing",
        ),
    };
    let text = language.pick(text.0, text.1);
    html! {
        @if health == Health::NotServing { p.badge.warning { "⚠ " (text) } } @else { p.badge { (text) } }
    }
}

/// The papers that a procedure makes unnecessary.
fn replaced(language: Language, procedure: &Procedure) -> Markup {
    let papers = procedure.parts.iter().filter_map(|part| part.replaces.as_ref());
    let papers: Vec<&str> = papers.map(|name| name_in(language, Some(name))).collect();
    html! {
        @if !papers.is_empty() {
            p { (language.pick("به جای این کاغذها: ", "In place of these papers: ")) (papers.join(language.pick("، ", ", "))) }
        }
    }
}

/// The clerk's inquiries of today. No citizen is named: the list stays all day, and citizens' data does not.
pub(crate) fn today(language: Language, session: &Session, lines: &[DayLine]) -> Markup {
    let title = language.pick("پرسش‌های امروز من", "My inquiries today").to_owned();
    let frame = Frame { language, title: title.clone(), session: Some(session), path: "/today" };
    page(
        &frame,
        &html! {
            h1 { (title) }
            @if lines.is_empty() {
                p { (language.pick("امروز هنوز پرسشی نبوده است.", "There was no inquiry today yet.")) }
            } @else {
                table {
                    thead { tr {
                        th scope="col" { (language.pick("زمان", "Time")) }
                        th scope="col" { (language.pick("کار", "Procedure")) }
                        th scope="col" { (language.pick("شماره پرونده", "Case")) }
                        th scope="col" { (language.pick("پاسخ", "Answers")) }
                    } }
                    tbody {
                        @for DayLine { line, is_kept } in lines {
                            @let name = name_in(language, line.name.as_ref());
                            tr {
                                td { bdi dir="ltr" { (time(line.at, language)) } }
                                td {
                                    @if *is_kept {
                                        a href={ "/" (language.code()) "/inquiries/" (line.id) } { (name) }
                                    } @else { (name) }
                                }
                                td { bdi dir="ltr" { (language.digits(&line.case)) } }
                                td { (language.digits(&format!("{}/{}", line.parts.0, line.parts.1))) }
                            }
                        }
                    }
                }
            }
            p { (language.pick(
                "پاسخ‌ها ۱۵ دقیقه در حافظه می‌مانند و در جایی نوشته نمی‌شوند.",
                "Answers stay in memory for 15 minutes and are written nowhere.",
            )) }
        },
    )
}

//! The page of the office's procedures, and the clerk's inquiries of today.

use chapar_client::Procedure;
use chapar_contract::jalali_of_gregorian;
use chapar_model::tehran;
use jiff::Timestamp;
use maud::{Markup, html};

use super::{Frame, page};
use crate::inquiries::Line;
use crate::session::Session;
use crate::words::Language;

/// One procedure, and whether all its agencies answer.
pub(crate) struct Card {
    pub(crate) procedure: Procedure,
    pub(crate) is_well: bool,
}

pub(crate) fn home(language: Language, session: &Session, cards: &[Card]) -> Markup {
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
                @for Card { procedure, is_well } in cards {
                    li {
                        h2 { a href={ "/" (language.code()) "/procedures/" (procedure.id) } { (language.name(procedure.name.as_ref())) } }
                        @if *is_well {
                            p.badge { (language.pick("همهٔ دستگاه‌ها پاسخ می‌دهند", "All agencies answer")) }
                        } @else {
                            p.badge.warning { "⚠ " (language.pick(
                                "دستگاهی اکنون پاسخ نمی‌دهد؛ بخشی از پاسخ‌ها نخواهد رسید",
                                "An agency does not answer now; a part of the answers will be missing",
                            )) }
                        }
                        p { (language.pick("به جای این کاغذها: ", "In place of these papers: "))
                            @for (place, part) in procedure.parts.iter().filter(|part| part.replaces.is_some()).enumerate() {
                                @if place > 0 { (language.pick("، ", ", ")) }
                                (language.name(part.replaces.as_ref()))
                            }
                        }
                    }
                }
            }
        },
    )
}

/// The clerk's inquiries of today. No citizen is named: the list stays all day, and citizens' data does not.
pub(crate) fn today(language: Language, session: &Session, lines: &[(Line, String, bool)]) -> Markup {
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
                        @for (line, name, is_kept) in lines {
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

/// Time of day in Tehran.
fn time(at: Timestamp, language: Language) -> String {
    let local = tehran::local(at);
    language.digits(&format!("{:02}:{:02}", local.hour(), local.minute()))
}

/// Day and time in Tehran; the day in the Jalali calendar.
pub(super) fn moment(at: Timestamp, language: Language) -> String {
    let local = tehran::local(at);
    let (month, day) = (local.month().unsigned_abs(), local.day().unsigned_abs());
    let jalali = jalali_of_gregorian(local.year().into(), month, day).unwrap_or_default();
    format!("{} {}", language.digits(&jalali), time(at, language))
}

//! The page of grants: who may call what, and how much of each limit is used at each gateway; and what ends
//! soon.

use chapar_client::{GrantStatus, LimitStatus};
use chapar_model::Language;
use maud::{Markup, html};

use super::page::{Frame, ltr};
use crate::bus::{Answer, Seen};

pub(super) fn title(language: Language) -> &'static str {
    language.pick("مجوزها و سقف‌ها", "Grants and limits")
}

pub(super) fn content(frame: &Frame, answers: &[Answer<Seen>]) -> Markup {
    html! {
        @for Answer { gateway, answer } in answers {
            section {
                h2 { (ltr(gateway)) }
                @match answer {
                    Ok(seen) => { (table(frame, &seen.status.grants)) }
                    Err(error) => { p.failed { (ltr(&error.to_string())) } }
                }
            }
        }
        @if let Some(seen) = answers.iter().find_map(|answer| answer.answer.as_ref().ok()) {
            section {
                h2 { (frame.pick("چه چیزی به زودی پایان می‌یابد", "What ends soon")) }
                @if seen.status.endings.is_empty() {
                    p { (frame.pick("در ۶۰ روز آینده هیچ", "Nothing within 60 days")) }
                } @else {
                    table { tbody { @for ending in &seen.status.endings {
                        tr { td { (ltr(&ending.what)) } td { (ltr(&ending.whom)) } td { (ltr(&ending.until)) } }
                    } } }
                }
            }
        }
    }
}

fn table(frame: &Frame, grants: &[GrantStatus]) -> Markup {
    html! {
        table {
            thead { tr {
                th { (frame.pick("مجوز", "Grant")) } th { (frame.pick("به", "To")) } th { (frame.pick("متد", "Method")) }
                th { (frame.pick("پذیرفته", "Admitted")) } th { (frame.pick("بیش از سقف", "Over a limit")) }
                th { (frame.pick("مانده از سقف‌ها", "Left of limits")) }
            } }
            tbody { @for grant in grants {
                tr {
                    td { a href=(frame.link("/traces", &[("grant", &grant.id)])) { (ltr(&grant.id)) } }
                    td { (ltr(&grant.to)) }
                    td { (ltr(&grant.method)) }
                    td { (frame.number(grant.admitted)) }
                    td { (frame.number(grant.refused)) }
                    td { @for limit in &grant.limits { (left(frame, limit)) } }
                }
            } }
        }
    }
}

fn left(frame: &Frame, limit: &LimitStatus) -> Markup {
    html! {
        div {
            meter min="0" max=(limit.most) value=(limit.left) title=(limit.limit) {}
            " " (frame.number(limit.left)) "/" (frame.number(limit.most)) " " (ltr(&limit.kind))
        }
    }
}

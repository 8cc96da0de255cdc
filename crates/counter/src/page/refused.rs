//! A refusal of the gateway's for people: what to do now, the gateway's own sentence, and a code for the help
//! desk.

use chapar_model::Language;
use maud::{Markup, html};

use crate::words::advice;

/// What a refusal says.
pub(crate) struct Refused<'a> {
    /// gRPC's status code.
    pub(crate) code: i32,
    /// Of the catalogue; empty if an agency's own server refused.
    pub(crate) reason: &'a str,
    pub(crate) call_id: &'a str,
    /// In English.
    pub(crate) message: &'a str,
    /// In the language that was asked for; empty if there is none.
    pub(crate) localized: &'a str,
}

pub(crate) fn sentence(language: Language, refused: &Refused<'_>) -> Markup {
    let Refused { code, reason, call_id, message, localized } = refused;
    html! {
        p.fault { "✗ " (advice(language, reason, *code)) }
        @match language {
            Language::Fa if !localized.is_empty() => p.hint { (localized) },
            Language::Fa => p.hint lang="en" dir="ltr" { (message) },
            Language::En => p.hint { (message) },
        }
        p.code { (language.pick("کد برای پشتیبانی: ", "Code for the help desk: ")) bdi dir="ltr" { (reason) " " (call_id) } }
    }
}

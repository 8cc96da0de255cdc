//! The pages, as HTML. Everything that is not a constant is escaped by `maud`; no page has a script.

mod answer;
mod form;
mod home;
mod refused;
mod sign_in;

use std::sync::LazyLock;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::StatusCode;
use maud::{DOCTYPE, Markup, html};

pub(crate) use answer::{Answer, answer};
pub(crate) use form::{Fault, Field, FieldKind, FormPage, form};
pub(crate) use home::{Card, DayLine, home, today};
pub(crate) use refused::{Refused, sentence};
pub(crate) use sign_in::{SignInFault, sign_in, whole_seconds};

use crate::session::Session;
use chapar_model::Language;

pub(crate) const STYLE: &str = include_str!("style.css");

/// The address of the style sheet. It changes with the sheet, which browsers keep for a year.
pub(crate) static STYLE_PATH: LazyLock<String> = LazyLock::new(|| {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, STYLE.as_bytes());
    format!("/style-{}.css", BASE64_URL_SAFE_NO_PAD.encode(&digest.as_ref()[..9]))
});

/// What all pages have.
pub(crate) struct Frame<'a> {
    pub(crate) language: Language,
    pub(crate) title: String,
    /// Who is signed in.
    pub(crate) session: Option<&'a Session>,
    /// The path after the language, to switch it.
    pub(crate) path: &'a str,
}

/// A whole page.
pub(crate) fn page(frame: &Frame<'_>, content: &Markup) -> Markup {
    let language = frame.language;
    let other = language.other();
    html! {
        (DOCTYPE)
        html lang=(language.code()) dir=(language.direction()) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="robots" content="noindex";
                title { (frame.title) }
                link rel="stylesheet" href=(*STYLE_PATH);
            }
            body {
                a.skip href="#content" { (language.pick("رفتن به محتوا", "Skip to content")) }
                header {
                    a.brand href={ "/" (language.code()) "/" } { (language.pick("پیشخوان", "Counter")) }
                    nav aria-label=(language.pick("صفحه", "Page")) {
                        @if let Some(session) = frame.session {
                            a href={ "/" (language.code()) "/today" } { (language.pick("پرسش‌های امروز من", "My inquiries today")) }
                            form method="post" action={ "/" (language.code()) "/sign-out" } {
                                input type="hidden" name="form" value=(session.form_token());
                                button.link { (language.pick("خروج", "Sign out")) " (" bdi { (session.name) } ")" }
                            }
                        }
                        a href={ "/" (other.code()) (frame.path) } lang=(other.code()) hreflang=(other.code()) {
                            (other.pick("فارسی", "English"))
                        }
                    }
                }
                main #content { (content) }
            }
        }
    }
}

/// A page that says what is wrong and what to do.
pub(crate) fn message(frame: &Frame<'_>, text: &Markup) -> Markup {
    let language = frame.language;
    page(
        frame,
        &html! {
            h1 { (frame.title) }
            (text)
            p { a.button href={ "/" (language.code()) "/" } { (language.pick("بازگشت به کارها", "Back to the procedures")) } }
        },
    )
}

/// The heading and text of an HTTP status.
pub(crate) fn status_words(status: StatusCode, language: Language) -> (&'static str, &'static str) {
    let (fa, en) = match status {
        StatusCode::NOT_FOUND => (
            ("این صفحه نیست", "نشانی درست نیست، یا پاسخ دیگر نگه داشته نمی‌شود: پاسخ‌ها ۱۵ دقیقه می‌مانند."),
            (
                "There is no such page",
                "The address is wrong, or the answer is no longer kept: answers stay for 15 minutes.",
            ),
        ),
        StatusCode::FORBIDDEN => (
            ("این فرم از این صفحه نیامده است", "صفحه را از نو باز کنید و فرم را دوباره بفرستید."),
            ("This form did not come from this page", "Open the page anew and send the form again."),
        ),
        StatusCode::METHOD_NOT_ALLOWED => (
            ("این نشانی این درخواست را ندارد", "صفحه را از نو باز کنید."),
            ("This address does not take this request", "Open the page anew."),
        ),
        StatusCode::PAYLOAD_TOO_LARGE => (
            ("این فرم بزرگ‌تر از اندازه است", "یک فرم حداکثر ۱۶ کیبی‌بایت دارد."),
            ("This form is too large", "A form has 16 KiB at most."),
        ),
        StatusCode::BAD_REQUEST | StatusCode::REQUEST_TIMEOUT => (
            ("این فرم کامل نرسید", "پرسشی انجام نشد. فرم را دوباره بفرستید."),
            ("This form did not come whole", "Nothing was asked. Send the form again."),
        ),
        StatusCode::INTERNAL_SERVER_ERROR => (
            ("این صفحه درست تنظیم نشده است", "کسی نمی‌تواند وارد شود. به مسئول دفتر بگویید."),
            ("This page is not set up rightly", "Nobody can sign in. Tell the office's manager."),
        ),
        _ => (
            ("گذرگاه پاسخ نمی‌دهد", "پرسشی انجام نشد. کمی بعد دوباره بکوشید."),
            ("The bus does not answer", "Nothing was asked. Try again a little later."),
        ),
    };
    match language {
        Language::Fa => fa,
        Language::En => en,
    }
}

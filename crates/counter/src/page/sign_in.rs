//! The page on which a clerk signs in.

use std::time::Duration;

use maud::{Markup, html};

use super::{Frame, page};
use chapar_model::Language;

/// Why a try was not accepted.
#[derive(Clone, Copy, Debug)]
pub(crate) enum SignInFault {
    /// Id or password; which one is not told.
    Wrong,
    /// There were too many tries: the next one may be made after this time.
    Wait(Duration),
}

impl SignInFault {
    fn text(self, language: Language) -> String {
        match self {
            Self::Wrong => language
                .pick("نام کاربری یا گذرواژه درست نیست.", "User name or password is wrong.")
                .to_owned(),
            Self::Wait(wait) => {
                let seconds = language.digits(&whole_seconds(wait).to_string());
                match language {
                    Language::Fa => format!("تلاش‌ها زیاد بود. {seconds} ثانیهٔ دیگر دوباره بکوشید."),
                    Language::En => format!("There were too many tries. Try again in {seconds} s."),
                }
            }
        }
    }
}

/// Seconds after which a wait is over.
pub(crate) fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

/// `id`: what was typed before; `fault`: why it was not accepted.
pub(crate) fn sign_in(language: Language, id: &str, fault: Option<SignInFault>) -> Markup {
    let heading = language.pick("ورود به پیشخوان", "Sign in to the counter");
    let title = match fault {
        Some(_) => format!("{}: {heading}", language.pick("خطا", "Error")),
        None => heading.to_owned(),
    };
    let invalid = matches!(fault, Some(SignInFault::Wrong)).then_some("true");
    let frame = Frame { language, title, session: None, path: "/sign-in" };
    page(
        &frame,
        &html! {
            h1 { (heading) }
            @if let Some(fault) = fault {
                div.summary role="alert" tabindex="-1" { p { a href="#id" { (fault.text(language)) } } }
            }
            form method="post" action={ "/" (language.code()) "/sign-in" } {
                label for="id" { (language.pick("نام کاربری", "User name")) }
                input #id name="id" type="text" dir="ltr" autocomplete="username" autocapitalize="none" spellcheck="false" required
                    maxlength="64" value=(id) aria-invalid=[invalid];
                label for="password" { (language.pick("گذرواژه", "Password")) }
                input #password name="password" type="password" dir="ltr" autocomplete="current-password" required maxlength="1024";
                button { (language.pick("ورود", "Sign in")) }
            }
        },
    )
}

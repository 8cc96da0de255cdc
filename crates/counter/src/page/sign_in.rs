//! The page on which a clerk signs in.

use maud::{Markup, html};

use super::{Frame, page};
use crate::words::Language;

/// `id`: what was typed before; `problem`: why it was not accepted.
pub(crate) fn sign_in(language: Language, id: &str, problem: Option<&str>) -> Markup {
    let heading = language.pick("ورود به پیشخوان", "Sign in to the counter");
    let title = match problem {
        Some(_) => format!("{}: {heading}", language.pick("خطا", "Error")),
        None => heading.to_owned(),
    };
    let frame = Frame { language, title, session: None, path: "/sign-in" };
    page(
        &frame,
        &html! {
            h1 { (heading) }
            @if let Some(problem) = problem {
                div.summary role="alert" tabindex="-1" { p { a href="#id" { (problem) } } }
            }
            form method="post" action={ "/" (language.code()) "/sign-in" } {
                label for="id" { (language.pick("نام کاربری", "User name")) }
                input #id name="id" type="text" dir="ltr" autocomplete="username" autocapitalize="none" spellcheck="false" required
                    maxlength="64" value=(id) aria-invalid=[problem.map(|_| "true")];
                label for="password" { (language.pick("گذرواژه", "Password")) }
                input #password name="password" type="password" dir="ltr" autocomplete="current-password" required maxlength="1024";
                button { (language.pick("ورود", "Sign in")) }
            }
        },
    )
}

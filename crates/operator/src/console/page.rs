//! `Frame` is what all pages have: language, navigation, and links that keep the language. Everything that is
//! not a constant is escaped by `maud`.

use axum::extract::Query;
use axum::http::{HeaderMap, Uri, header};
use chapar_model::Language;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use url::form_urlencoded;

use super::{grants, overview, traces};

/// Seconds between two loads of a page that refreshes itself.
const REFRESH_S: u32 = 5;

/// One page's frame.
pub(super) struct Frame {
    language: Language,
    /// Whether the query chose the language, so that links keep it.
    is_chosen: bool,
    is_live: bool,
    /// The page of the navigation that this one belongs to.
    path: &'static str,
    /// What was asked for: its path, and its query without language and refreshing.
    asked: (String, Vec<(String, String)>),
}

impl Frame {
    /// In the query's language, else the browser's, else English.
    pub(super) fn new(headers: &HeaderMap, uri: &Uri, path: &'static str) -> Self {
        // A query that cannot be read chooses nothing.
        let pairs: Vec<(String, String)> =
            Query::try_from_uri(uri).map(|Query(pairs)| pairs).unwrap_or_default();
        let value =
            |name: &str| pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        let chosen = value("lang").and_then(Language::of);
        let accepted = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
        // The first language of the list is the one that the reader prefers (RFC 9110 §12.5.4, as browsers
        // write it).
        let is_persian = accepted.is_some_and(|list| list.trim_start().starts_with("fa"));
        let language = chosen.unwrap_or(if is_persian { Language::Fa } else { Language::En });
        let is_live = value("live").is_some();
        let others = pairs
            .into_iter()
            .filter(|(name, value)| !matches!(name.as_str(), "lang" | "live") && !value.is_empty());
        // Two slashes at the beginning would make another site of a link (RFC 3986 §4.2).
        let asked = (format!("/{}", uri.path().trim_start_matches('/')), others.collect());
        Self { language, is_chosen: chosen.is_some(), is_live, path, asked }
    }

    pub(super) fn language(&self) -> Language {
        self.language
    }

    pub(super) fn pick<'a>(&self, fa: &'a str, en: &'a str) -> &'a str {
        self.language.pick(fa, en)
    }

    /// A number in the language's digits.
    pub(super) fn number(&self, number: u64) -> String {
        self.language.digits(&number.to_string())
    }

    /// A link to a page with a query.
    pub(super) fn link(&self, path: &str, query: &[(&str, &str)]) -> String {
        let chosen = self.is_chosen.then_some(("lang", self.language.code()));
        link(path, query.iter().copied().chain(chosen))
    }

    /// A link to what was asked for, in this language, refreshed or not.
    fn again(&self, language: Option<Language>, is_live: bool) -> String {
        let (path, query) = &self.asked;
        let query = query.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let chosen = language.map(|language| ("lang", language.code()));
        link(path, query.chain(chosen).chain(is_live.then_some(("live", "1"))))
    }

    /// The language of a form, to be sent along.
    pub(super) fn hidden(&self) -> Markup {
        html! {
            @if self.is_chosen { input type="hidden" name="lang" value=(self.language.code()); }
        }
    }

    /// A whole page.
    pub(super) fn page(&self, title: &str, content: &Markup) -> Markup {
        let language = self.language;
        let other = language.other();
        let pages = [
            ("/", overview::title(language)),
            ("/traces", traces::title(language)),
            ("/grants", grants::title(language)),
        ];
        let own = self.is_chosen.then_some(language);
        html! {
            (DOCTYPE)
            html lang=(language.code()) dir=(language.direction()) {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    @if self.is_live { meta http-equiv="refresh" content=(REFRESH_S); }
                    title { (title) " · Chapar" }
                    link rel="stylesheet" href="/style.css";
                }
                body {
                    a.skip href="#content" { (self.pick("رفتن به محتوا", "Skip to content")) }
                    header {
                        nav aria-label=(self.pick("صفحه‌ها", "Pages")) {
                            @for (path, name) in pages {
                                a href=(self.link(path, &[])) aria-current=[(path == self.path).then_some("page")] { (name) }
                            }
                        }
                        nav aria-label=(self.pick("نمایش", "View")) {
                            // A trace that has ended stays as it is.
                            @if !self.asked.0.starts_with("/traces/") {
                                a href=(self.again(own, !self.is_live)) {
                                    (if self.is_live { self.pick("توقف تازه‌سازی", "Stop refreshing") } else { self.pick("تازه‌سازی هر ۵ ثانیه", "Refresh every 5 s") })
                                }
                            }
                            a href=(self.again(Some(other), self.is_live)) lang=(other.code()) hreflang=(other.code()) {
                                (other.pick("فارسی", "English"))
                            }
                        }
                    }
                    main #content {
                        h1 { (title) }
                        (content)
                    }
                }
            }
        }
    }
}

/// Text that is written from left to right in any language: an id, an address, a sentence in English.
pub(super) fn ltr(text: &str) -> Markup {
    html! { bdi dir="ltr" { (text) } }
}

/// A marker of good and bad for the eye; the word beside it is for everyone.
pub(super) fn dot(class: &'static str) -> Markup {
    html! { span.dot.(class) aria-hidden="true" { (PreEscaped("●")) " " } }
}

fn link<'a>(path: &str, query: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

//! The page's addresses. A form counts only with its session's token, and comes from this page: `Origin` and
//! `Sec-Fetch-Site` say so where the browser sends them.

mod ask;
mod cookie;
mod fields;
mod forms;
mod guard;
mod home;
mod sign_in;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use chapar_client::CallError;
use chapar_model::Clock;
use http::{HeaderMap, StatusCode, Uri, header as h};
use maud::Markup;
use tower_http::compression::CompressionLayer;

use crate::bus::Bus;
use crate::inquiries::Inquiries;
use crate::lockout::Lockout;
use crate::page::{self, Frame, Refused};
use crate::session::{Session, Sessions};
use chapar_model::Language;
use forms::SentForm;

/// Maximum size of a form in bytes: its fields have 256 characters at most.
const MAX_FORM: usize = 16 << 10;

/// What the pages are made from.
pub(crate) struct App {
    bus: Bus,
    clerks: PathBuf,
    sessions: Sessions,
    lockout: Lockout,
    inquiries: Inquiries,
}

impl App {
    pub(crate) fn new(bus: Bus, clerks: PathBuf, idle: Duration, longest: Duration, clock: Clock) -> Self {
        Self {
            bus,
            clerks,
            sessions: Sessions::new(idle, longest),
            lockout: Lockout::default(),
            inquiries: Inquiries::new(clock),
        }
    }

    /// Forgets what is over.
    pub(crate) fn forget(&self, now: Instant) {
        self.inquiries.forget(now);
    }

    /// Who is signed in by the cookie of a request.
    fn session(&self, headers: &HeaderMap) -> Option<Arc<Session>> {
        self.sessions.get(cookie::session_id(headers)?, Instant::now())
    }
}

/// The addresses, for a connection from `peer`.
pub(crate) fn router(app: Arc<App>, peer: IpAddr) -> Router {
    Router::new()
        .route("/", get(|| async { Redirect::to("/fa/") }))
        .route(&page::STYLE_PATH, get(style))
        .route("/fa", get(|| async { Redirect::to("/fa/") }))
        .route("/en", get(|| async { Redirect::to("/en/") }))
        .route("/{language}/", get(home::procedures))
        .route("/{language}/sign-in", get(sign_in::page).post(sign_in::sign_in))
        .route("/{language}/sign-out", post(sign_in::sign_out))
        .route("/{language}/today", get(home::today))
        .route("/{language}/procedures/{id}", get(ask::form).post(ask::ask))
        .route("/{language}/inquiries/{id}", get(ask::answer))
        .fallback(|uri: Uri| async move { not_found(language_of(&uri), None) })
        .method_not_allowed_fallback(|uri: Uri| async move {
            refused(StatusCode::METHOD_NOT_ALLOWED, language_of(&uri), None)
        })
        .layer(DefaultBodyLimit::max(MAX_FORM))
        .layer(middleware::from_fn(guard::guarded))
        // The tokens of forms are masked anew in each page, so that its compressed size tells nothing of them
        // (BREACH, 2013).
        .layer(CompressionLayer::new())
        .layer(axum::Extension(peer))
        .with_state(app)
}

async fn style() -> Response {
    let kept = [
        (h::CONTENT_TYPE, "text/css; charset=utf-8"),
        (h::CACHE_CONTROL, "public, max-age=31536000, immutable"),
    ];
    (kept, page::STYLE).into_response()
}

/// The language of an address; Persian for one that has none.
fn language_of(uri: &Uri) -> Language {
    uri.path().split('/').nth(1).and_then(Language::of).unwrap_or(Language::Fa)
}

/// An answer in place of the page that was asked for.
pub(crate) struct Instead(Box<Response>);

impl From<Response> for Instead {
    fn from(response: Response) -> Self {
        Self(Box::new(response))
    }
}

impl axum::response::IntoResponse for Instead {
    fn into_response(self) -> Response {
        *self.0
    }
}

/// A page that says one of HTTP's statuses in words.
fn refused(status: StatusCode, language: Language, session: Option<&Session>) -> Response {
    let (heading, text) = page::status_words(status, language);
    let frame = Frame { language, title: heading.to_owned(), session, path: "/" };
    html(status, page::message(&frame, &maud::html! { p { (text) } }))
}

fn not_found(language: Language, session: Option<&Session>) -> Response {
    refused(StatusCode::NOT_FOUND, language, session)
}

/// The page of a gateway that does not answer, or refuses the office.
fn failed(error: &CallError, language: Language, session: &Session) -> Response {
    let Some((status, sentence)) = refusal(error, language) else {
        return refused(StatusCode::SERVICE_UNAVAILABLE, language, Some(session));
    };
    let title = language.pick("گذرگاه نپذیرفت", "The bus refused").to_owned();
    html(status, page::message(&Frame { language, title, session: Some(session), path: "/" }, &sentence))
}

/// What a refusal of the gateway's says to people, with the nearest status of HTTP; nothing for an error that
/// is none.
fn refusal(error: &CallError, language: Language) -> Option<(StatusCode, Markup)> {
    let CallError::Refused(refusal) = error else { return None };
    let status = match refusal.code {
        3 => StatusCode::UNPROCESSABLE_ENTITY,
        5 => StatusCode::NOT_FOUND,
        7 | 16 => StatusCode::FORBIDDEN,
        8 => StatusCode::TOO_MANY_REQUESTS,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    let refused = Refused {
        code: refusal.code.into(),
        reason: &refusal.reason,
        call_id: refusal.call_id.as_deref().unwrap_or_default(),
        message: &refusal.message,
        localized: refusal.localized.as_deref().unwrap_or_default(),
    };
    Some((status, page::sentence(language, &refused)))
}

/// A gateway that does not answer, or refuses the office, is for whoever runs the page. No error has a
/// citizen's value.
fn log(error: &CallError) {
    match error {
        CallError::Refused(_) => tracing::warn!(%error, "the gateway refused the office"),
        _ => tracing::warn!(%error, "the gateway did not answer"),
    }
}

fn html(status: StatusCode, page: Markup) -> Response {
    (status, page).into_response()
}

/// The language of a path, and who is signed in; else the answer: a page that is not there, or the way to the
/// sign-in.
fn signed_in(app: &App, language: &str, headers: &HeaderMap) -> Result<(Language, Arc<Session>), Instead> {
    let language = Language::of(language).ok_or_else(|| not_found(Language::Fa, None))?;
    let to_sign_in = || Redirect::to(&format!("/{}/sign-in", language.code())).into_response();
    let session = app.session(headers).ok_or_else(to_sign_in)?;
    Ok((language, session))
}

/// The same for a form, which must be one of the session's.
fn of_session(
    app: &App,
    language: &str,
    headers: &HeaderMap,
    form: &SentForm,
) -> Result<(Language, Arc<Session>), Instead> {
    let (language, session) = signed_in(app, language, headers)?;
    if !session.is_own_form(form.get("form")) {
        return Err(refused(StatusCode::FORBIDDEN, language, Some(&session)).into());
    }
    Ok((language, session))
}

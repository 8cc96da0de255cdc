//! The page's addresses. Each answer may be kept by no cache, shown in no frame, and runs no script. A form
//! counts only with its session's token, and comes from this page: `Origin` and `Sec-Fetch-Site` say so where
//! the browser sends them.

mod ask;
mod cookie;
mod fields;
mod forms;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use chapar_model::Clock;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header as h};
use maud::Markup;

use crate::bus::Bus;
use crate::clerks;
use crate::inquiries::Inquiries;
use crate::lockout::{Lockout, Who};
use crate::page::{self, Frame};
use crate::session::{Session, Sessions};
use crate::words::Language;
use forms::Form;

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
        .route(page::STYLE_PATH, get(style))
        .route("/{language}/", get(home))
        .route("/{language}/sign-in", get(sign_in_page).post(sign_in))
        .route("/{language}/sign-out", post(sign_out))
        .route("/{language}/today", get(today))
        .route("/{language}/procedures/{id}", get(ask::form).post(ask::ask))
        .route("/{language}/inquiries/{id}", get(ask::answer))
        .fallback(|| async { not_found(Language::Fa, None) })
        .layer(DefaultBodyLimit::max(MAX_FORM))
        .layer(middleware::from_fn(guarded))
        .layer(axum::Extension(peer))
        .with_state(app)
}

/// Headers of every answer.
const HEADERS: [(HeaderName, &str); 7] = [
    (
        h::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (h::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (h::X_FRAME_OPTIONS, "DENY"),
    (h::REFERRER_POLICY, "no-referrer"),
    (h::STRICT_TRANSPORT_SECURITY, "max-age=31536000"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Refuses forms of other sites, and sets the headers.
async fn guarded(request: Request, next: Next) -> Response {
    let is_foreign =
        request.method() == Method::POST && is_foreign(request.headers(), request.uri().authority());
    let mut response = match is_foreign {
        true => refused(StatusCode::FORBIDDEN, Language::Fa, None),
        false => next.run(request).await,
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // Citizens' records, on a machine that clerks share.
    headers.entry(h::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Whether a request says that it comes from another site (OWASP, "Verifying Origin With Standard Headers").
fn is_foreign(headers: &HeaderMap, authority: Option<&http::uri::Authority>) -> bool {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let host = authority.map(http::uri::Authority::as_str).or_else(|| text(&h::HOST)).unwrap_or_default();
    let is_other_origin = headers
        .get(h::ORIGIN)
        .is_some_and(|origin| origin.as_bytes() != format!("https://{host}").as_bytes());
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    is_other_origin || site.is_some_and(|site| !matches!(site, b"same-origin" | b"none"))
}

async fn style() -> Response {
    let kept = [
        (h::CONTENT_TYPE, "text/css; charset=utf-8"),
        (h::CACHE_CONTROL, "public, max-age=31536000, immutable"),
    ];
    (kept, page::STYLE).into_response()
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
    html(status, page::message(&frame, heading, text, None))
}

fn not_found(language: Language, session: Option<&Session>) -> Response {
    refused(StatusCode::NOT_FOUND, language, session)
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
    form: &Form,
) -> Result<(Language, Arc<Session>), Instead> {
    let (language, session) = signed_in(app, language, headers)?;
    if !session.is_own_form(form.get("form")) {
        return Err(refused(StatusCode::FORBIDDEN, language, Some(&session)).into());
    }
    Ok((language, session))
}

async fn home(
    State(app): State<Arc<App>>,
    Path(language): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Instead> {
    let (language, session) = signed_in(&app, &language, &headers)?;
    let Ok(procedures) = app.bus.procedures().await.inspect_err(ask::log) else {
        return Err(refused(StatusCode::SERVICE_UNAVAILABLE, language, Some(&session)).into());
    };
    let mut cards = Vec::new();
    for procedure in procedures {
        let is_well = app.bus.agencies_answer(&procedure).await;
        cards.push(page::Card { procedure, is_well });
    }
    Ok(html(StatusCode::OK, page::home(language, &session, &cards)))
}

async fn today(
    State(app): State<Arc<App>>,
    Path(language): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Instead> {
    let (language, session) = signed_in(&app, &language, &headers)?;
    // Without the gateway the list is still there, by the procedures' ids.
    let procedures = app.bus.procedures().await.unwrap_or_default();
    let lines = app.inquiries.today(&session.clerk).into_iter().map(|line| {
        let procedure = procedures.iter().find(|procedure| procedure.id == line.procedure);
        let name =
            procedure.map_or(line.procedure.as_str(), |procedure| language.name(procedure.name.as_ref()));
        let name = name.to_owned();
        let is_kept = app.inquiries.get(&session.clerk, line.id, Instant::now()).is_some();
        (line, name, is_kept)
    });
    let lines: Vec<_> = lines.collect();
    Ok(html(StatusCode::OK, page::today(language, &session, &lines)))
}

async fn sign_in_page(
    State(app): State<Arc<App>>,
    Path(language): Path<String>,
    headers: HeaderMap,
) -> Response {
    let Some(language) = Language::of(&language) else { return not_found(Language::Fa, None) };
    if app.session(&headers).is_some() {
        return Redirect::to(&format!("/{}/", language.code())).into_response();
    }
    html(StatusCode::OK, page::sign_in(language, "", None))
}

async fn sign_in(
    State(app): State<Arc<App>>,
    Path(language): Path<String>,
    axum::Extension(peer): axum::Extension<IpAddr>,
    form: Form,
) -> Response {
    let Some(language) = Language::of(&language) else { return not_found(Language::Fa, None) };
    let id = form.get("id").trim().to_owned();
    let who = [Who::Clerk(id.to_lowercase()), Who::Address(peer)];
    if let Some(wait) = app.lockout.wait(&who, Instant::now()) {
        let seconds = language.digits(&wait.as_secs().max(1).to_string());
        let text = match language {
            Language::Fa => format!("چند بار نادرست بود. {seconds} ثانیهٔ دیگر دوباره بکوشید."),
            Language::En => format!("There were several wrong tries. Try again in {seconds} s."),
        };
        let mut response = html(StatusCode::TOO_MANY_REQUESTS, page::sign_in(language, &id, Some(&text)));
        response.headers_mut().insert(h::RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
        return response;
    }
    let clerk = match clerks::sign_in(&app.clerks, &id, form.get("password").to_owned()).await {
        Ok(clerk) => clerk,
        Err(error) => {
            tracing::error!(%error, "no clerk can sign in");
            return refused(StatusCode::SERVICE_UNAVAILABLE, language, None);
        }
    };
    let now = Instant::now();
    let Some(clerk) = clerk else {
        app.lockout.failed(&who, now);
        // The id may be anything, a password typed into the wrong box among it.
        tracing::info!(%peer, "a sign-in failed");
        let text = language.pick("نام کاربری یا گذرواژه درست نیست.", "User name or password is wrong.");
        return html(StatusCode::UNPROCESSABLE_ENTITY, page::sign_in(language, &id, Some(text)));
    };
    app.lockout.succeeded(&id.to_lowercase());
    tracing::info!(clerk = %clerk.id, "signed in");
    let Some(session) = app.sessions.begin(clerk.id, clerk.name, now) else {
        return refused(StatusCode::SERVICE_UNAVAILABLE, language, None);
    };
    let mut response = Redirect::to(&format!("/{}/", language.code())).into_response();
    cookie::set(response.headers_mut(), &session);
    response
}

async fn sign_out(
    State(app): State<Arc<App>>,
    Path(language): Path<String>,
    headers: HeaderMap,
    form: Form,
) -> Result<Response, Instead> {
    let (language, session) = of_session(&app, &language, &headers, &form)?;
    if let Some(id) = cookie::session_id(&headers) {
        app.sessions.end(id);
    }
    tracing::info!(clerk = %session.clerk, "signed out");
    let mut response = Redirect::to(&format!("/{}/sign-in", language.code())).into_response();
    cookie::clear(response.headers_mut());
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_of_another_site_is_foreign() {
        let foreign = |headers: &[(&'static str, &str)]| {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.insert(*name, value.parse().unwrap());
            }
            is_foreign(&map, None)
        };
        let host = ("host", "counter.example:8600");
        assert!(!foreign(&[host]));
        assert!(!foreign(&[
            host,
            ("origin", "https://counter.example:8600"),
            ("sec-fetch-site", "same-origin")
        ]));
        for other in
            ["https://evil.example", "http://counter.example:8600", "https://counter.example", "null"]
        {
            assert!(foreign(&[host, ("origin", other)]), "{other}");
        }
        for site in ["cross-site", "same-site", "x"] {
            assert!(foreign(&[host, ("sec-fetch-site", site)]), "{site}");
        }
    }
}

//! Sign-in and sign-out. A failed try is answered alike whether there is such a clerk or not.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header as h};

use super::forms::SentForm;
use super::{App, Instead, cookie, html, not_found, of_session, refused};
use crate::clerks;
use crate::page::{self, SignInFault};
use chapar_model::Language;

pub(super) async fn page(
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

pub(super) async fn sign_in(
    State(app): State<Arc<App>>,
    Path(language): Path<String>,
    axum::Extension(peer): axum::Extension<IpAddr>,
    headers: HeaderMap,
    form: SentForm,
) -> Response {
    let Some(language) = Language::of(&language) else { return not_found(Language::Fa, None) };
    let id = form.get("id").trim().to_owned();
    let attempt = match app.lockout.begin(&id, peer, Instant::now()) {
        Ok(attempt) => attempt,
        Err(wait) => {
            let page = page::sign_in(language, &id, Some(SignInFault::Wait(wait)));
            let mut response = html(StatusCode::TOO_MANY_REQUESTS, page);
            response.headers_mut().insert(h::RETRY_AFTER, HeaderValue::from(page::whole_seconds(wait)));
            return response;
        }
    };
    let clerk = match clerks::sign_in(&app.clerks, &id, form.get("password")).await {
        Ok(clerk) => clerk,
        Err(error) => {
            app.lockout.take_back(&attempt);
            tracing::error!(%error, "no clerk can sign in");
            return refused(StatusCode::INTERNAL_SERVER_ERROR, language, None);
        }
    };
    let Some(clerk) = clerk else {
        // The id may be anything, a password typed into the wrong box among it.
        tracing::info!(%peer, "a sign-in failed");
        let page = page::sign_in(language, &id, Some(SignInFault::Wrong));
        return html(StatusCode::UNPROCESSABLE_ENTITY, page);
    };
    app.lockout.succeeded(&attempt);
    tracing::info!(clerk = %clerk.id, "signed in");
    // Whoever signs in at a shared machine ends the session that the browser had.
    if let Some(old) = cookie::session_id(&headers) {
        app.sessions.end(old);
    }
    let Some(session) = app.sessions.begin(clerk.id, clerk.name, Instant::now()) else {
        tracing::error!("the system gives no random bytes");
        return refused(StatusCode::INTERNAL_SERVER_ERROR, language, None);
    };
    let mut response = Redirect::to(&format!("/{}/", language.code())).into_response();
    cookie::set(response.headers_mut(), &session);
    response
}

pub(super) async fn sign_out(
    State(app): State<Arc<App>>,
    Path(language): Path<String>,
    headers: HeaderMap,
    form: SentForm,
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

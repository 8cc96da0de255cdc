//! The form of a procedure, the inquiry that it makes, and its answer. A form that was sent leads to the
//! answer's own address (POST, redirect, GET), so that reload and "back" ask nothing again.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use chapar_client::{CallError, Procedure};
use chapar_model::{ClerkId, RequestId};
use http::{HeaderMap, StatusCode};

use super::forms::Form;
use super::{App, Instead, fields, html, not_found, of_session, refused, signed_in};
use crate::inquiries::{Asked, Inquiry, KEPT_FOR, Line};
use crate::page::{self, Fault};
use crate::session::Session;
use crate::words::Language;

pub(super) async fn form(
    State(app): State<Arc<App>>,
    Path((language, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Instead> {
    let (language, session) = signed_in(&app, &language, &headers)?;
    let procedure = procedure(&app, &id, language, &session).await?;
    let id = RequestId::now();
    Ok(shown(StatusCode::OK, language, &session, &procedure, id, &Form::default(), &[], None))
}

async fn procedure(app: &App, id: &str, language: Language, session: &Session) -> Result<Procedure, Instead> {
    match app.bus.procedure(id).await.inspect_err(log) {
        Ok(Some(procedure)) => Ok(procedure),
        Ok(None) => Err(not_found(language, Some(session)).into()),
        Err(_) => Err(refused(StatusCode::SERVICE_UNAVAILABLE, language, Some(session)).into()),
    }
}

#[expect(clippy::too_many_arguments, reason = "each is one thing that the form shows")]
fn shown(
    status: StatusCode,
    language: Language,
    session: &Session,
    procedure: &Procedure,
    id: RequestId,
    typed: &Form,
    faults: &[Fault],
    notice: Option<&str>,
) -> Response {
    let fields = fields::of(procedure, language);
    let typed = &|name: &str| typed.get(name).to_owned();
    let form = page::Form { procedure, fields: &fields, id, faults, typed, notice };
    html(status, page::form(language, session, &form))
}

pub(super) async fn ask(
    State(app): State<Arc<App>>,
    Path((language, id)): Path<(String, String)>,
    headers: HeaderMap,
    form: Form,
) -> Result<Response, Instead> {
    let (language, session) = of_session(&app, &language, &headers, &form)?;
    let procedure = procedure(&app, &id, language, &session).await?;
    let id: RequestId = form.get("inquiry").parse().unwrap_or_else(|_| RequestId::now());
    let asked = match fields::read(&procedure, &form, language) {
        Ok(asked) => asked,
        Err(faults) => {
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            return Ok(shown(status, language, &session, &procedure, id, &form, &faults, None));
        }
    };
    let (id, inquiry) = app.inquiries.begin(&session.clerk, id, asked, Instant::now());
    // In a task of its own: a line that is cut ends the browser's request, and the form that comes again then
    // finds the answer.
    let asking = ask_once(Arc::clone(&app), session.clerk.clone(), id, inquiry, language);
    match tokio::spawn(asking).await {
        Ok(Ok(())) => Ok(Redirect::to(&format!("/{}/inquiries/{id}", language.code())).into_response()),
        // The same form again is the same inquiry, and counts once at the gateway.
        _ => {
            let notice = language.pick(
                "گذرگاه پاسخ نداد. همین فرم را دوباره بفرستید؛ دو بار شمرده نمی‌شود.",
                "The bus did not answer. Send this form again; it does not count twice.",
            );
            let status = StatusCode::SERVICE_UNAVAILABLE;
            Ok(shown(status, language, &session, &procedure, id, &form, &[], Some(notice)))
        }
    }
}

/// Asks an inquiry, and notes it in its clerk's day. Of two forms under one id the second waits for the first
/// one's answer.
async fn ask_once(
    app: Arc<App>,
    clerk: ClerkId,
    id: RequestId,
    inquiry: Arc<Inquiry>,
    language: Language,
) -> Result<(), CallError> {
    let Asked { procedure, case, .. } = &inquiry.asked;
    let asking = app.bus.ask(id, &clerk, &inquiry.asked, language.code());
    let answered = inquiry.answered.get_or_try_init(|| asking).await.inspect_err(log)?;
    let case = case.as_ref().map(ToString::to_string).unwrap_or_default();
    let parts = (answered.answered(), answered.parts.len());
    app.inquiries.note(&clerk, Line { id, at: inquiry.at, procedure: procedure.clone(), case, parts });
    Ok(())
}

pub(super) async fn answer(
    State(app): State<Arc<App>>,
    Path((language, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Instead> {
    let (language, session) = signed_in(&app, &language, &headers)?;
    let parsed = id.parse::<RequestId>().ok();
    let kept = parsed.and_then(|id| app.inquiries.get(&session.clerk, id, Instant::now()));
    let Some((inquiry, answered)) = kept.as_ref().and_then(|kept| Some((kept, kept.answered.get()?))) else {
        return Err(not_found(language, Some(&session)).into());
    };
    let procedure = procedure(&app, &inquiry.asked.procedure, language, &session).await?;
    let left = inquiry.left(KEPT_FOR);
    Ok(html(StatusCode::OK, page::answer(language, &session, &procedure, &id, inquiry, answered, left)))
}

/// A gateway that does not answer, or refuses the office, is for whoever runs the page. No error has a
/// citizen's value.
pub(super) fn log(error: &CallError) {
    tracing::warn!(%error, "the gateway did not answer an inquiry");
}

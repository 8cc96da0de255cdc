//! The form of a procedure, the inquiry that it makes, and its answer. A form that was sent leads to the
//! answer's own address (POST, redirect, GET), so that reload and "back" ask nothing again.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use chapar_client::{CallError, Procedure};
use chapar_model::{ClerkId, RequestId};
use http::{HeaderMap, StatusCode};
use maud::{Markup, html as markup};

use super::forms::SentForm;
use super::{App, Instead, failed, fields, html, log, not_found, of_session, refusal, signed_in};
use crate::inquiries::{DayEntry, Inquiry, KEPT_FOR};
use crate::page::{self, Fault};
use crate::session::Session;
use chapar_model::Language;

pub(super) async fn form(
    State(app): State<Arc<App>>,
    Path((language, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Instead> {
    let (language, session) = signed_in(&app, &language, &headers)?;
    let procedure = procedure(&app, &id, language, &session).await?;
    let sent = Sent { language, session: &session, procedure: &procedure, id: RequestId::now() };
    Ok(sent.shown(StatusCode::OK, &SentForm::default(), &[], None))
}

async fn procedure(app: &App, id: &str, language: Language, session: &Session) -> Result<Procedure, Instead> {
    let known = app.bus.known().await.inspect_err(|error| log(error));
    let known = known.map_err(|error| failed(&error, language, session))?;
    let procedure = known.procedure(id).cloned();
    procedure.ok_or_else(|| not_found(language, Some(session)).into())
}

/// Whose form it is, and under which id its inquiry is made.
struct Sent<'a> {
    language: Language,
    session: &'a Session,
    procedure: &'a Procedure,
    id: RequestId,
}

impl Sent<'_> {
    /// The form with what was typed, and what is wrong.
    fn shown(
        &self,
        status: StatusCode,
        typed: &SentForm,
        faults: &[Fault],
        notice: Option<Markup>,
    ) -> Response {
        let fields = fields::of(self.procedure, self.language);
        let typed = &|name: &str| typed.get(name).to_owned();
        let form =
            page::FormPage { procedure: self.procedure, fields: &fields, id: self.id, faults, typed, notice };
        html(status, page::form(self.language, self.session, &form))
    }
}

pub(super) async fn ask(
    State(app): State<Arc<App>>,
    Path((language, id)): Path<(String, String)>,
    headers: HeaderMap,
    form: SentForm,
) -> Result<Response, Instead> {
    let (language, session) = of_session(&app, &language, &headers, &form)?;
    let procedure = procedure(&app, &id, language, &session).await?;
    let id: RequestId = form.get("inquiry").parse().unwrap_or_else(|_| RequestId::now());
    let mut sent = Sent { language, session: &session, procedure: &procedure, id };
    let asked = match fields::read(&procedure, &form, language) {
        Ok(asked) => asked,
        Err(faults) => return Ok(sent.shown(StatusCode::UNPROCESSABLE_ENTITY, &form, &faults, None)),
    };
    let inquiry;
    (sent.id, inquiry) = app.inquiries.begin(&session.clerk, id, asked, Instant::now());
    // In a task of its own: a line that is cut ends the browser's request, and the form that comes again then
    // finds the answer.
    let asking = ask_once(Arc::clone(&app), session.clerk.clone(), sent.id, inquiry, language);
    let failure = match tokio::spawn(asking).await {
        Ok(Ok(())) => {
            let answer = format!("/{}/inquiries/{}", language.code(), sent.id);
            return Ok(Redirect::to(&answer).into_response());
        }
        Ok(Err(error)) => refusal(&error, language),
        // The task ended at a stop of the page.
        Err(_) => None,
    };
    let (status, notice) = failure.unwrap_or_else(|| {
        // The same form again is the same inquiry, and counts once at the gateway.
        let text = language.pick(
            "گذرگاه پاسخ نداد. همین فرم را دوباره بفرستید؛ دو بار شمرده نمی‌شود.",
            "The bus did not answer. Send this form again; it does not count twice.",
        );
        (StatusCode::SERVICE_UNAVAILABLE, markup! { p { (text) } })
    });
    Ok(sent.shown(status, &form, &[], Some(notice)))
}

/// Asks an inquiry, and notes it in its clerk's day. Of two forms under one id the second waits for the first
/// one's answer.
async fn ask_once(
    app: Arc<App>,
    clerk: ClerkId,
    id: RequestId,
    inquiry: Arc<Inquiry>,
    language: Language,
) -> Result<(), Arc<CallError>> {
    let asking = app.bus.ask(id, &clerk, &inquiry.asked, language.code());
    let answered = inquiry.answered.get_or_try_init(|| asking).await.inspect_err(|error| log(error))?;
    let line = DayEntry {
        id,
        at: inquiry.at,
        name: answered.procedure.name.clone(),
        case: inquiry.asked.case.as_ref().map(ToString::to_string).unwrap_or_default(),
        parts: (answered.count(), answered.parts.len()),
    };
    app.inquiries.note(&clerk, line);
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
    let left = inquiry.left(KEPT_FOR);
    let shown = page::Answer { id: &id, asked: &inquiry.asked, at: inquiry.at, answered, left };
    Ok(html(StatusCode::OK, page::answer(language, &session, &shown)))
}

//! `SentForm` is a form that a browser sent: names and values, each name once.

use std::collections::HashMap;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use http::StatusCode;

use super::{Instead, language_of, refused};

/// How long a form may take to come whole. 16 KiB take 4 s on the slowest line that there is help for.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Names and values.
#[derive(Debug, Default)]
pub(super) struct SentForm(HashMap<String, String>);

impl SentForm {
    /// The value of a name; empty if it was not sent.
    pub(super) fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }
}

impl<S: Send + Sync> FromRequest<S> for SentForm {
    type Rejection = Instead;

    async fn from_request(request: Request, state: &S) -> Result<Self, Instead> {
        let language = language_of(request.uri());
        let refused = |status| Instead::from(refused(status, language, None));
        let body = tokio::time::timeout(TIMEOUT, Bytes::from_request(request, state)).await;
        let body = body.map_err(|_| refused(StatusCode::REQUEST_TIMEOUT))?;
        // Too long, or broken off.
        let body = body.map_err(|error| refused(error.status()))?;
        let mut form = HashMap::new();
        for (name, value) in url::form_urlencoded::parse(&body) {
            // A name that stands twice would have two readers see two forms.
            if form.insert(name.into_owned(), value.into_owned()).is_some() {
                return Err(refused(StatusCode::FORBIDDEN));
            }
        }
        Ok(Self(form))
    }
}

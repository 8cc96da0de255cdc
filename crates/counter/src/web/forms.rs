//! `Form` is a form that a browser sent: names and values, each name once.

use std::collections::HashMap;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use http::StatusCode;

use super::Instead;
use crate::words::Language;

/// Names and values.
#[derive(Debug, Default)]
pub(super) struct Form(HashMap<String, String>);

impl Form {
    /// The value of a name; empty if it was not sent.
    pub(super) fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }
}

impl<S: Send + Sync> FromRequest<S> for Form {
    type Rejection = Instead;

    async fn from_request(request: Request, state: &S) -> Result<Self, Instead> {
        let refused = || Instead::from(super::refused(StatusCode::FORBIDDEN, Language::Fa, None));
        let body = Bytes::from_request(request, state).await.map_err(|_| refused())?;
        let mut form = HashMap::new();
        for (name, value) in url::form_urlencoded::parse(&body) {
            // A name that stands twice would have two readers see two forms.
            if form.insert(name.into_owned(), value.into_owned()).is_some() {
                return Err(refused());
            }
        }
        Ok(Self(form))
    }
}

//! This module is the access control of the admin pages. The pages are plain HTTP, and a foreign web page
//! could reach them through the operator's browser. So a foreign `Host` (DNS rebinding) or `Origin` is
//! refused, and every method except GET and HEAD needs the bearer token, whose file is created with mode
//! 0600.

use std::path::Path;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use chapar_files::SecretError;
use chapar_model::to_hex;
use chapar_transport::admin::foreign;
use subtle::ConstantTimeEq as _;

/// The token's file in the gateway's state folder.
pub(crate) const FILE: &str = "admin.token";

/// What a POST must carry: `authorization: Bearer TOKEN`.
#[derive(Clone)]
pub(crate) struct Token(Arc<str>);

impl Token {
    /// Reads the token of a state folder; makes it, of 32 random bytes and for its owner alone (mode 0600),
    /// if there is none.
    ///
    /// # Errors
    /// What the system said.
    pub(crate) fn of(folder: &Path) -> std::io::Result<Self> {
        if let Some(token) = Self::existing(folder)? {
            return Ok(token);
        }
        let mut secret = [0; 32];
        aws_lc_rs::rand::fill(&mut secret)
            .map_err(|_| std::io::Error::other("the system gives no randomness"))?;
        let token = to_hex(&secret);
        std::fs::create_dir_all(folder)?;
        // Whole or not at all: an empty file would refuse every later start.
        chapar_files::replace(&folder.join(FILE), format!("{token}\n").as_bytes(), 0o600)?;
        Ok(Self(token.into()))
    }

    /// Reads the token of a state folder, if there is one.
    ///
    /// # Errors
    /// What the system said, and if it is too short or others may read it.
    pub(crate) fn existing(folder: &Path) -> std::io::Result<Option<Self>> {
        let path = folder.join(FILE);
        match chapar_files::read_secret(&path) {
            // 32 characters are half of what is generated here: an operator may write a token of another
            // form, and still not one that can be guessed.
            Ok(text) if text.trim().len() >= 32 => Ok(Some(Self(text.trim().into()))),
            Ok(_) => Err(std::io::Error::other("the admin token is shorter than 32 characters")),
            Err(SecretError::Read(error)) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(SecretError::Read(error)) => Err(error),
            Err(shared @ SecretError::Shared) => {
                Err(std::io::Error::other(format!("{} {shared}", path.display())))
            }
        }
    }
}

/// Refuses requests that no operator's tool sends.
pub(crate) async fn guard(State(token): State<Token>, request: Request, next: Next) -> Response {
    match refusal(request.method(), request.headers(), &token) {
        Some((status, why)) => (status, why).into_response(),
        None => next.run(request).await,
    }
}

fn refusal(method: &Method, headers: &HeaderMap, token: &Token) -> Option<(StatusCode, &'static str)> {
    if let Some(why) = foreign(headers) {
        return Some((StatusCode::FORBIDDEN, why));
    }
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = given.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    let only_reads = matches!(*method, Method::GET | Method::HEAD);
    // The comparison takes the same time for every token, so that its duration does not tell how much of a
    // guess fits.
    let is_allowed = only_reads || bool::from(given.as_bytes().ct_eq(token.0.as_bytes()));
    let how =
        "send `authorization: Bearer TOKEN`, with the token in `admin.token` in the gateway's state folder\n";
    (!is_allowed).then_some((StatusCode::UNAUTHORIZED, how))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_made_once_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        let first = Token::of(&state).unwrap();
        assert_eq!(Token::of(&state).unwrap().0, first.0);
        let mode = std::fs::metadata(state.join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_token_that_others_may_read_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let token = Token::of(folder.path()).unwrap();
        let allow = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        for mode in [0o604, 0o644] {
            allow(mode);
            let error = Token::of(folder.path()).err().unwrap().to_string();
            assert!(error.contains(path.to_str().unwrap()) && error.contains("chmod o="), "{error}");
        }
        allow(0o600);
        assert_eq!(Token::of(folder.path()).unwrap().0, token.0);
    }
}

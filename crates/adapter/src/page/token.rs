//! `PageTokens` seals the place where a page ended into a token for the caller, and opens it again. A token
//! is encrypted, because it holds values of the last record, and bound to one caller, purpose, right and
//! question; it is valid for an hour. AES-256-GCM (NIST SP 800-38D) with a random nonce: at most 2³² tokens
//! for one key.

use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chapar_model::{Clock, Reason, to_hex};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::source::{Cell, Failure, Parameter};

/// How long a token is valid, in seconds.
const VALID_FOR: i64 = 3600;
/// Maximum length of a token in characters. Callers send it in a request, which has a bound of its own.
const MAX_TOKEN_CHARS: usize = 2048;
/// Minimum length of a key file's text in characters: half of what is generated.
const SHORTEST_KEY: usize = 32;
/// The first byte of every token.
const VERSION: u8 = 1;

/// One value of the place where a page ended. It has no `Debug`: it is a citizen's.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) enum KeyValue {
    Integer(i64),
    Text(String),
    Bytes(Vec<u8>),
}

impl KeyValue {
    /// The value of a page key's column.
    ///
    /// # Errors
    /// If it is none that a page can end at.
    pub(super) fn of(cell: Cell<'_>) -> Result<Self, Failure> {
        let unreadable = |detail| Failure::new(Reason::ValueUnreadable, detail);
        Ok(match cell {
            Cell::Integer(number) => Self::Integer(number),
            Cell::Text(text) => Self::Text(
                String::from_utf8(text.to_vec()).map_err(|_| unreadable("a page key that is not UTF-8"))?,
            ),
            Cell::Blob(bytes) => Self::Bytes(bytes.to_vec()),
            Cell::Date(day) => Self::Text(day.to_string()),
            _ => return Err(unreadable("a page key that is no whole number, date or text")),
        })
    }

    /// The value as it is bound for the next page.
    pub(super) fn parameter(&self) -> Parameter {
        match self {
            Self::Integer(number) => Parameter::Integer(*number),
            Self::Text(text) => Parameter::Text(text.clone()),
            Self::Bytes(bytes) => Parameter::Blob(bytes.clone()),
        }
    }
}

/// Seals and opens tokens with the key of one adapter, or of all replicas of it.
pub(crate) struct PageTokens {
    file: PathBuf,
    /// Whether the file is made if there is none.
    is_own: bool,
    clock: Clock,
    key: Mutex<Option<std::sync::Arc<LessSafeKey>>>,
}

impl PageTokens {
    /// With the key in `page.key` of the state folder, which is made at first use, or in a file that replicas
    /// share.
    pub(crate) fn new(state: &Path, shared: Option<&Path>, clock: Clock) -> Self {
        let file = shared.map_or_else(|| state.join("page.key"), Path::to_owned);
        Self { file, is_own: shared.is_none(), clock, key: Mutex::new(None) }
    }

    /// Checks that the key can be had, without making one.
    ///
    /// # Errors
    /// A sentence that names the file.
    pub(crate) fn check(&self) -> Result<(), String> {
        let named = |error: std::io::Error| format!("page key {}: {error}", self.file.display());
        match self.read() {
            Ok(Some(_)) => Ok(()),
            Ok(None) if self.is_own => chapar_files::can_replace(&self.file).map_err(named),
            Ok(None) => Err(named(std::io::ErrorKind::NotFound.into())),
            Err(error) => Err(named(error)),
        }
    }

    /// A token for the place `at`, that is opened under the same `bound` only.
    ///
    /// # Errors
    /// If the key cannot be had, or a value is too long for a token.
    pub(crate) fn seal(&self, at: &[KeyValue], bound: &[u8]) -> Result<String, Failure> {
        let failed = |_| Failure::new(Reason::SourceDown, "no page token could be made");
        let mut sealed = serde_json::to_vec(&(self.clock.now().as_second(), at)).unwrap_or_default();
        let mut nonce = [0; NONCE_LEN];
        aws_lc_rs::rand::fill(&mut nonce).map_err(failed)?;
        self.key()?
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(bound), &mut sealed)
            .map_err(failed)?;
        let token = URL_SAFE_NO_PAD.encode([&[VERSION], &nonce[..], &sealed].concat());
        if token.len() > MAX_TOKEN_CHARS {
            return Err(Failure::new(Reason::ValueUnreadable, "a page key that is too long for a token"));
        }
        Ok(token)
    }

    /// The place of a token that was sealed under the same `bound` in the last hour.
    ///
    /// # Errors
    /// `PAGE_TOKEN_INVALID`, whatever is wrong with it.
    pub(crate) fn open(&self, token: &str, bound: &[u8]) -> Result<Vec<KeyValue>, Failure> {
        let invalid =
            || Failure::of_field(Reason::PageTokenInvalid, "page_token".into(), "no token of this question");
        if token.len() > MAX_TOKEN_CHARS {
            return Err(invalid());
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| invalid())?;
        let Some((&VERSION, rest)) = bytes.split_first() else { return Err(invalid()) };
        let (nonce, sealed) = rest.split_at_checked(NONCE_LEN).ok_or_else(invalid)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| invalid())?;
        let mut sealed = sealed.to_vec();
        let opened =
            self.key()?.open_in_place(nonce, Aad::from(bound), &mut sealed).map_err(|_| invalid())?;
        let (sealed_at, at): (i64, Vec<KeyValue>) = serde_json::from_slice(opened).map_err(|_| invalid())?;
        let age = self.clock.now().as_second().saturating_sub(sealed_at);
        // A replica's clock may be a little ahead.
        if (-60..VALID_FOR).contains(&age) { Ok(at) } else { Err(invalid()) }
    }

    fn key(&self) -> Result<std::sync::Arc<LessSafeKey>, Failure> {
        let mut key = self.key.lock();
        if let Some(key) = &*key {
            return Ok(std::sync::Arc::clone(key));
        }
        let failed = |error: std::io::Error| {
            tracing::error!(file = %self.file.display(), %error, "the page key cannot be read or made");
            Failure::new(Reason::SourceDown, "the page key cannot be read or made")
        };
        let text = match self.read().map_err(failed)? {
            Some(text) => text,
            None => self.make().map_err(failed)?,
        };
        // A digest, so that a key file may hold any text of enough randomness.
        let bytes = digest::digest(&digest::SHA256, format!("chapar page token\n{text}").as_bytes());
        let made = UnboundKey::new(&AES_256_GCM, bytes.as_ref())
            .map_err(|_| failed(std::io::Error::other("not a key")))?;
        Ok(std::sync::Arc::clone(key.insert(std::sync::Arc::new(LessSafeKey::new(made)))))
    }

    fn read(&self) -> std::io::Result<Option<String>> {
        match chapar_files::read_secret(&self.file) {
            Ok(text) if text.trim().len() >= SHORTEST_KEY => Ok(Some(text.trim().to_owned())),
            Ok(_) => Err(std::io::Error::other(format!("shorter than {SHORTEST_KEY} characters"))),
            Err(chapar_files::SecretError::Read(error)) if error.kind() == std::io::ErrorKind::NotFound => {
                Ok(None)
            }
            Err(chapar_files::SecretError::Read(error)) => Err(error),
            Err(shared @ chapar_files::SecretError::Shared) => Err(std::io::Error::other(shared.to_string())),
        }
    }

    /// Makes the key's file, for its owner alone.
    fn make(&self) -> std::io::Result<String> {
        if !self.is_own {
            return Err(std::io::ErrorKind::NotFound.into());
        }
        let folder = self.file.parent().unwrap_or(Path::new(""));
        std::fs::create_dir_all(folder)?;
        // Another process may make it at the same time, and one key must be the last word.
        let _alone = chapar_files::lock(folder)?;
        if let Some(text) = self.read()? {
            return Ok(text);
        }
        let mut secret = [0; 32];
        aws_lc_rs::rand::fill(&mut secret)
            .map_err(|_| std::io::Error::other("the system gives no randomness"))?;
        let text = to_hex(&secret);
        chapar_files::replace(&self.file, format!("{text}\n").as_bytes(), 0o600)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at() -> Vec<KeyValue> {
        vec![KeyValue::Text("1991-08-03".to_owned()), KeyValue::Integer(-7)]
    }

    fn reason(opened: Result<Vec<KeyValue>, Failure>) -> Option<Reason> {
        opened.err().map(|failure| failure.reason)
    }

    #[test]
    fn a_token_is_opened_under_what_it_was_sealed_under_only() {
        let state = tempfile::tempdir().unwrap();
        let tokens = PageTokens::new(state.path(), None, Clock::system());
        let token = tokens.seal(&at(), b"one").unwrap();
        assert!(tokens.open(&token, b"one").unwrap() == at());
        assert_eq!(reason(tokens.open(&token, b"other")), Some(Reason::PageTokenInvalid));
        // Another process of the same state folder, and one of another.
        assert!(PageTokens::new(state.path(), None, Clock::system()).open(&token, b"one").is_ok());
        let other = tempfile::tempdir().unwrap();
        let other = PageTokens::new(other.path(), None, Clock::system());
        assert_eq!(reason(other.open(&token, b"one")), Some(Reason::PageTokenInvalid));
    }

    #[test]
    fn a_changed_token_is_refused_at_every_bit_and_length() {
        let state = tempfile::tempdir().unwrap();
        let tokens = PageTokens::new(state.path(), None, Clock::system());
        let bytes = URL_SAFE_NO_PAD.decode(tokens.seal(&at(), b"one").unwrap()).unwrap();
        let refused = |bytes: &[u8]| {
            let opened = tokens.open(&URL_SAFE_NO_PAD.encode(bytes), b"one");
            assert_eq!(reason(opened), Some(Reason::PageTokenInvalid));
        };
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            refused(&changed);
        }
        for length in 0..bytes.len() {
            refused(&bytes[..length]);
        }
        for text in ["", "!", "AAAA", &"A".repeat(1_000_000)] {
            assert_eq!(reason(tokens.open(text, b"one")), Some(Reason::PageTokenInvalid));
        }
    }

    #[test]
    fn a_token_says_nothing_of_the_record_and_ends_after_an_hour() {
        let state = tempfile::tempdir().unwrap();
        let clock = Clock::manual("2026-11-27T12:00:00Z".parse().unwrap());
        let tokens = PageTokens::new(state.path(), None, clock.clone());
        let token = tokens.seal(&at(), b"one").unwrap();
        let bytes = URL_SAFE_NO_PAD.decode(&token).unwrap();
        assert!(!bytes.windows(4).any(|part| part == b"1991"));
        clock.set("2026-11-27T12:59:59Z".parse().unwrap());
        assert!(tokens.open(&token, b"one").is_ok());
        clock.set("2026-11-27T13:00:00Z".parse().unwrap());
        assert_eq!(reason(tokens.open(&token, b"one")), Some(Reason::PageTokenInvalid));
    }

    #[test]
    fn a_shared_key_is_never_made_and_nobody_else_may_read_one() {
        use std::os::unix::fs::PermissionsExt as _;
        let state = tempfile::tempdir().unwrap();
        let file = state.path().join("shared.key");
        let tokens = PageTokens::new(state.path(), Some(&file), Clock::system());
        assert!(tokens.check().unwrap_err().contains("shared.key"));
        assert!(tokens.seal(&at(), b"one").is_err() && !file.exists());
        std::fs::write(&file, "k".repeat(64)).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o604)).unwrap();
        assert!(tokens.check().is_err());
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        tokens.check().unwrap();
        let token = tokens.seal(&at(), b"one").unwrap();
        let replica = PageTokens::new(tempfile::tempdir().unwrap().path(), Some(&file), Clock::system());
        assert!(replica.open(&token, b"one").unwrap() == at());
    }
}

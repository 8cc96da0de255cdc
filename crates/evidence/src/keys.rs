//! Keys of the log: the signing key, and the period key, from which pseudonyms and salts derive. Without the
//! period key, or the salt in a receipt, no guessed id or payload can be tested against the log.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use aws_lc_rs::digest::{Context, SHA256};
use aws_lc_rs::{hmac, rand};
use chapar_files::SecretError;
use chapar_model::{CallId, from_hex, to_hex};
use chapar_tlog::SigningKey;

use crate::config::{Config, Error};

/// Makes a signing key, its public half and a period's key. Refuses to overwrite.
///
/// # Errors
/// [`Error::Io`] naming the file that cannot be written; [`Error::Key`] if the origin cannot name a key.
pub fn create_keys(origin: &str, signing: &Path, public: &Path, period: &Path) -> Result<(), Error> {
    let bad = |problem| Error::Key { path: signing.to_owned(), problem };
    // Looked for before the first is written: keys that do not belong together are of no use.
    if let Some(path) = [signing, public, period].into_iter().find(|path| path.exists()) {
        return Err(Error::Key {
            path: path.to_owned(),
            problem: "is there already, and is not overwritten",
        });
    }
    let key = SigningKey::generate(origin).map_err(|_| bad("an origin is one word without `+`"))?;
    let mut secret = [0; 32];
    rand::fill(&mut secret).map_err(|_| bad("the system has no randomness"))?;
    create(signing, 0o600, &key.to_secret_text())?;
    create(public, 0o644, &key.verifier().to_string())?;
    create(period, 0o600, &to_hex(&secret))
}

fn create(path: &Path, mode: u32, text: &str) -> Result<(), Error> {
    let failed = |source| Error::Io { what: "cannot create", path: path.to_owned(), source };
    let mut file =
        // `create_new` refuses to overwrite: without the old keys the log cannot go on, and its pseudonyms
        // can no longer be matched.
        std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(failed)?;
    writeln!(file, "{text}").and_then(|()| file.sync_all()).map_err(failed)
}

pub(crate) fn signing_key(config: &Config) -> Result<SigningKey, Error> {
    let path = &config.signing_key;
    let problem = |problem| Error::Key { path: path.clone(), problem };
    let key: SigningKey =
        read(path)?.parse().map_err(|_| problem("holds no C2SP signed-note private key"))?;
    // A key of another origin would sign checkpoints that nobody accepts for this log.
    if key.verifier().name() == config.origin {
        Ok(key)
    } else {
        Err(problem("is the key of another origin"))
    }
}

fn read(path: &Path) -> Result<String, Error> {
    chapar_files::read_secret(path).map_err(|error| match error {
        SecretError::Read(source) => Error::Io { what: "cannot read", path: path.to_owned(), source },
        SecretError::Shared => Error::Key {
            path: path.to_owned(),
            problem: "is a secret that everyone on this machine may read or write: `chmod o= FILE`",
        },
    })
}

/// Finds a citizen's entries in a log, by the period key that made their pseudonyms.
pub struct Pseudonyms(PeriodKey);

impl Pseudonyms {
    /// Reads the period key in `path`.
    ///
    /// # Errors
    /// [`Error`] if the file cannot be read, holds no key, or is one that everyone may read.
    pub fn read(path: &Path) -> Result<Self, Error> {
        PeriodKey::read(path).map(Self)
    }

    /// The pseudonym of a citizen's id, in its canonical form: 32 bytes.
    pub fn of(&self, subject: &str) -> [u8; 32] {
        self.0.pseudonym(subject)
    }

    /// Whether this key made the record's pseudonym: then it made the salt too.
    pub fn made(&self, record: &crate::Record) -> bool {
        self.salt_hash_of(&record.call_id) == *record.salt_hash
    }

    /// A name for this key, which tells nothing of it: 8 bytes.
    pub fn id(&self) -> [u8; 8] {
        let mut id = [0; 8];
        id.copy_from_slice(&self.0.tag(b"id\0", b"")[..8]);
        id
    }

    /// SHA-256 of the salt of a call.
    pub fn salt_hash(&self, call: &CallId) -> [u8; 32] {
        self.salt_hash_of(call.as_bytes())
    }

    fn salt_hash_of(&self, call: &[u8]) -> [u8; 32] {
        array(aws_lc_rs::digest::digest(&SHA256, &self.0.salt(call)).as_ref())
    }
}

/// The key of a period.
pub(crate) struct PeriodKey(hmac::Key);

impl PeriodKey {
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let text = read(path)?;
        let wrong = || Error::Key { path: path.to_owned(), problem: "is not 64 hexadecimal digits" };
        let bytes = from_hex::<32>(text.trim()).ok_or_else(wrong)?;
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }

    /// HMAC-SHA256("subject" ‖ 0 ‖ id).
    pub(crate) fn pseudonym(&self, subject: &str) -> [u8; 32] {
        self.tag(b"subject\0", subject.as_bytes())
    }

    /// HMAC-SHA256("salt" ‖ 0 ‖ call id).
    pub(crate) fn salt(&self, call: &[u8]) -> [u8; 32] {
        self.tag(b"salt\0", call)
    }

    /// SHA-256(salt ‖ bytes).
    pub(crate) fn commit(&self, call: &CallId, bytes: &[u8]) -> [u8; 32] {
        let mut context = Context::new(&SHA256);
        context.update(&self.salt(call.as_bytes()));
        context.update(bytes);
        array(context.finish().as_ref())
    }

    fn tag(&self, label: &[u8], bytes: &[u8]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(label);
        context.update(bytes);
        array(context.sign().as_ref())
    }
}

fn array(bytes: &[u8]) -> [u8; 32] {
    let mut array = [0; 32];
    array.copy_from_slice(bytes);
    array
}

//! `Clerks` are the people who may sign in: a file of names and argon2id hashes (RFC 9106), read anew at each
//! sign-in, so that whoever is taken out of it cannot sign in again; a session that is open lasts until it
//! ends. Waits after failures are in `lockout`.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use argon2::Argon2;
use argon2::password_hash::{PasswordHash, PasswordHasher as _, PasswordVerifier as _, SaltString};
use chapar_model::ClerkId;
use serde::Deserialize;
use tokio::sync::Semaphore;

/// Passwords that are checked at once. Each takes 19 MiB and some 20 ms of a core (argon2id's defaults), so
/// whoever tries many waits, and the page stays within its memory.
static CHECKS: Semaphore = Semaphore::const_new(2);
/// Shortest password, in characters (NIST SP 800-63B §3.1.1.2: at least 15 where it is the only factor; an
/// office's page has growing waits besides).
const SHORTEST_PASSWORD: usize = 12;
/// Longest password, in bytes, so that hashing takes a bounded time.
const LONGEST_PASSWORD: usize = 1024;

/// A file of clerks that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ClerkFileError {
    /// The file cannot be read, or everyone may write it.
    #[error("{}: {source}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        source: chapar_files::SecretError,
    },
    /// The file is not as it should be.
    #[error("{}: {problem}", file.display())]
    Malformed {
        /// The file.
        file: PathBuf,
        /// What is wrong, without a hash.
        problem: String,
    },
    /// A password that is too short, or too long.
    #[error("a password has {SHORTEST_PASSWORD} characters to {LONGEST_PASSWORD} bytes")]
    Password,
    /// No random salt could be made, or no hash.
    #[error("no hash could be made")]
    Hash,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    clerk: Vec<RawClerk>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawClerk {
    id: String,
    name: String,
    password: String,
}

/// Someone who may sign in.
#[derive(Clone, Debug)]
pub(crate) struct Clerk {
    /// As the record of each call names them.
    pub(crate) id: ClerkId,
    /// As the page greets them.
    pub(crate) name: String,
    hash: String,
}

/// Reads the file.
///
/// # Errors
/// [`ClerkFileError`].
pub(crate) fn read(file: &Path) -> Result<Vec<Clerk>, ClerkFileError> {
    // Whoever writes this file signs in as anyone, and whoever reads it may guess at leisure.
    let text = chapar_files::read_secret(file)
        .map_err(|source| ClerkFileError::Unreadable { file: file.to_owned(), source })?;
    let fault = |problem: String| ClerkFileError::Malformed { file: file.to_owned(), problem };
    // The parser's own message shows the line, which may be a hash.
    let parsed: File = toml::from_str(&text).map_err(|error| fault(error.message().to_owned()))?;
    let mut clerks: Vec<Clerk> = Vec::new();
    for raw in parsed.clerk {
        let id: ClerkId = raw.id.parse().map_err(|error| fault(format!("`{}` is {error}", raw.id)))?;
        if clerks.iter().any(|clerk| clerk.id == id) {
            return Err(fault(format!("`{id}` is there twice")));
        }
        if !is_own_hash(&raw.password) {
            let problem = format!(
                "the password of `{id}` is no argon2id hash with m=19456,t=2,p=1: `chapar counter hash` makes one"
            );
            return Err(fault(problem));
        }
        clerks.push(Clerk { id, name: raw.name, hash: raw.password });
    }
    Ok(clerks)
}

/// Whether a text is a hash as `chapar counter hash` makes it. One with other parameters would take another
/// time than that of nobody, or the page's whole memory.
fn is_own_hash(text: &str) -> bool {
    let Ok(hash) = PasswordHash::new(text) else { return false };
    let parameters = argon2::Params::try_from(&hash);
    let is_argon2id = hash.algorithm == argon2::ARGON2ID_IDENT && hash.hash.is_some() && hash.salt.is_some();
    let is_default = parameters.is_ok_and(|parameters| {
        let default = argon2::Params::DEFAULT;
        (parameters.m_cost(), parameters.t_cost(), parameters.p_cost())
            == (default.m_cost(), default.t_cost(), default.p_cost())
    });
    is_argon2id && is_default
}

/// The clerk of this id, if the password is theirs. It takes as long for an id that there is not, so that
/// nobody learns who works here.
///
/// # Errors
/// [`ClerkFileError`] of the file.
pub(crate) async fn sign_in(file: &Path, id: &str, password: &str) -> Result<Option<Clerk>, ClerkFileError> {
    // Never closed, so there is always a permit at last.
    let permit = CHECKS.acquire().await;
    let (file, id, password) = (file.to_owned(), id.to_owned(), password.to_owned());
    let checking = move || {
        // Held until the hash is made, also if whoever asked is gone: the thread cannot be stopped.
        let _permit = permit;
        let clerk = read(&file)?.into_iter().find(|clerk| clerk.id.as_str() == id);
        let is_right = is_right(&password, clerk.as_ref().map_or(NOBODY.as_str(), |clerk| &clerk.hash));
        Ok(clerk.filter(|_| is_right))
    };
    tokio::task::spawn_blocking(checking).await.unwrap_or(Ok(None))
}

/// The hash of a password that nobody knows.
static NOBODY: LazyLock<String> = LazyLock::new(|| {
    let mut password = [0; 32];
    let made = aws_lc_rs::rand::fill(&mut password).map_err(|_| ClerkFileError::Hash);
    // Without it a check fails all the same, only sooner.
    made.and_then(|()| hash(&password)).unwrap_or_default()
});

/// Makes the hash of nobody before the first sign-in, which would take twice the time otherwise.
pub(crate) fn prepare() {
    LazyLock::force(&NOBODY);
}

fn is_right(password: &str, hash: &str) -> bool {
    if password.len() > LONGEST_PASSWORD {
        return false;
    }
    let parsed = PasswordHash::new(hash);
    parsed.is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
}

/// The argon2id hash of a password, as `clerks.toml` holds it (PHC string format).
///
/// # Errors
/// [`ClerkFileError::Password`] for one that is too short or too long.
pub fn hash_password(password: &str) -> Result<String, ClerkFileError> {
    if password.chars().count() < SHORTEST_PASSWORD || password.len() > LONGEST_PASSWORD {
        return Err(ClerkFileError::Password);
    }
    hash(password.as_bytes())
}

fn hash(password: &[u8]) -> Result<String, ClerkFileError> {
    let mut salt = [0; 16];
    aws_lc_rs::rand::fill(&mut salt).map_err(|_| ClerkFileError::Hash)?;
    let salt = SaltString::encode_b64(&salt).map_err(|_| ClerkFileError::Hash)?;
    let hash = Argon2::default().hash_password(password, &salt).map_err(|_| ClerkFileError::Hash)?;
    Ok(hash.to_string())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("clerks.toml");
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        (folder, file)
    }

    fn clerk(id: &str, hash: &str) -> String {
        format!("[[clerk]]\nid = \"{id}\"\nname = \"Z\"\npassword = \"{hash}\"\n")
    }

    #[tokio::test]
    async fn a_clerk_signs_in_with_the_right_password_alone() {
        let hash = hash_password("correct horse battery").unwrap();
        let (_folder, file) = file(&clerk("z.karimi", &hash));
        let sign_in = async |id: &str, password: &str| {
            sign_in(&file, id, password).await.unwrap().map(|clerk| clerk.id.to_string())
        };
        assert_eq!(sign_in("z.karimi", "correct horse battery").await.as_deref(), Some("z.karimi"));
        assert_eq!(sign_in("z.karimi", "correct horse batterx").await, None);
        assert_eq!(sign_in("Z.karimi", "correct horse battery").await, None);
        assert_eq!(sign_in("nobody", "correct horse battery").await, None);
    }

    #[test]
    fn a_file_with_a_fault_is_refused_without_showing_a_hash() {
        let good = hash_password("correct horse battery").unwrap();
        let bcrypt = "$2b$12$abcdefghijklmnopqrstuv";
        for (text, problem) in [
            (clerk("two words", &good), "not a valid clerk"),
            (clerk("a", &good) + &clerk("a", &good), "`a` is there twice"),
            (clerk("a", bcrypt), "is no argon2id hash"),
            (clerk("a", &good.replace("m=19456", "m=4194304")), "is no argon2id hash with m=19456"),
            (clerk("a", &good.replace("$argon2id", "$argon2i")), "is no argon2id hash with m=19456"),
            (clerk("a", &good).replace("name", "nmae"), "unknown field `nmae`"),
        ] {
            let (_folder, file) = file(&text);
            let told = read(&file).unwrap_err().to_string();
            assert!(told.contains(problem), "{problem}: {told}");
            assert!(!told.contains("$argon2id$v=19$m") && !told.contains("$2b$"), "{told}");
        }
        let (_folder, file) = file(&clerk("a", &good));
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(read(&file), Err(ClerkFileError::Unreadable { .. })));
    }

    #[test]
    fn short_passwords_get_no_hash() {
        assert!(hash_password("eleven char").is_err());
        assert!(hash_password(&"x".repeat(1025)).is_err());
        assert!(hash_password("گذرواژه‌ای بلند").is_ok());
    }
}

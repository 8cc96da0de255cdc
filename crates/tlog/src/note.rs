//! This module implements signed notes with Ed25519 (C2SP `signed-note`): a text, and lines that sign it.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{Context, SHA256};
use aws_lc_rs::rand;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Signature type of Ed25519 (C2SP `signed-note`, "Signature types").
const ALGORITHM: u8 = 1;

/// A text that is no key.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a note key: it must be `NAME+HASH+BASE64`, with an Ed25519 key and the hash of that key")]
pub struct KeyError;

/// A note that is malformed or not signed by the key.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NoteError {
    /// It is no note.
    #[error("not a signed note")]
    Malformed,
    /// No line is of the key.
    #[error("not signed by the key")]
    Unsigned,
    /// The key's line does not verify.
    #[error("the signature does not verify")]
    Invalid,
}

/// The public half: `NAME+HASH+BASE64(1 ‖ key)`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct VerifierKey {
    name: String,
    hash: [u8; 4],
    key: [u8; 32],
}

impl VerifierKey {
    /// The name of who signs, e.g. a log's origin.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether this is the same Ed25519 key, under whatever name.
    pub fn is_same_key(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&key_text(&self.name, self.hash, ALGORITHM, &self.key))
    }
}

impl FromStr for VerifierKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let (name, hash, key) = parts(text.trim(), ALGORITHM)?;
        let verifier = Self { name: name.to_owned(), hash: key_hash(name, ALGORITHM, &key), key };
        if verifier.hash == hash { Ok(verifier) } else { Err(KeyError) }
    }
}

/// The private half: `PRIVATE+KEY+NAME+HASH+BASE64(1 ‖ seed)`.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    seed: [u8; 32],
    public: VerifierKey,
}

impl SigningKey {
    /// A new key from the system's randomness.
    ///
    /// # Errors
    /// [`KeyError`] if the name is empty or holds a space or `+`, or there is no randomness.
    pub fn generate(name: &str) -> Result<Self, KeyError> {
        let mut seed = [0; 32];
        rand::fill(&mut seed).map_err(|_| KeyError)?;
        Self::from_seed(name, seed)
    }

    fn from_seed(name: &str, seed: [u8; 32]) -> Result<Self, KeyError> {
        if !is_name(name) {
            return Err(KeyError);
        }
        // Unchecked, because no public key is given to compare with.
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| KeyError)?;
        let key: [u8; 32] = pair.public_key().as_ref().try_into().map_err(|_| KeyError)?;
        let public = VerifierKey { name: name.to_owned(), hash: key_hash(name, ALGORITHM, &key), key };
        Ok(Self { pair, seed, public })
    }

    /// The public half.
    pub fn verifier(&self) -> &VerifierKey {
        &self.public
    }

    /// The key as text, to be kept in a file that no one else reads.
    pub fn to_secret_text(&self) -> String {
        format!("PRIVATE+KEY+{}", key_text(&self.public.name, self.public.hash, ALGORITHM, &self.seed))
    }
}

impl FromStr for SigningKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let (name, hash, seed) = parts(text.trim().strip_prefix("PRIVATE+KEY+").ok_or(KeyError)?, ALGORITHM)?;
        let key = Self::from_seed(name, seed)?;
        if key.public.hash == hash { Ok(key) } else { Err(KeyError) }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public.name)
    }
}

pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+')
}

/// Eight digits and no sign, which `from_str_radix` takes.
fn is_hash(hash: &str) -> bool {
    hash.len() == 8 && hash.bytes().all(|digit| digit.is_ascii_hexdigit())
}

/// A key of an algorithm as text: `NAME+HASH+BASE64(algorithm ‖ key)`.
pub(crate) fn key_text(name: &str, hash: [u8; 4], algorithm: u8, key: &[u8; 32]) -> String {
    let key = [&[algorithm], &key[..]].concat();
    format!("{name}+{:08x}+{}", u32::from_be_bytes(hash), STANDARD.encode(key))
}

/// Name, hash and key of such a text, which must be of that algorithm.
pub(crate) fn parts(text: &str, algorithm: u8) -> Result<(&str, [u8; 4], [u8; 32]), KeyError> {
    let (name, rest) = text.split_once('+').ok_or(KeyError)?;
    let (hash, key) = rest.split_once('+').ok_or(KeyError)?;
    let hash = u32::from_str_radix(hash, 16).ok().filter(|_| is_hash(hash)).ok_or(KeyError)?;
    let key = STANDARD.decode(key).map_err(|_| KeyError)?;
    // A key of another algorithm is refused: a witness's key must not pass for a log's.
    match key.split_first() {
        Some((found, key)) if *found == algorithm && is_name(name) => {
            Ok((name, hash.to_be_bytes(), key.try_into().map_err(|_| KeyError)?))
        }
        _ => Err(KeyError),
    }
}

/// The first four bytes of SHA-256(name ‖ newline ‖ algorithm ‖ key).
pub(crate) fn key_hash(name: &str, algorithm: u8, key: &[u8; 32]) -> [u8; 4] {
    let mut context = Context::new(&SHA256);
    for part in [name.as_bytes(), b"\n", &[algorithm], key] {
        context.update(part);
    }
    let mut hash = [0; 4];
    hash.copy_from_slice(&context.finish().as_ref()[..4]);
    hash
}

/// Signs a text, which must end in a newline; one is added if not.
pub fn sign_note(text: &str, key: &SigningKey) -> String {
    let text = if text.ends_with('\n') { text.to_owned() } else { format!("{text}\n") };
    let signature = key.pair.sign(text.as_bytes());
    let line = [&key.public.hash, signature.as_ref()].concat();
    format!("{text}\n— {} {}\n", key.public.name, STANDARD.encode(line))
}

/// One signature line of a note.
pub(crate) struct SignatureLine<'a> {
    pub(crate) name: &'a str,
    pub(crate) hash: [u8; 4],
    /// What follows the key's hash.
    pub(crate) signature: Vec<u8>,
}

/// The text of a note with its last newline, and its signature lines.
///
/// # Errors
/// [`NoteError::Malformed`] if it is no note; so is a line that is no signature line.
pub(crate) fn split(
    note: &str,
) -> Result<(&str, impl Iterator<Item = Result<SignatureLine<'_>, NoteError>>), NoteError> {
    // The last empty line separates text and signatures, because the text may contain empty lines.
    let at = note.rfind("\n\n").ok_or(NoteError::Malformed)?;
    let text = &note[..=at];
    let lines = &note[at + 2..];
    if lines.is_empty() || !lines.ends_with('\n') {
        return Err(NoteError::Malformed);
    }
    // Not `lines()`, which also takes a carriage return away: a note has one form (C2SP signed-note).
    Ok((text, lines.split_terminator('\n').map(signature_line)))
}

fn signature_line(line: &str) -> Result<SignatureLine<'_>, NoteError> {
    let (name, signature) =
        line.strip_prefix("— ").and_then(|line| line.split_once(' ')).ok_or(NoteError::Malformed)?;
    let bytes = STANDARD.decode(signature).map_err(|_| NoteError::Malformed)?;
    let (hash, signature) = bytes.split_first_chunk::<4>().ok_or(NoteError::Malformed)?;
    Ok(SignatureLine { name, hash: *hash, signature: signature.to_vec() })
}

/// The text of a note that `key` has signed; lines of other keys are passed over.
///
/// # Errors
/// [`NoteError`].
pub fn open_note<'a>(note: &'a str, key: &VerifierKey) -> Result<&'a str, NoteError> {
    let (text, lines) = split(note)?;
    let mut outcome = Err(NoteError::Unsigned);
    for line in lines {
        // Lines of other keys are skipped, but they must be well-formed.
        let line = line?;
        if line.name == key.name && line.hash == key.hash {
            let key = UnparsedPublicKey::new(&ED25519, &key.key);
            let verified = key.verify(text.as_bytes(), &line.signature);
            outcome = verified.map(|()| text).map_err(|_| NoteError::Invalid);
            // One bad signature under the key refuses the note, even beside a good one.
            outcome?;
        }
    }
    outcome
}

/// A note with the signature lines of `key` alone.
///
/// # Errors
/// As [`open_note`].
pub fn only_signed_by(note: &str, key: &VerifierKey) -> Result<String, NoteError> {
    let text = open_note(note, key)?;
    let lines = note.get(text.len() + 1..).unwrap_or_default().split_inclusive('\n');
    let is_own = |line: &&str| {
        signature_line(line.trim_end_matches('\n'))
            .is_ok_and(|line| line.name == key.name && line.hash == key.hash)
    };
    Ok(format!("{text}\n{}", lines.filter(is_own).collect::<String>()))
}

/// How many signature lines a note has.
///
/// # Errors
/// [`NoteError::Malformed`].
pub fn count_signatures(note: &str) -> Result<usize, NoteError> {
    let (_, lines) = split(note)?;
    lines.map(|line| line.map(|_| 1)).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The example of Go's `golang.org/x/mod/sumdb/note`, which C2SP `signed-note` follows.
    const SECRET: &str = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
    const PUBLIC: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const NOTE: &str = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

    #[test]
    fn a_note_with_a_byte_more_anywhere_does_not_open() {
        let key: VerifierKey = PUBLIC.parse().unwrap();
        assert!(open_note(NOTE, &key).is_ok());
        for at in (0..=NOTE.len()).filter(|at| NOTE.is_char_boundary(*at)) {
            for more in ["\r", "\n", " ", "\u{0}"] {
                let longer = [&NOTE[..at], more, &NOTE[at..]].concat();
                assert!(open_note(&longer, &key).is_err(), "{more:?} at {at}");
            }
        }
    }

    #[test]
    fn the_published_note_is_signed_and_opened_alike() {
        let (secret, public): (SigningKey, VerifierKey) = (SECRET.parse().unwrap(), PUBLIC.parse().unwrap());
        assert_eq!(
            (secret.verifier(), secret.to_secret_text().as_str(), public.to_string().as_str()),
            (&public, SECRET, PUBLIC)
        );
        let text = open_note(NOTE, &public).unwrap();
        assert_eq!(sign_note(text, &secret), NOTE);
    }

    #[test]
    fn an_altered_note_and_a_strangers_note_do_not_open() {
        let public: VerifierKey = PUBLIC.parse().unwrap();
        assert_eq!(open_note(&NOTE.replace("answer", "Answer"), &public), Err(NoteError::Invalid));
        let stranger = SigningKey::generate("PeterNeumann").unwrap();
        assert_eq!(open_note(&sign_note("text\n", &stranger), &public), Err(NoteError::Unsigned));
        for malformed in ["", "text", "text\n\n", "text\n\nnonsense\n"] {
            assert_eq!(open_note(malformed, &public), Err(NoteError::Malformed), "{malformed:?}");
        }
    }

    #[test]
    fn no_bit_of_a_signed_note_can_be_flipped() {
        let public: VerifierKey = PUBLIC.parse().unwrap();
        for bit in 0..NOTE.len() * 8 {
            let mut altered = NOTE.as_bytes().to_vec();
            altered[bit / 8] ^= 1 << (bit % 8);
            let opened = std::str::from_utf8(&altered).ok().and_then(|note| open_note(note, &public).ok());
            assert_eq!(opened, None, "bit {bit}");
        }
    }

    #[test]
    fn a_note_signed_by_others_too_opens_with_each_of_their_keys() {
        let keys = ["log.example", "witness.example"].map(|name| SigningKey::generate(name).unwrap());
        let [log, witness] = keys.each_ref().map(|key| sign_note("text\n", key));
        let both = log + witness.split_once("\n\n").unwrap().1;
        for key in &keys {
            assert_eq!(open_note(&both, key.verifier()), Ok("text\n"));
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_as_note_and_key_without_a_panic(text in "(?s)(.{0,60}\n\n)?(— )?.{0,200}\n?") {
            let public: VerifierKey = PUBLIC.parse().unwrap();
            open_note(&text, &public).ok();
            text.parse::<VerifierKey>().ok();
            text.parse::<SigningKey>().ok();
            text.parse::<crate::Checkpoint>().ok();
        }
    }

    #[test]
    fn a_key_whose_hash_is_not_its_own_is_no_key() {
        assert_eq!(PUBLIC.replace("c74f20a3", "c74f20a4").parse::<VerifierKey>(), Err(KeyError));
        assert!(SigningKey::generate("two words").is_err());
    }
}

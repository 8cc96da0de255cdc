//! This module implements cosignatures of witnesses (C2SP `tlog-cosignature`, type `cosignature/v1` with
//! Ed25519): a line of a checkpoint's note by which a witness says that it saw this checkpoint at a time, and
//! that it extends all others that the witness saw of this log.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::rand;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::note::{self, KeyError, NoteError};

/// Signature type of a timestamped Ed25519 cosignature (C2SP `signed-note`, "Signature types").
const ALGORITHM: u8 = 4;

/// The public half of a witness's key: `NAME+HASH+BASE64(4 ‖ key)`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CosignerKey {
    name: String,
    hash: [u8; 4],
    key: [u8; 32],
}

impl CosignerKey {
    /// The witness's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether this is the same Ed25519 key, under whatever name.
    pub fn is_same_key(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl fmt::Display for CosignerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&note::key_text(&self.name, self.hash, ALGORITHM, &self.key))
    }
}

impl FromStr for CosignerKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let (name, hash, key) = note::parts(text.trim(), ALGORITHM)?;
        let cosigner = Self { name: name.to_owned(), hash: note::key_hash(name, ALGORITHM, &key), key };
        if cosigner.hash == hash { Ok(cosigner) } else { Err(KeyError) }
    }
}

/// The private half of a witness's key: `PRIVATE+KEY+NAME+HASH+BASE64(4 ‖ seed)`.
pub struct WitnessKey {
    pair: Ed25519KeyPair,
    seed: [u8; 32],
    public: CosignerKey,
}

impl WitnessKey {
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
        if !note::is_name(name) {
            return Err(KeyError);
        }
        // Unchecked, because no public key is given to compare with.
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| KeyError)?;
        let key: [u8; 32] = pair.public_key().as_ref().try_into().map_err(|_| KeyError)?;
        let public = CosignerKey { name: name.to_owned(), hash: note::key_hash(name, ALGORITHM, &key), key };
        Ok(Self { pair, seed, public })
    }

    /// The public half.
    pub fn cosigner(&self) -> &CosignerKey {
        &self.public
    }

    /// The key as text, to be kept in a file that no one else reads.
    pub fn to_secret_text(&self) -> String {
        let public = note::key_text(&self.public.name, self.public.hash, ALGORITHM, &self.seed);
        format!("PRIVATE+KEY+{public}")
    }

    /// The signature line, with its newline, that cosigns a checkpoint's `text` (with its last newline) as
    /// seen at `time`, in seconds since the Unix epoch.
    pub fn cosign(&self, text: &str, time: u64) -> String {
        let signature = self.pair.sign(signed_text(text, time).as_bytes());
        let line = [&self.public.hash[..], &time.to_be_bytes(), signature.as_ref()].concat();
        format!("— {} {}\n", self.public.name, STANDARD.encode(line))
    }
}

impl FromStr for WitnessKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let secret = text.trim().strip_prefix("PRIVATE+KEY+").ok_or(KeyError)?;
        let (name, hash, seed) = note::parts(secret, ALGORITHM)?;
        let key = Self::from_seed(name, seed)?;
        if key.public.hash == hash { Ok(key) } else { Err(KeyError) }
    }
}

impl fmt::Debug for WitnessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WitnessKey({})", self.public.name)
    }
}

/// What a cosignature signs: a line that names its type, the time, and the text of the checkpoint.
fn signed_text(text: &str, time: u64) -> String {
    format!("cosignature/v1\ntime {time}\n{text}")
}

/// When the witness `key` cosigned a checkpoint's note, in seconds since the Unix epoch; lines of other keys
/// are passed over.
///
/// # Errors
/// [`NoteError`]; one line under the key that does not verify refuses the note, even beside a good one.
pub fn cosigned_at(note: &str, key: &CosignerKey) -> Result<u64, NoteError> {
    let (text, lines) = note::split(note)?;
    let mut outcome = Err(NoteError::Unsigned);
    for line in lines {
        let line = line?;
        if line.name != key.name || line.hash != key.hash {
            continue;
        }
        let (time, signature) = line.signature.split_first_chunk::<8>().ok_or(NoteError::Invalid)?;
        let time = u64::from_be_bytes(*time);
        let verified =
            UnparsedPublicKey::new(&ED25519, &key.key).verify(signed_text(text, time).as_bytes(), signature);
        outcome = verified.map(|()| time).map_err(|_| NoteError::Invalid);
        outcome?;
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SigningKey, open_note, sign_note};

    const TEXT: &str = "log.example/1\n7\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";

    #[test]
    fn a_cosigned_checkpoint_tells_when_and_still_opens_with_the_logs_key() {
        let (log, witness) =
            (SigningKey::generate("log.example/1").unwrap(), WitnessKey::generate("w.example").unwrap());
        let note = sign_note(TEXT, &log) + &witness.cosign(TEXT, 1_790_000_000);
        assert_eq!(cosigned_at(&note, witness.cosigner()), Ok(1_790_000_000));
        assert_eq!(open_note(&note, log.verifier()), Ok(TEXT));
        let stranger = WitnessKey::generate("w.example").unwrap();
        assert_eq!(cosigned_at(&note, stranger.cosigner()), Err(NoteError::Unsigned));
    }

    #[test]
    fn no_bit_of_a_cosigned_note_can_be_flipped_unseen() {
        let (log, witness) =
            (SigningKey::generate("log.example/1").unwrap(), WitnessKey::generate("w.example").unwrap());
        let note = sign_note(TEXT, &log) + &witness.cosign(TEXT, 1_790_000_000);
        for bit in 0..note.len() * 8 {
            let mut altered = note.as_bytes().to_vec();
            altered[bit / 8] ^= 1 << (bit % 8);
            let opened = std::str::from_utf8(&altered).ok().filter(|note| {
                open_note(note, log.verifier()).is_ok() && cosigned_at(note, witness.cosigner()).is_ok()
            });
            assert_eq!(opened, None, "bit {bit}");
        }
    }

    #[test]
    fn a_cosignature_is_no_signature_of_a_log_and_its_key_no_key_of_a_log() {
        let witness = WitnessKey::generate("log.example/1").unwrap();
        let key = witness.cosigner().to_string();
        assert_eq!(key.parse().as_ref(), Ok(witness.cosigner()));
        assert_eq!(key.parse::<crate::VerifierKey>(), Err(KeyError));
        let secret = witness.to_secret_text();
        assert_eq!(secret.parse::<WitnessKey>().unwrap().cosigner(), witness.cosigner());
        assert!(secret.parse::<SigningKey>().is_err());
        let log = SigningKey::generate("log.example/1").unwrap();
        assert_eq!(log.verifier().to_string().parse::<CosignerKey>(), Err(KeyError));
    }
}

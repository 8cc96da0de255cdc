//! `Witnesses` are the keys of those who cosign a log's checkpoints, and how many of them must have done so:
//! whoever holds the log's own key alone cannot make a checkpoint that passes.

use std::fmt;

use chapar_tlog::{CosignerKey, NoteError, cosigned_at};
use jiff::Timestamp;

/// Witnesses of which a number must have cosigned a checkpoint.
#[derive(Clone, Debug, Default)]
pub struct Witnesses {
    keys: Vec<CosignerKey>,
    quorum: usize,
}

/// A witness that has cosigned a checkpoint.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Cosigned {
    /// The witness's name.
    pub witness: String,
    /// When it cosigned, by its own clock: seconds since the Unix epoch.
    pub time: u64,
}

impl fmt::Display for Cosigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let when = i64::try_from(self.time).ok().and_then(|time| Timestamp::from_second(time).ok());
        match when {
            Some(when) => write!(f, "{} on {when}", self.witness),
            None => write!(f, "{} at an unknown time", self.witness),
        }
    }
}

/// Why keys and a number make no policy.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum WitnessesError {
    /// A number that cannot be had, or that asks for nothing.
    #[error("the quorum is from 1 to the number of witnesses")]
    Quorum,
    /// One witness would count as two.
    #[error("two witnesses have the same name or the same key")]
    Twice,
}

impl Witnesses {
    /// Witnesses of which `quorum` must have cosigned.
    ///
    /// # Errors
    /// [`WitnessesError`].
    pub fn new(keys: Vec<CosignerKey>, quorum: usize) -> Result<Self, WitnessesError> {
        let is_twice = |(number, key): (usize, &CosignerKey)| {
            keys.iter().take(number).any(|known| known.name() == key.name() || known.is_same_key(key))
        };
        if keys.iter().enumerate().any(is_twice) {
            return Err(WitnessesError::Twice);
        }
        if !(1..=keys.len()).contains(&quorum) {
            return Err(WitnessesError::Quorum);
        }
        Ok(Self { keys, quorum })
    }

    /// Their keys.
    pub fn keys(&self) -> &[CosignerKey] {
        &self.keys
    }

    /// How many must have cosigned.
    pub fn quorum(&self) -> usize {
        self.quorum
    }

    /// Those that have cosigned the checkpoint of this note, in the order of the keys.
    ///
    /// # Errors
    /// A sentence, if fewer than the quorum have, or a cosignature does not verify.
    pub fn check(&self, note: &str) -> Result<Vec<Cosigned>, &'static str> {
        let mut cosigned = Vec::new();
        for key in &self.keys {
            match cosigned_at(note, key) {
                Ok(time) => cosigned.push(Cosigned { witness: key.name().to_owned(), time }),
                Err(NoteError::Unsigned) => {}
                Err(_) => return Err("has a cosignature that does not verify"),
            }
        }
        if cosigned.len() < self.quorum {
            return Err("has a checkpoint that too few of the named witnesses cosigned");
        }
        Ok(cosigned)
    }
}

#[cfg(test)]
mod tests {
    use chapar_tlog::{SigningKey, WitnessKey, sign_note};

    use super::*;

    const TEXT: &str = "o\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";

    #[test]
    fn as_many_as_the_quorum_must_have_cosigned_and_none_wrongly() {
        let keys = ["a", "b", "c"].map(|name| WitnessKey::generate(name).unwrap());
        let public = || keys.iter().map(|key| key.cosigner().clone()).collect::<Vec<_>>();
        let note = sign_note(TEXT, &SigningKey::generate("o").unwrap());
        let [a, b, c] = keys.each_ref().map(|key| key.cosign(TEXT, 5));
        let two = Witnesses::new(public(), 2).unwrap();
        assert!(two.check(&note).is_err());
        assert!(two.check(&format!("{note}{a}")).is_err());
        // One witness that signs twice is one.
        assert!(two.check(&format!("{note}{a}{a}")).is_err());
        let names = |note: &str| -> Vec<String> {
            two.check(note).unwrap().into_iter().map(|cosigned| cosigned.witness).collect()
        };
        assert_eq!(names(&format!("{note}{c}{a}")), ["a", "c"]);
        assert_eq!(names(&format!("{note}{a}{b}{c}")), ["a", "b", "c"]);
        // A cosignature of another checkpoint, under a known key.
        let foreign = keys[2].cosign(&TEXT.replace("o\n1", "o\n2"), 5);
        assert!(two.check(&format!("{note}{a}{b}{foreign}")).is_err());
    }

    #[test]
    fn a_policy_needs_different_witnesses_and_a_quorum_of_them() {
        let key = |name| WitnessKey::generate(name).unwrap().cosigner().clone();
        let (a, b) = (key("a"), key("b"));
        let of = |keys: &[&CosignerKey], quorum| {
            Witnesses::new(keys.iter().map(|key| (*key).clone()).collect(), quorum).map(|_| ())
        };
        assert_eq!(of(&[&a, &b], 2), Ok(()));
        for quorum in [0, 3] {
            assert_eq!(of(&[&a, &b], quorum), Err(WitnessesError::Quorum));
        }
        assert_eq!(of(&[&a, &a], 1), Err(WitnessesError::Twice));
        assert_eq!(of(&[&a, &key("a")], 1), Err(WitnessesError::Twice));
    }
}

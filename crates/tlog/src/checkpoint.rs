//! `Checkpoint` is what a log commits to: origin, size and root hash, in three lines (C2SP
//! `tlog-checkpoint`).

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::hash::{EMPTY_ROOT, Hash};
use crate::note::NoteError;

/// Origin, size and root of a log at one time.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Checkpoint {
    /// The log's name.
    pub origin: String,
    /// Entries.
    pub size: u64,
    /// The root of their tree.
    pub root: Hash,
}

impl Checkpoint {
    /// The checkpoint of a log without entries, which every other one of it extends.
    pub fn empty(origin: &str) -> Self {
        Self { origin: origin.to_owned(), size: 0, root: EMPTY_ROOT }
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n{}", self.origin, self.size, STANDARD.encode(self.root))
    }
}

impl FromStr for Checkpoint {
    type Err = NoteError;

    /// Reads a note's text; extension lines after the third, none of them empty, are passed over.
    fn from_str(text: &str) -> Result<Self, NoteError> {
        let mut lines = text.split_terminator('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
            return Err(NoteError::Malformed);
        };
        // Signs and leading zeros are refused, because a signed text must have one form.
        let digits = !size.is_empty()
            && size.bytes().all(|b| b.is_ascii_digit())
            && (size == "0" || !size.starts_with('0'));
        // An empty line would look like the end of the text.
        if lines.any(str::is_empty) {
            return Err(NoteError::Malformed);
        }
        let root = STANDARD.decode(root).ok().and_then(|root| root.try_into().ok());
        match (size.parse(), root) {
            (Ok(size), Some(root)) if digits && !origin.is_empty() && text.ends_with('\n') => {
                Ok(Self { origin: origin.to_owned(), size, root })
            }
            _ => Err(NoteError::Malformed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_is_its_text_and_back() {
        let checkpoint = Checkpoint { origin: "bus.example/evidence".to_owned(), size: 42, root: [7; 32] };
        assert_eq!(checkpoint.to_string().parse(), Ok(checkpoint));
    }

    #[test]
    fn other_texts_are_no_checkpoints() {
        let root = STANDARD.encode([7; 32]);
        for text in [
            String::new(),
            "o\n1\n".into(),
            format!("o\n01\n{root}\n"),
            format!("o\n-1\n{root}\n"),
            format!("\n1\n{root}\n"),
            "o\n1\nAAAA\n".into(),
            format!("o\n1\n{root}\n\nx\n"),
        ] {
            assert_eq!(text.parse::<Checkpoint>(), Err(NoteError::Malformed), "{text:?}");
        }
    }
}

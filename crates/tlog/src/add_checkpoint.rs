//! `AddCheckpoint` is the body of `POST /add-checkpoint` to a witness (C2SP `tlog-witness`): the size that
//! the log believes the witness to know, the proof that the checkpoint extends it, and the checkpoint's note.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::hash::Hash;

/// A proof has at most so many hashes (C2SP `tlog-witness`).
const MAX_PROOF: usize = 63;

/// What a log asks of a witness.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AddCheckpoint {
    /// The size of the last checkpoint that the witness has cosigned, as the log believes; 0 for none.
    pub old: u64,
    /// The consistency proof from `old` to the checkpoint's size (RFC 6962 §2.1.2); at most 63 hashes.
    pub proof: Vec<Hash>,
    /// The checkpoint's signed note.
    pub checkpoint: String,
}

/// A text that is no such request.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not an add-checkpoint request")]
pub struct AddCheckpointError;

impl AddCheckpoint {
    /// The largest body in bytes that a witness reads: 63 lines of proof and a note with many signatures.
    pub const MAX_BYTES: usize = 16 << 10;

    /// The request's body.
    pub fn to_text(&self) -> String {
        let mut text = format!("old {}\n", self.old);
        for hash in &self.proof {
            text.push_str(&STANDARD.encode(hash));
            text.push('\n');
        }
        text.push('\n');
        text.push_str(&self.checkpoint);
        text
    }

    /// Reads a request's body. Nothing is verified.
    ///
    /// # Errors
    /// [`AddCheckpointError`] if it is not of this form.
    pub fn parse(text: &str) -> Result<Self, AddCheckpointError> {
        let (head, checkpoint) = text.split_once("\n\n").ok_or(AddCheckpointError)?;
        let mut lines = head.split('\n');
        let old = lines.next().and_then(|line| line.strip_prefix("old ")).ok_or(AddCheckpointError)?;
        // Signs and leading zeros are refused: a number has one form.
        let is_plain =
            old.bytes().all(|digit| digit.is_ascii_digit()) && (old == "0" || !old.starts_with('0'));
        let old = old.parse().ok().filter(|_| is_plain).ok_or(AddCheckpointError)?;
        let hash = |line: &str| STANDARD.decode(line).ok()?.try_into().ok();
        let proof: Vec<Hash> =
            lines.map(|line| hash(line).ok_or(AddCheckpointError)).collect::<Result<_, _>>()?;
        if proof.len() > MAX_PROOF {
            return Err(AddCheckpointError);
        }
        Ok(Self { old, proof, checkpoint: checkpoint.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_its_text_and_back() {
        for proof in [vec![], vec![[7; 32]], vec![[1; 32]; MAX_PROOF]] {
            let request = AddCheckpoint { old: 12, proof, checkpoint: "o\n13\nx\n\n— o AAAA\n".to_owned() };
            assert_eq!(AddCheckpoint::parse(&request.to_text()), Ok(request));
        }
    }

    #[test]
    fn other_texts_are_no_requests() {
        let hash = STANDARD.encode([7; 32]);
        let many = format!("old 1\n{}\nnote\n", format!("{hash}\n").repeat(MAX_PROOF + 1));
        for text in [
            "",
            "old 1\nnote",
            "old -1\n\nnote\n",
            "old 01\n\nnote\n",
            "old +1\n\nn",
            "new 1\n\nnote\n",
            "old 1\nAAAA\n\nnote\n",
            "old 1\r\n\nnote\n",
            "old 18446744073709551616\n\nnote\n",
            &many,
        ] {
            assert_eq!(AddCheckpoint::parse(text), Err(AddCheckpointError), "{text:?}");
        }
    }
}

//! This module writes and reads a proof as one file: index, hashes and the signed checkpoint, with extra data
//! of the application (C2SP `tlog-proof`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::hash::Hash;

/// First line of a proof file (C2SP `tlog-proof`).
const HEADER: &str = "c2sp.org/tlog-proof@v1";

/// A text that is no proof file.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a proof file (c2sp.org/tlog-proof@v1)")]
pub struct ProofFileError;

/// The parts of a proof file. Nothing in it is verified yet.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ProofFile {
    /// Data of the application; empty if there is none.
    pub extra: Vec<u8>,
    /// The entry's index.
    pub index: u64,
    /// The inclusion proof, from leaf to root.
    pub proof: Vec<Hash>,
    /// The signed checkpoint.
    pub checkpoint: String,
}

impl ProofFile {
    /// The file's text.
    pub fn to_text(&self) -> String {
        let mut text = format!("{HEADER}\n");
        if !self.extra.is_empty() {
            text.push_str(&format!("extra {}\n", STANDARD.encode(&self.extra)));
        }
        text.push_str(&format!("index {}\n", self.index));
        for hash in &self.proof {
            text.push_str(&format!("{}\n", STANDARD.encode(hash)));
        }
        text + "\n" + &self.checkpoint
    }

    /// Reads a file's text: the form that [`ProofFile::to_text`] writes and no other.
    ///
    /// # Errors
    /// [`ProofFileError`].
    pub fn parse(text: &str) -> Result<Self, ProofFileError> {
        let (head, checkpoint) = text.split_once("\n\n").ok_or(ProofFileError)?;
        let mut lines = head.split('\n').peekable();
        if lines.next() != Some(HEADER) {
            return Err(ProofFileError);
        }
        let extra = match lines.next_if(|line| line.starts_with("extra ")) {
            Some(line) => STANDARD.decode(&line["extra ".len()..]).map_err(|_| ProofFileError)?,
            None => Vec::new(),
        };
        let index = lines.next().and_then(|line| line.strip_prefix("index ")).ok_or(ProofFileError)?;
        let hash = |line: &str| STANDARD.decode(line).ok().and_then(|hash| hash.try_into().ok());
        let proof = lines.map(hash).collect::<Option<Vec<Hash>>>().ok_or(ProofFileError)?;
        let file = Self {
            extra,
            index: index.parse().map_err(|_| ProofFileError)?,
            proof,
            checkpoint: checkpoint.to_owned(),
        };
        // The text is written again and compared, so that a proof has one form only.
        if file.proof.len() <= 63 && file.to_text() == text { Ok(file) } else { Err(ProofFileError) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_proof_file_is_its_text_and_back(
            extra in proptest::collection::vec(any::<u8>(), 0..400),
            index: u64,
            proof in proptest::collection::vec(any::<[u8; 32]>(), 0..63),
            checkpoint in "[^\\n]{1,20}\\n[0-9]{1,9}\\n[A-Za-z0-9+/=]{0,44}\\n\\n[^\\n]{0,80}\\n",
        ) {
            let file = ProofFile { extra, index, proof, checkpoint };
            prop_assert_eq!(ProofFile::parse(&file.to_text()), Ok(file));
        }

        #[test]
        fn a_text_that_parses_is_the_one_form_of_its_file(
            text in "c2sp.org/tlog-proof@v1\\n(extra [A-Za-z0-9+/=]{0,8}\\n)?index [0-9]{1,3}\\n([A-Za-z0-9+/=]{43,45}\\n){0,2}\\n\\PC{0,9}",
        ) {
            if let Ok(file) = ProofFile::parse(&text) {
                prop_assert_eq!(file.to_text(), text);
            }
        }

        #[test]
        fn any_text_is_read_without_a_panic(text in "(?s).{0,300}") {
            ProofFile::parse(&text).ok();
        }
    }

    #[test]
    fn a_proof_file_is_its_text_and_back() {
        let file = ProofFile {
            extra: b"extra".to_vec(),
            index: 7,
            proof: vec![[1; 32], [2; 32]],
            checkpoint: "o\n8\nAA==\n\n— o AA==\n".to_owned(),
        };
        assert_eq!(ProofFile::parse(&file.to_text()), Ok(file.clone()));
        let bare = ProofFile { extra: Vec::new(), proof: Vec::new(), ..file };
        assert_eq!(ProofFile::parse(&bare.to_text()), Ok(bare));
    }

    #[test]
    fn other_texts_are_no_proof_files() {
        for text in [
            "",
            "c2sp.org/tlog-proof@v1\n",
            "c2sp.org/tlog-proof@v2\nindex 1\n\nx",
            "c2sp.org/tlog-proof@v1\nindex 01\n\nx",
            "c2sp.org/tlog-proof@v1\nindex 1\nAAAA\n\nx",
        ] {
            assert_eq!(ProofFile::parse(text), Err(ProofFileError), "{text:?}");
        }
    }
}

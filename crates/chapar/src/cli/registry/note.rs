//! This module writes and reads a plan as a signed note (C2SP `signed-note`): the text of the plan stands
//! under two lines that say whose it is and when it was made, and has a signature for each approval. Any tool
//! for signed notes can check one without Chapar.

use chapar_registry::{Approvals, Plan};
use chapar_tlog::{SigningKey, VerifierKey, open_note, sign_note};
use jiff::Timestamp;

use crate::exit::{Exit, Failure};

/// The first line of the signed text. It separates plans from other notes, so that a signature on one kind
/// does not count for another.
const TITLE: &str = "chapar registry plan v2";

/// A plan with its author, and who has approved it.
pub(super) struct Note {
    /// The whole note, signatures included.
    text: String,
    pub(super) author: String,
    pub(super) made: Timestamp,
    /// The number of the generation that is changed.
    pub(super) generation: u64,
}

impl Note {
    /// A plan that no one has approved yet, signed by its author.
    pub(super) fn new(plan: &Plan, generation: u64, author: &SigningKey, made: Timestamp) -> Self {
        let name = author.verifier().name().to_owned();
        let mut note = Self { text: body(plan, generation, &name, made), author: name, made, generation };
        note.sign(author);
        note
    }

    pub(super) fn parse(text: &str) -> Result<Self, Failure> {
        let invalid = || Failure::new(Exit::Finding, "this file is not a plan of a registry");
        let mut lines = text.lines();
        if lines.next() != Some(TITLE) {
            return Err(invalid());
        }
        let mut word = |key: &str| lines.next().and_then(|line| line.strip_prefix(key)).map(str::trim);
        let author = word("author:").ok_or_else(invalid)?.to_owned();
        let made = word("made:").and_then(|made| made.parse().ok()).ok_or_else(invalid)?;
        let generation = word("generation:").and_then(|number| number.parse().ok()).ok_or_else(invalid)?;
        Ok(Self { text: text.to_owned(), author, made, generation })
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The text that is signed.
    pub(super) fn body(&self) -> &str {
        // A body ends with its summary; signatures begin with a dash after an empty line.
        self.text.find("\n\n— ").map_or(&self.text, |end| &self.text[..=end])
    }

    /// Whether the note's text is that of `plan`, to the last byte.
    pub(super) fn is_of(&self, plan: &Plan) -> bool {
        self.body() == body(plan, self.generation, &self.author, self.made)
    }

    /// Adds a signature: the author's, or an approval.
    pub(super) fn sign(&mut self, key: &SigningKey) {
        let signed = sign_note(self.body(), key);
        // `sign_note` returns text and signature; only the signature is added here.
        let line = &signed[self.body().len()..];
        let others = self.text[self.body().len()..].trim_start_matches('\n').to_owned();
        self.text = format!("{}{line}{others}", self.body());
    }

    /// The names on signatures other than these people's.
    pub(super) fn other_signatures(&self, signed: &[String]) -> Vec<&str> {
        let names = self.text[self.body().len()..]
            .lines()
            .filter_map(|line| line.strip_prefix("— ").and_then(|line| line.split_once(' ')));
        names.map(|(name, _)| name).filter(|name| !signed.iter().any(|one| one == name)).collect()
    }

    /// The approvers whose signatures verify. A signature under a registered key that does not verify is an
    /// error.
    pub(super) fn signed(&self, approvals: &Approvals) -> Result<Vec<String>, Failure> {
        let mut signed = Vec::new();
        for (id, key) in keys(approvals)? {
            match open_note(&self.text, &key) {
                Ok(text) if text == self.body() => signed.push(id),
                // There is no signature of this key on this text.
                Ok(_) | Err(chapar_tlog::NoteError::Unsigned | chapar_tlog::NoteError::Malformed) => {}
                Err(error) => {
                    return Err(Failure::new(Exit::Finding, format_args!("the signature of {id}: {error}")));
                }
            }
        }
        Ok(signed)
    }
}

fn body(plan: &Plan, generation: u64, author: &str, made: Timestamp) -> String {
    format!("{TITLE}\nauthor: {author}\nmade: {made}\ngeneration: {generation}\n{plan}")
}

/// The approvers' keys. No two are the same: one person under two names would approve twice.
pub(super) fn keys(approvals: &Approvals) -> Result<Vec<(String, VerifierKey)>, Failure> {
    let key = |approver: &chapar_registry::Approver| {
        let told = |error| {
            Failure::new(Exit::Finding, format_args!("the key of the approver {}: {error}", approver.id))
        };
        approver.key.parse::<VerifierKey>().map(|key| (approver.id.clone(), key)).map_err(told)
    };
    let keys: Vec<(String, VerifierKey)> = approvals.approvers().iter().map(key).collect::<Result<_, _>>()?;
    for (index, (id, key)) in keys.iter().enumerate() {
        if let Some((other, _)) = keys[..index].iter().find(|(_, other)| other.is_same_key(key)) {
            return Err(Failure::new(
                Exit::Finding,
                format_args!(
                    "the approvers {other} and {id} have the same key: each person has a key of their own"
                ),
            ));
        }
    }
    Ok(keys)
}

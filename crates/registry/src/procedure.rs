//! `Procedure` is what is asked about one citizen in one call: methods of several services, and where each
//! field of their requests comes from. It grants nothing: each part is decided by the grants, as a call of
//! its own.

use std::collections::BTreeSet;
use std::sync::Arc;

use chapar_contract::FieldPath;
use chapar_model::{MemberId, PartId, ProcedureId, Purpose, SubsystemId};

use crate::entry::{MethodEntry, Name};

/// Maximum number of parts: what one inquiry may ask.
pub const MAX_PARTS: usize = 16;

/// A procedure of the registry. Its loader has checked that each caller has a right to each part.
#[derive(Clone, Debug)]
pub struct Procedure {
    /// The name of its file.
    pub id: ProcedureId,
    /// For people.
    pub name: Name,
    /// The purpose of all parts.
    pub purpose: Purpose,
    /// The subsystems that may ask it; at least one.
    pub callers: BTreeSet<SubsystemId>,
    /// The member whose rights are used; the caller's own if absent.
    pub on_behalf_of: Option<MemberId>,
    /// What the citizen tells besides the national id.
    pub inputs: Vec<Input>,
    /// 1 to 16 parts, in the order of the file. A part takes values of parts before it alone.
    pub parts: Vec<Part>,
}

/// A text that whoever asks gives besides the citizen's id.
#[derive(Clone, Debug)]
pub struct Input {
    /// Unique in the procedure.
    pub id: PartId,
    /// For people.
    pub name: Name,
}

/// One method that a procedure asks.
#[derive(Clone, Debug)]
pub struct Part {
    /// Unique in the procedure.
    pub id: PartId,
    /// The method: one request, any number of answers.
    pub entry: Arc<MethodEntry>,
    /// The fields of the request.
    pub request: Vec<RequestField>,
    /// The paper that the answer makes unnecessary.
    pub replaces: Option<Name>,
}

/// One field of a part's request.
#[derive(Clone, Debug)]
pub struct RequestField {
    /// Where it is. All messages around it are singular, and so is the field.
    pub path: FieldPath,
    /// Where its value comes from.
    pub from: ValueSource,
}

/// Where a value comes from. It has the type of the field that it is for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ValueSource {
    /// The citizen's id, a text.
    Subject,
    /// The input at this place, a text.
    Input(usize),
    /// The answer of an earlier part of one message.
    Answer {
        /// Its place among the parts.
        part: usize,
        /// The field, which every caller of the procedure is granted. All messages around it are singular,
        /// and so is the field.
        path: FieldPath,
    },
}

impl ValueSource {
    /// The place of the part whose answer has the value, if it is one's.
    pub fn part(&self) -> Option<usize> {
        match self {
            Self::Answer { part, .. } => Some(*part),
            Self::Subject | Self::Input(_) => None,
        }
    }
}

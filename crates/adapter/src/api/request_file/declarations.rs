//! What a file's comments declare about the answer: where its rows and columns stand, and which statuses say
//! that there is no record.

use http::StatusCode;

use super::{Parser, RowsAt};
use crate::api::pointer::Pointer;
use crate::finding::Finding;
use crate::method_file::{Comment, Name};

/// What a file's comments declare about the answer.
#[derive(Default)]
pub(super) struct Declarations {
    pub(super) rows: Option<RowsAt>,
    pub(super) columns: Vec<(Name, Pointer)>,
    pub(super) no_record: Vec<StatusCode>,
}

impl Parser<'_> {
    pub(super) fn declarations(&self, comments: &[Comment<'_>]) -> Result<Declarations, Finding> {
        let mut found = Declarations::default();
        for comment in comments {
            let at = |message: &str| self.at(comment.offset, comment.length, message);
            let text = comment.text.trim();
            let rows = match text.split_once(':') {
                Some(("row", pointer)) => Some(RowsAt::One(Pointer::parse(pointer.trim()).map_err(at)?)),
                Some(("rows", pointer)) => Some(RowsAt::Many(Pointer::parse(pointer.trim()).map_err(at)?)),
                _ => None,
            };
            if let Some(rows) = rows {
                // Of two places the second would win unseen.
                if found.rows.replace(rows).is_some() {
                    return Err(at("a second declaration of where the rows are"));
                }
            } else if let Some(statuses) = text.strip_prefix("no record:") {
                for status in statuses.split(',').map(str::trim) {
                    found.no_record.push(no_record(status).map_err(at)?);
                }
            } else if let Some((name, pointer)) =
                text.strip_prefix("field ").and_then(|rest| rest.split_once(':'))
            {
                let name = comment.name(name);
                if found.columns.iter().any(|(known, _)| known.text == name.text) {
                    return Err(at(&format!("a second declaration about `{}`", name.text)));
                }
                found.columns.push((name, Pointer::parse(pointer.trim()).map_err(at)?));
            } else if let Some(meant) = meant(text) {
                return Err(at(&format!("this comment declares nothing: write `{meant}`")));
            }
        }
        Ok(found)
    }
}

/// The declaration that a comment would be if it were spelled right: passed over, it would leave the API's
/// answer without a meaning.
fn meant(text: &str) -> Option<String> {
    let (head, rest) = text.split_once(':')?;
    let head = head.trim();
    let rest = rest.trim();
    let is_like = |head: &str, word: &str| strsim::damerau_levenshtein(&head.to_lowercase(), word) <= 1;
    if let Some(word) = ["no record", "rows", "row"].into_iter().find(|word| is_like(head, word)) {
        return Some(format!("# {word}: {rest}"));
    }
    let (first, name) = head.split_once(' ')?;
    (is_like(first, "field") && rest.starts_with('/')).then(|| format!("# field {}: {rest}", name.trim()))
}

/// A status that says that there is no record.
fn no_record(text: &str) -> Result<StatusCode, &'static str> {
    let status = text.parse().ok().and_then(|code| StatusCode::from_u16(code).ok());
    match status {
        Some(status @ (StatusCode::NO_CONTENT | StatusCode::NOT_FOUND | StatusCode::GONE)) => Ok(status),
        // With another one an API that fails would look like one that has no such record.
        _ => Err(
            "`no record` takes the statuses 204, 404 and 410: no other says that there is none (RFC 9110 §15)",
        ),
    }
}

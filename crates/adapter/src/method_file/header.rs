//! `Header` parses the declarations in the comments that a method's file begins with: `unused: a, b`,
//! `sparse: a, b`, `page by: a DESC, b`, `column NAME: CONVERSION` and `bind NAME: FORM`, each after the mark
//! of a comment. Whether the names exist is checked in `check` and `bind`.

use super::{Name, Syntax};
use crate::conversion::Conversion;

/// One comment before the first word of a file.
pub(crate) struct Comment<'t> {
    pub(crate) text: &'t str,
    /// Whether it ends with its line: only such a comment declares something.
    pub(crate) is_line: bool,
    /// Where it stands in the file, in bytes.
    pub(crate) offset: usize,
    pub(crate) length: usize,
}

impl Comment<'_> {
    pub(crate) fn name(&self, text: &str) -> Name {
        Name { text: text.trim().to_owned(), offset: self.offset, length: self.length }
    }
}

/// What the leading comment declares.
#[derive(Clone, Debug, Default)]
pub(crate) struct Header {
    /// Request fields that the statement does not use.
    pub(super) unused: Vec<Name>,
    /// Columns of which NULL says something, such as a date of death.
    pub(super) sparse: Vec<Name>,
    /// Columns by which pages are ordered, and whether each falls.
    pub(super) page_by: Vec<Declared<bool>>,
    /// How columns become values of the contract.
    pub(super) columns: Vec<Declared<Conversion>>,
    /// In which form request fields are bound.
    pub(super) bound: Vec<Declared<BoundForm>>,
}

/// One declaration about one name.
#[derive(Clone, Debug)]
pub(crate) struct Declared<T> {
    pub(crate) name: Name,
    pub(crate) value: T,
}

/// The form in which a request field with a format is bound. Whatever the form, the field is checked first.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum BoundForm {
    /// As [`chapar_contract::Format::normalise`] gives it.
    #[default]
    Canonical,
    /// As the caller wrote it.
    Given,
    /// A mobile number as it is dialled inside the country: `09…`.
    National,
}

impl Header {
    /// Reads the comments before the first word: a comment further down declares nothing.
    ///
    /// # Errors
    /// The name that a declaration is about, and what is wrong with it.
    pub(crate) fn read<'t>(
        syntax: Syntax,
        comments: impl Iterator<Item = Comment<'t>>,
    ) -> Result<Self, (Name, String)> {
        let mut header = Self::default();
        for whole in comments {
            let comment = whole.text.trim();
            let name = |text: &str| whole.name(text);
            if let Some(meant) = meant(comment, whole.is_line) {
                let meant = syntax.comment(&meant);
                return Err((name(comment), format!("this comment declares nothing: write `{meant}`")));
            }
            // A block comment is prose, also where it holds such a word.
            if !whole.is_line {
                continue;
            }
            if let Some(names) = comment.strip_prefix("unused:") {
                header.unused.extend(names.split(',').map(name).filter(|name| !name.text.is_empty()));
            } else if let Some(names) = comment.strip_prefix("sparse:") {
                header.sparse.extend(names.split(',').map(name).filter(|name| !name.text.is_empty()));
            } else if let Some(keys) = comment.strip_prefix("page by:") {
                for key in keys.split(',') {
                    let (column, is_descending) = order(key).map_err(|message| (name(key), message))?;
                    header.page_by.push(Declared { name: name(column), value: is_descending });
                }
            } else if let Some((column, conversion)) = declaration(comment, "column ") {
                let name = name(column);
                let value = Conversion::parse(conversion).map_err(|message| (name.clone(), message))?;
                header.columns.push(Declared { name, value });
            } else if let Some((field, form)) = declaration(comment, "bind ") {
                let name = name(field);
                let value = BoundForm::parse(form).map_err(|message| (name.clone(), message))?;
                header.bound.push(Declared { name, value });
            }
        }
        twice(header.page_by.iter().map(|declared| &declared.name))?;
        let columns = header.columns.iter().map(|declared| &declared.name);
        twice(columns)?;
        twice(header.bound.iter().map(|declared| &declared.name))?;
        Ok(header)
    }
}

/// A column of `page by`, and whether it falls: `NAME`, `NAME ASC` or `NAME DESC`.
fn order(key: &str) -> Result<(&str, bool), String> {
    let mut words = key.split_whitespace();
    let meant = || format!("`{}` is none of `COLUMN`, `COLUMN ASC`, `COLUMN DESC`", key.trim());
    let column = words.next().ok_or_else(meant)?;
    let is_descending = match words.next().map(str::to_ascii_uppercase).as_deref() {
        None | Some("ASC") => false,
        Some("DESC") => true,
        Some(_) => return Err(meant()),
    };
    if words.next().is_some() { Err(meant()) } else { Ok((column, is_descending)) }
}

/// Refuses a second declaration about one name: which of them holds would depend on their order.
fn twice<'a>(names: impl Iterator<Item = &'a Name>) -> Result<(), (Name, String)> {
    let mut seen: Vec<&str> = Vec::new();
    for name in names {
        if seen.contains(&name.text.as_str()) {
            return Err((name.clone(), format!("a second declaration about `{}`", name.text)));
        }
        seen.push(&name.text);
    }
    Ok(())
}

impl BoundForm {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "canonical" => Ok(Self::Canonical),
            "given" => Ok(Self::Given),
            "national" => Ok(Self::National),
            other => {
                Err(format!("`{other}` is no form of a bound value: `canonical`, `given` or `national`"))
            }
        }
    }
}

/// The declaration that a comment would be if it were spelled right. A statement whose declaration is passed
/// over would answer values of another kind, or none.
fn meant(comment: &str, is_line: bool) -> Option<String> {
    let (first, rest) = comment.split_once(char::is_whitespace)?;
    let (name, value) = rest.trim().split_once([':', ' '])?;
    let value = value.trim_start_matches([':', ' ']).trim();
    // One typing error counts as meant; with more, prose would look like a declaration.
    let is_like = |word: &str| strsim::damerau_levenshtein(&first.to_lowercase(), word) <= 1;
    let word = match () {
        () if is_like("column") && Conversion::parse(value).is_ok() => "column",
        () if is_like("bind") && BoundForm::parse(value).is_ok() => "bind",
        () => return None,
    };
    let is_right = is_line && first == word && declaration(comment, &format!("{word} ")).is_some();
    (!is_right).then(|| format!("{word} {name}: {value}"))
}

/// `NAME: REST` after `word`; a name is one word, so that prose in a comment is no declaration.
fn declaration<'a>(comment: &'a str, word: &str) -> Option<(&'a str, &'a str)> {
    let (name, rest) = comment.strip_prefix(word)?.split_once(':')?;
    let is_name = !name.trim().is_empty() && !name.trim().contains(char::is_whitespace);
    is_name.then(|| (name.trim(), rest.trim()))
}

//! Row scopes say which rows a grant may see, as column → allowed values. This module also has their form in
//! metadata.

use std::collections::BTreeMap;

/// `chapar-rows` that does not follow its form. Never holds the text.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("row scopes are `name=value,value;name=value`")]
pub struct InvalidRows;

/// Column name → values that a row must have one of. Empty: every row.
///
/// As metadata: `province=15,16;county=1503`. Names are `a-z0-9_`; values are 1–64 bytes of `A-Za-z0-9._-`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RowScopes(BTreeMap<String, Vec<String>>);

impl RowScopes {
    /// Checks names and values.
    ///
    /// # Errors
    /// [`InvalidRows`] if a name or value has other bytes than the form allows, or a name has no value.
    pub fn new(scopes: BTreeMap<String, Vec<String>>) -> Result<Self, InvalidRows> {
        let is_name = |name: &str| {
            !name.is_empty() && name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'))
        };
        let is_value = |value: &String| {
            (1..=64).contains(&value.len())
                && value.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        };
        let valid = scopes
            .iter()
            .all(|(name, values)| is_name(name) && !values.is_empty() && values.iter().all(is_value));
        if valid { Ok(Self(scopes)) } else { Err(InvalidRows) }
    }

    /// Reads the form used in metadata; the empty text is no scope.
    ///
    /// # Errors
    /// [`InvalidRows`] if the text has another form.
    pub fn from_header(text: &str) -> Result<Self, InvalidRows> {
        let mut scopes = BTreeMap::new();
        // The empty text splits into one empty part, which would be malformed.
        for part in text.split(';').filter(|_| !text.is_empty()) {
            let (name, values) = part.split_once('=').ok_or(InvalidRows)?;
            let values = values.split(',').map(str::to_owned).collect();
            // A name that is there twice has no single meaning, so the header is refused.
            if scopes.insert(name.to_owned(), values).is_some() {
                return Err(InvalidRows);
            }
        }
        Self::new(scopes)
    }

    /// Writes the form used in metadata.
    pub fn to_header(&self) -> String {
        let parts: Vec<String> =
            self.0.iter().map(|(name, values)| format!("{name}={}", values.join(","))).collect();
        parts.join(";")
    }

    /// Column names with their allowed values, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.0.iter().map(|(name, values)| (name.as_str(), values.as_slice()))
    }

    /// Whether every row may be seen.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn scopes_survive_the_way_through_metadata() {
        for text in ["", "province=15", "county=1503,1504;province=15"] {
            assert_eq!(RowScopes::from_header(text).unwrap().to_header(), text);
        }
    }

    #[test]
    fn malformed_scopes_are_refused() {
        for text in [
            "province",
            "province=",
            "=15",
            ";",
            "province=15;province=16",
            "province=1 5",
            "pro'vince=15",
            "province=15;",
        ] {
            assert_eq!(RowScopes::from_header(text), Err(InvalidRows), "{text:?}");
        }
    }
}

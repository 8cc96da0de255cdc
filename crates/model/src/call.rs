//! This module has what a caller says about one call (purpose, clerk, case, request id) and the ids that the
//! bus gives (call id) or its registry (grant, procedure).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use uuid::Uuid;

use crate::InvalidId;

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $rule:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The value as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let check: fn(&[u8]) -> bool = $check;
                if check(text.as_bytes()) { Ok(Self(text.into())) } else { Err(InvalidId { kind: $kind, rule: $rule }) }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

fn all(text: &[u8], longest: usize, allowed: fn(u8) -> bool) -> bool {
    !text.is_empty() && text.len() <= longest && text.iter().all(|b| allowed(*b))
}

text_id!(
    /// Why a record is asked for: a code from the contract's list, e.g. `benefit.eligibility`. 1–64 bytes.
    Purpose, "purpose", "1 to 64 of a-z, 0-9, `.`, `_`, a letter first",
    |text| all(text, 64, |b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_')) && text[0].is_ascii_lowercase()
);
text_id!(
    /// The caller's file number, which ties a disclosure to an administrative act. 1–64 bytes.
    CaseNumber, "case number", "1 to 64 of A-Z, a-z, 0-9, `.`, `_`, `/`, `-`",
    |text| all(text, 64, |b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'/' | b'-'))
);
text_id!(
    /// The person at the keyboard, named by the calling subsystem. 1–64 bytes.
    ClerkId, "clerk", "1 to 64 of A-Z, a-z, 0-9, `.`, `_`, `@`, `-`",
    |text| all(text, 64, |b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'@' | b'-'))
);
text_id!(
    /// The name of a grant, unique in a registry, e.g. `welfare-getperson`. 1–64 bytes.
    GrantId, "grant id", "1 to 64 of a-z, 0-9, `-`",
    |text| all(text, 64, |b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
);
text_id!(
    /// The name of a procedure, unique in a registry, e.g. `farm-loan`. 1–64 bytes.
    ProcedureId, "procedure id", "1 to 64 of a-z, 0-9, `-`",
    |text| all(text, 64, |b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
);
text_id!(
    /// The name of a part or an input, unique in its procedure, e.g. `farmer`. 1–64 bytes.
    PartId, "part's or input's id", "1 to 64 of a-z, 0-9, `_`, a letter first",
    |text| all(text, 64, |b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_')) && text[0].is_ascii_lowercase()
);

/// The bus's name of one call: a UUIDv7 (RFC 9562 §5.7), so ids sort by time.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct CallId(Uuid);

impl CallId {
    /// A new id from the system's time and randomness.
    pub fn now() -> Self {
        Self(Uuid::now_v7())
    }

    /// The id's 16 bytes, most significant first.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// The id as text, 36 bytes, in a buffer of the caller's.
    pub fn encode<'a>(&self, buffer: &'a mut [u8; 36]) -> &'a str {
        self.0.as_hyphenated().encode_lower(buffer)
    }
}

impl FromStr for CallId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Uuid::try_parse(text).map(Self).map_err(|_| InvalidId { kind: "call id", rule: "a UUID" })
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

/// A caller's idempotency key: a UUID in hyphenated form.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RequestId(Uuid);

impl RequestId {
    /// A new random-and-time id.
    pub fn now() -> Self {
        Self(Uuid::now_v7())
    }

    /// The id of one part of a request: a UUIDv5 (RFC 9562 §5.5) with this id as its namespace, so that a
    /// repeated request has the same ids for its parts.
    pub fn of_part(&self, number: u32) -> Self {
        Self(Uuid::new_v5(&self.0, &number.to_be_bytes()))
    }

    /// The id as text, 36 bytes, in a buffer of the caller's.
    pub fn encode<'a>(&self, buffer: &'a mut [u8; 36]) -> &'a str {
        self.0.as_hyphenated().encode_lower(buffer)
    }
}

impl FromStr for RequestId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid = InvalidId { kind: "request id", rule: "a UUID in hyphenated form" };
        // `try_parse` also accepts braces and texts without hyphens. With one form, equal keys are equal
        // texts.
        if text.len() == 36 { Uuid::try_parse(text).map(Self).map_err(|_| invalid) } else { Err(invalid) }
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_purpose_is_a_lower_case_code() {
        assert!("benefit.eligibility".parse::<Purpose>().is_ok());
        for text in
            ["", "Benefit", "benefit eligibility", ".benefit", "bene\u{FB01}t", "a,b", &"a".repeat(65)]
        {
            assert!(text.parse::<Purpose>().is_err(), "{text:?} must not parse");
        }
    }

    #[test]
    fn a_clerk_is_one_short_word() {
        assert!("m.karimi@khorramabad-12".parse::<ClerkId>().is_ok());
        for text in ["", "two words", "new\nline", "زهرا", &"a".repeat(65)] {
            assert!(text.parse::<ClerkId>().is_err(), "{text:?} must not parse");
        }
    }
}

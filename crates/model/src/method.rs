//! `MethodPath` is the path of a gRPC method. Router, policy and evidence all hold this one value, so they
//! cannot read a path differently.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::InvalidId;

/// A method as `package.Service/Method`, without the leading slash of `:path`. At most 255 bytes.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct MethodPath(Arc<str>);

impl MethodPath {
    /// The method as `package.Service/Method`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The full name of the service, e.g. `civil.v1.CivilRegistry`.
    pub fn service(&self) -> &str {
        self.0.split_once('/').map_or(&*self.0, |(service, _)| service)
    }

    /// The name of the method alone, e.g. `GetPerson`.
    pub fn method(&self) -> &str {
        self.0.split_once('/').map_or("", |(_, method)| method)
    }
}

fn is_identifier(text: &str) -> bool {
    matches!(text.as_bytes().first(), Some(b'a'..=b'z' | b'A'..=b'Z' | b'_'))
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

impl FromStr for MethodPath {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid = InvalidId {
            kind: "method",
            rule: "`package.Service/Method`, e.g. `civil.v1.CivilRegistry/GetPerson`",
        };
        let Some((service, method)) = text.split_once('/') else { return Err(invalid) };
        if text.len() <= 255 && service.split('.').all(is_identifier) && is_identifier(method) {
            Ok(Self(text.into()))
        } else {
            Err(invalid)
        }
    }
}

impl fmt::Display for MethodPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn a_path_knows_its_service_and_method() {
        let path: MethodPath = "civil.v1.CivilRegistry/GetPerson".parse().unwrap();
        assert_eq!((path.service(), path.method()), ("civil.v1.CivilRegistry", "GetPerson"));
    }

    #[test]
    fn confusing_paths_do_not_parse() {
        for text in [
            "/a.B/C",
            "a.B//C",
            "a.B/C/",
            "a%2EB/C",
            "a.B/C?x",
            "a.B/../d.E/F",
            "a..B/C",
            "a.B/",
            "/C",
            "a.B",
            "a.B/C#f",
            "a.B/C;x",
        ] {
            assert!(text.parse::<MethodPath>().is_err(), "{text:?} must not parse");
        }
    }
}

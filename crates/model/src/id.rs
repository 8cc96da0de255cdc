//! This module has the identities on the bus: trust domain, member, subsystem, and the SPIFFE ID that names
//! all three.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

/// A text that is not an identifier of the wanted kind. Holds the rule, never the text: it may come from a
/// stranger.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a valid {kind}: {rule}")]
pub struct InvalidId {
    /// What was being parsed, e.g. `member`.
    pub kind: &'static str,
    /// What a valid one looks like.
    pub rule: &'static str,
}

fn is_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    // As a DNS label (RFC 1123 §2.1), but a hyphen may also end it.
    matches!(bytes.first(), Some(b'a'..=b'z' | b'0'..=b'9'))
        && bytes.len() <= 63
        && bytes.iter().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

/// One deployment of the bus, e.g. `lorestan.example`: a lower-case DNS name of at most 255 bytes (SPIFFE-ID
/// §2.1).
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TrustDomain(Arc<str>);

impl TrustDomain {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TrustDomain {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        if text.len() <= 255 && text.split('.').all(is_label) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidId { kind: "trust domain", rule: "a lower-case DNS name of at most 255 bytes" })
        }
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What kind of organisation a member is.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Class {
    /// The bus itself: its gateways.
    Bus,
    /// A company, e.g. a bank.
    Com,
    /// A government agency.
    Gov,
    /// A counter office (دفتر پیشخوان).
    Office,
}

impl Class {
    /// The class as it stands in identities and file paths.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bus => "bus",
            Self::Com => "com",
            Self::Gov => "gov",
            Self::Office => "office",
        }
    }
}

impl FromStr for Class {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        match text {
            "bus" => Ok(Self::Bus),
            "com" => Ok(Self::Com),
            "gov" => Ok(Self::Gov),
            "office" => Ok(Self::Office),
            _ => Err(InvalidId { kind: "member class", rule: "one of bus, com, gov, office" }),
        }
    }
}

/// An organisation on the bus, e.g. `gov/civil-registry`.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct MemberId {
    text: Arc<str>,
    class: Class,
}

impl MemberId {
    /// The member as `class/code`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The member's class.
    pub fn class(&self) -> Class {
        self.class
    }
}

impl FromStr for MemberId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid = InvalidId { kind: "member", rule: "`class/code`, e.g. `gov/civil-registry`" };
        let (class, code) = text.split_once('/').ok_or(invalid.clone())?;
        let class = class.parse::<Class>()?;
        if is_label(code) { Ok(Self { text: text.into(), class }) } else { Err(invalid) }
    }
}

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// One system of a member, the unit that holds a certificate and rights, e.g. `gov/welfare/benefits`.
#[derive(Clone, Debug, Ord, PartialOrd)]
pub struct SubsystemId {
    text: Arc<str>,
    member: MemberId,
}

// Compared by the text alone, which contains the member. Every decision looks a subsystem up, so this is a
// hot path.
impl PartialEq for SubsystemId {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for SubsystemId {}

impl Hash for SubsystemId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl SubsystemId {
    /// The subsystem as `class/code/subsystem`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The organisation that it belongs to.
    pub fn member(&self) -> &MemberId {
        &self.member
    }

    /// The last part of the name, e.g. `benefits`.
    pub fn name(&self) -> &str {
        self.text.rsplit('/').next().unwrap_or_default()
    }
}

impl FromStr for SubsystemId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid =
            InvalidId { kind: "subsystem", rule: "`class/code/subsystem`, e.g. `gov/welfare/benefits`" };
        let (member, name) = text.rsplit_once('/').ok_or(invalid.clone())?;
        let member = member.parse::<MemberId>()?;
        if is_label(name) { Ok(Self { text: text.into(), member }) } else { Err(invalid) }
    }
}

impl fmt::Display for SubsystemId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A SPIFFE ID of the bus: `spiffe://TRUST_DOMAIN/CLASS/CODE/SUBSYSTEM`. Compared byte for byte: no case
/// folding, no percent-encoding, no trailing slash.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Identity {
    trust_domain: TrustDomain,
    subsystem: SubsystemId,
}

impl Identity {
    /// Joins a trust domain and a subsystem.
    pub fn new(trust_domain: TrustDomain, subsystem: SubsystemId) -> Self {
        Self { trust_domain, subsystem }
    }

    /// The deployment that it belongs to.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// The subsystem that it names.
    pub fn subsystem(&self) -> &SubsystemId {
        &self.subsystem
    }

    /// The organisation that it names.
    pub fn member(&self) -> &MemberId {
        self.subsystem.member()
    }
}

impl FromStr for Identity {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid = InvalidId { kind: "identity", rule: "`spiffe://TRUST_DOMAIN/CLASS/CODE/SUBSYSTEM`" };
        let rest = text.strip_prefix("spiffe://").ok_or(invalid.clone())?;
        let (trust_domain, subsystem) = rest.split_once('/').ok_or(invalid)?;
        Ok(Self { trust_domain: trust_domain.parse()?, subsystem: subsystem.parse()? })
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "spiffe://{}/{}", self.trust_domain, self.subsystem)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn an_identity_is_its_text_and_back() {
        let text = "spiffe://lorestan.example/office/khorramabad-12/counter";
        let identity: Identity = text.parse().unwrap();
        assert_eq!(identity.to_string(), text);
        assert_eq!(identity.member().as_str(), "office/khorramabad-12");
        assert_eq!(identity.member().class(), Class::Office);
        assert_eq!(identity.subsystem().name(), "counter");
    }

    #[test]
    fn near_misses_are_not_identities() {
        for text in [
            "",
            "spiffe://",
            "spiffe://lorestan.example",
            "spiffe://lorestan.example/",
            "spiffe://lorestan.example/gov/welfare",
            "spiffe://lorestan.example/gov/welfare/benefits/",
            "spiffe://lorestan.example/gov/welfare/benefits/x",
            "spiffe://lorestan.example//gov/welfare/benefits",
            "spiffe://lorestan.example./gov/welfare/benefits",
            "spiffe://Lorestan.example/gov/welfare/benefits",
            "SPIFFE://lorestan.example/gov/welfare/benefits",
            "spiffe://lorestan.example/gov/Welfare/benefits",
            "spiffe://lorestan.example/gov/welfare/ben\u{0435}fits",
            "spiffe://lorestan.example/gov/welfare/benefits\0",
            "spiffe://lorestan.example/gov/welfare/%62enefits",
            "spiffe://lorestan.example:443/gov/welfare/benefits",
            "spiffe://lorestan.example/ngo/welfare/benefits",
            "https://lorestan.example/gov/welfare/benefits",
        ] {
            assert!(text.parse::<Identity>().is_err(), "{text:?} must not parse");
        }
    }
}

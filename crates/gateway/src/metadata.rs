//! This module parses the `chapar-` request headers of a call once. A repeated key is refused as ambiguous.
//! Any other key under the prefix is refused, because inside the bus it carries identity and rights.

use std::str::FromStr;

use chapar_model::{CaseNumber, ClerkId, MemberId, Purpose, Reason, RequestId, header};
use http::HeaderMap;

use crate::refusal::Refusal;

/// The call's own metadata, parsed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metadata {
    pub(crate) purpose: Option<Purpose>,
    pub(crate) case: Option<CaseNumber>,
    pub(crate) clerk: Option<ClerkId>,
    pub(crate) on_behalf_of: Option<MemberId>,
    pub(crate) request_id: Option<RequestId>,
}

impl Metadata {
    /// Reads the bus's keys from `headers`.
    pub(crate) fn parse(headers: &HeaderMap) -> Result<Self, Refusal> {
        for name in headers.keys() {
            let name = name.as_str();
            // A server that maps `_` to `-`, as CGI does, would read `chapar_caller` as the reserved
            // `chapar-caller`.
            let reserved = name.starts_with(header::PREFIX) || name.starts_with("chapar_");
            if reserved && !header::FROM_CALLER.contains(&name) {
                return Err(
                    Refusal::from(Reason::MetadataReserved).with_detail(format!("caller sent `{name:.64}`"))
                );
            }
        }
        Ok(Self {
            purpose: one(headers, header::PURPOSE, Reason::PurposeUnknown)?,
            case: one(headers, header::CASE, Reason::CaseInvalid)?,
            clerk: one(headers, header::CLERK, Reason::ClerkInvalid)?,
            on_behalf_of: one(headers, header::ON_BEHALF_OF, Reason::MetadataAmbiguous)?,
            request_id: one(headers, header::REQUEST_ID, Reason::MetadataAmbiguous)?,
        })
    }
}

fn one<T: FromStr>(headers: &HeaderMap, name: &'static str, malformed: Reason) -> Result<Option<T>, Refusal> {
    let ambiguous =
        || Refusal::from(Reason::MetadataAmbiguous).with_detail(format!("`{name}` came more than once"));
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    // A proxy may join repeated headers with a comma (RFC 9110 §5.3), so a comma counts as a repetition. No
    // value of these keys contains one.
    if values.next().is_some() || value.as_bytes().contains(&b',') {
        return Err(ambiguous());
    }
    let text = value.to_str().map_err(|_| Refusal::from(malformed))?;
    text.parse().map(Some).map_err(|_| Refusal::from(malformed).with_detail(format!("`{name}` is malformed")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(pairs: &[(&'static str, &str)]) -> Result<Metadata, Reason> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        Metadata::parse(&headers).map_err(|refusal| refusal.reason())
    }

    #[test]
    fn a_caller_may_say_why_who_and_for_whom() {
        let metadata = parse(&[
            ("chapar-purpose", "loan.farm"),
            ("chapar-case", "1405/77"),
            ("chapar-clerk", "m.karimi"),
            ("chapar-on-behalf-of", "com/agri-bank"),
        ])
        .unwrap();
        assert_eq!(metadata.purpose.unwrap().as_str(), "loan.farm");
        assert_eq!(metadata.on_behalf_of.unwrap().as_str(), "com/agri-bank");
    }

    #[test]
    fn a_key_said_twice_is_ambiguous() {
        assert_eq!(
            parse(&[("chapar-purpose", "a.b"), ("chapar-purpose", "a.b")]).unwrap_err(),
            Reason::MetadataAmbiguous
        );
        assert_eq!(parse(&[("chapar-purpose", "a.b,c.d")]).unwrap_err(), Reason::MetadataAmbiguous);
    }

    #[test]
    fn identity_in_a_header_is_refused() {
        for name in [
            "chapar-caller",
            "chapar-fields",
            "chapar-rows",
            "chapar-call-id",
            "chapar-identity",
            "chapar_caller",
            "chapar-caller-bin",
        ] {
            assert_eq!(
                parse(&[(name, "gov/civil-registry/adapter")]).unwrap_err(),
                Reason::MetadataReserved,
                "{name}"
            );
        }
    }

    #[test]
    fn each_malformed_key_has_its_own_reason() {
        assert_eq!(parse(&[("chapar-purpose", "Benefit")]).unwrap_err(), Reason::PurposeUnknown);
        assert_eq!(parse(&[("chapar-clerk", "two words")]).unwrap_err(), Reason::ClerkInvalid);
        assert_eq!(parse(&[("chapar-case", "no spaces")]).unwrap_err(), Reason::CaseInvalid);
        assert_eq!(parse(&[("chapar-request-id", "7")]).unwrap_err(), Reason::MetadataAmbiguous);
    }
}

//! This target parses identities, method paths, call metadata, row scopes and digests: what parses prints
//! back the same bytes, and its parts parse by themselves.
#![no_main]

use std::fmt::Display;
use std::str::FromStr;

use chapar_model::{
    CallId, CaseNumber, ClerkId, GrantId, Identity, MemberId, MethodPath, Purpose, Rate, RequestId,
    RowScopes, SubsystemId, TrustDomain, parse_sha256, show_sha256,
};
use libfuzzer_sys::fuzz_target;

fn same<T: FromStr + Display>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        assert_eq!(value.to_string(), text);
    }
}

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    same::<CaseNumber>(text);
    same::<ClerkId>(text);
    same::<GrantId>(text);
    same::<Identity>(text);
    same::<MemberId>(text);
    same::<MethodPath>(text);
    same::<Purpose>(text);
    same::<SubsystemId>(text);
    same::<TrustDomain>(text);
    if let Ok(id) = text.parse::<RequestId>() {
        assert!(id.to_string().eq_ignore_ascii_case(text), "a request id is its text, but for upper case");
    }
    if let Ok(id) = text.parse::<CallId>() {
        assert_eq!(id.to_string().parse(), Ok(id));
    }
    if let Ok(rate) = text.parse::<Rate>() {
        assert_eq!(rate.to_string().parse(), Ok(rate));
    }
    if let Ok(rows) = RowScopes::from_header(text) {
        assert_eq!(RowScopes::from_header(&rows.to_header()), Ok(rows));
    }
    if let Some(hash) = parse_sha256(text) {
        assert_eq!(show_sha256(&hash), text);
    }
    if let Ok(identity) = text.parse::<Identity>() {
        let rebuilt = Identity::new(identity.trust_domain().clone(), identity.subsystem().clone());
        assert_eq!(rebuilt.to_string(), text);
        let subsystem = format!("{}/{}", identity.member(), identity.subsystem().name());
        assert_eq!(subsystem, identity.subsystem().as_str());
        assert!(identity.member().as_str().starts_with(identity.member().class().as_str()));
    }
    if let Ok(path) = text.parse::<MethodPath>() {
        assert_eq!(format!("{}/{}", path.service(), path.method()), text);
    }
});

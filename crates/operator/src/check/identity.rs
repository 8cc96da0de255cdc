//! Checks of certificates and revocation lists: the operator's own certificate, each gateway's, and the lists
//! that each gateway uses.

use chapar_client::Status;
use chapar_transport::tls::{HumanDuration, own_certificate_alone};

use super::CheckId::{GatewayCertificate, OperatorCertificate, RevocationList};
use super::{CheckId, Checks};
use crate::bus::Bus;

/// Seconds before a certificate's end from which the check warns: two weeks, in which someone can renew it.
const CERTIFICATE_WARNING_S: i64 = 14 * 86_400;
/// Seconds before a revocation list's `nextUpdate` from which the check warns: a day, in which someone can
/// issue the next one.
const LIST_WARNING_S: i64 = 86_400;

/// The operator's own certificate.
pub(super) fn own(checks: &mut Checks, bus: &Bus) {
    let identity = bus.identity();
    let now = bus.clock().now();
    // Which CA has issued it is for the gateways to judge: this side's CAs are those of the gateways.
    match own_certificate_alone(&identity.cert, now) {
        Ok(own) => {
            let of = own.identity.to_string();
            let facts = Facts { not_after: own.not_after, is_usable: own.is_usable, remarks: &own.remarks };
            certificate(checks, OperatorCertificate, &of, &facts, now.as_second());
        }
        Err(error) => {
            let of = identity.cert.display().to_string();
            checks.fail(OperatorCertificate, &of, error.to_string(), RENEW);
        }
    }
}

/// The certificate and the revocation lists of one gateway.
pub(super) fn check(checks: &mut Checks, gateway: &str, status: &Status) {
    let now = status.now_ms / 1000;
    match &status.certificate {
        Some(own) if !own.identity.is_empty() => {
            let facts = Facts { not_after: own.not_after_s, is_usable: own.is_usable, remarks: &own.remarks };
            certificate(checks, GatewayCertificate, gateway, &facts, now);
        }
        other => {
            let remarks = other.as_ref().map(|own| own.remarks.join("; ")).unwrap_or_default();
            checks.fail(GatewayCertificate, gateway, format!("its file cannot be read: {remarks}"), RENEW);
        }
    }
    for list in &status.revocation_lists {
        let left = list.next_update_s.saturating_sub(now);
        if !list.is_sound {
            checks.fail(RevocationList, gateway, &*list.sentence, ISSUE_LIST);
        } else if left < LIST_WARNING_S {
            checks.warn(RevocationList, gateway, &*list.sentence, ISSUE_LIST);
        } else {
            checks.good(RevocationList, gateway, &*list.sentence);
        }
    }
}

const RENEW: &str = "renew it: `chapar pki renew`, or a new request by `chapar pki csr` to whoever issues it";
const ISSUE_LIST: &str = "issue a new list (`chapar pki crl`) and put it where `crl` of gateway.toml names it; it is taken up at once";

/// What is known of a certificate.
struct Facts<'a> {
    /// Seconds since the Unix epoch.
    not_after: i64,
    is_usable: bool,
    remarks: &'a [String],
}

fn certificate(checks: &mut Checks, id: CheckId, of: &str, facts: &Facts<'_>, now: i64) {
    let left = facts.not_after.saturating_sub(now);
    let ends = match left {
        ..=0 => "has ended".to_owned(),
        _ => format!("ends in {}", HumanDuration(left)),
    };
    let remarks = facts.remarks.join("; ");
    let text = if remarks.is_empty() { ends.clone() } else { format!("{ends}; {remarks}") };
    if !facts.is_usable || left <= 0 {
        checks.fail(id, of, text, RENEW);
    } else if left < CERTIFICATE_WARNING_S {
        checks.warn(id, of, text, RENEW);
    } else if !remarks.is_empty() {
        checks.warn(id, of, text, "correct the file that the remark names; it is taken up at once");
    } else {
        checks.good(id, of, ends);
    }
}

//! The revocation list of an authority (CRL, RFC 5280 §5) in `ca.crl`, and the number of the last one in
//! `crl-number`.

use std::time::Duration;

use chapar_model::{from_hex, to_hex};
use jiff::Timestamp;
use rcgen::{
    CertificateRevocationListParams, KeyIdMethod, RevocationReason, RevokedCertParams, SerialNumber,
};

use super::records::Reason;
use super::{Authority, Error, SERIAL_BYTES, file, read_back};
use crate::pki::write_file;

impl Authority {
    /// Whether the list that there is has a serial number (hexadecimal).
    pub(super) fn list_holds(&self, serial: &str) -> Result<bool, Error> {
        let path = self.dir.join("ca.crl");
        let pem = chapar_files::read_text_if_any(&path).map_err(|error| file(&path, &error.to_string()))?;
        Ok(pem.is_some_and(|pem| read_back::serials(&pem).iter().any(|found| to_hex(found) == serial)))
    }

    /// The number of the last list: what was noted, or what stands in the list if that is more, as after the
    /// note was lost.
    fn last_number(&self) -> Result<u64, Error> {
        let path = self.dir.join("crl-number");
        let text = chapar_files::read_text_if_any(&path).map_err(|error| file(&path, &error.to_string()))?;
        // A new authority has no list yet.
        let noted = text.map_or(Ok(0), |text| text.trim().parse::<u64>());
        let noted = noted.map_err(|error| file(&path, &error.to_string()))?;
        let listed = chapar_files::read_text(&self.dir.join("ca.crl")).ok();
        Ok(noted.max(listed.and_then(|pem| read_back::number(&pem)).unwrap_or(0)))
    }

    /// Signs the next list and writes it. The folder is locked by who calls this.
    pub(super) fn next_list(&self) -> Result<u64, Error> {
        let path = self.dir.join("crl-number");
        let last = self.last_number()?;
        let number = last.checked_add(1).ok_or_else(|| file(&path, "is the largest number that there is"))?;
        let now = self.clock.now();
        // A moment as the library has it, to the second.
        let moment = |at: Timestamp| {
            rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(u64::try_from(at.as_second()).unwrap_or(0))
        };
        let revoked = self.revoked()?.into_iter().map(|revoked| {
            Ok(RevokedCertParams {
                serial_number: SerialNumber::from_slice(
                    &from_hex::<SERIAL_BYTES>(&revoked.serial).ok_or(Error::Stranger)?,
                ),
                revocation_time: moment(revoked.at),
                reason_code: match revoked.reason {
                    Reason::Unspecified => None,
                    Reason::KeyCompromise => Some(RevocationReason::KeyCompromise),
                    Reason::Superseded => Some(RevocationReason::Superseded),
                    Reason::CessationOfOperation => Some(RevocationReason::CessationOfOperation),
                },
                invalidity_date: None,
            })
        });
        let params = CertificateRevocationListParams {
            this_update: moment(now),
            next_update: moment(now) + Duration::from_secs(7 * 24 * 60 * 60),
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect::<Result<_, Error>>()?,
            key_identifier_method: KeyIdMethod::Sha256,
        };
        // The number is written first: a number that is skipped does no harm, a number that is used twice
        // does.
        write_file(&path, format!("{number}\n").as_bytes(), 0o644)?;
        let list = params.signed_by(&self.issuer)?;
        let serials: Vec<_> =
            params.revoked_certs.iter().map(|revoked| revoked.serial_number.to_bytes()).collect();
        if !read_back::is_list(list.der(), &self.spki, number, &serials) {
            return Err(Error::Unfaithful);
        }
        write_file(&self.dir.join("ca.crl"), list.pem()?.as_bytes(), 0o644)?;
        Ok(number)
    }
}

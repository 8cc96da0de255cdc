//! This target reads arbitrary bytes as the certificate of a peer: its identity, if it has one, prints and
//! parses back.
#![no_main]

use chapar_model::{Clock, Identity};
use chapar_transport::Peer;
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use rustls_pki_types::CertificateDer;

fuzz_target!(|data: &[u8]| {
    let clock = Clock::manual(Timestamp::UNIX_EPOCH);
    let remote = ([127, 0, 0, 1], 1).into();
    let Some(peer) = Peer::dialled(&CertificateDer::from(data), &clock, remote) else { return };
    if let Ok(identity) = &peer.identity {
        let text = identity.to_string();
        assert!(text.starts_with("spiffe://") && text.is_ascii());
        assert_eq!(text.parse::<Identity>().as_ref(), Ok(identity));
    }
    assert_eq!(peer.certificate_status().is_ok(), clock.now() <= peer.not_after);
});

//! `RecordDraft` is a record with borrowed fields. It is encoded without building a [`Record`], because every
//! call passes through here (hot path). The bytes are equal to those of [`Record`]'s own encoding.

use prost::encoding::encode_varint;

use crate::record::pb::{Kind, Record};

/// A [`Record`] with nothing owned.
#[derive(Clone, Copy, Debug, Default)]
#[expect(missing_docs, reason = "each field is that of the record, described in evidence.proto")]
pub struct RecordDraft<'a> {
    pub version: u32,
    pub kind: Kind,
    pub call_id: &'a [u8],
    pub time_unix_ms: u64,
    pub caller: &'a str,
    pub on_behalf_of: &'a str,
    pub clerk: &'a str,
    pub case: &'a str,
    pub purpose: &'a str,
    pub request_id: &'a str,
    pub method: &'a str,
    pub contract_digest: &'a str,
    pub registry_digest: &'a str,
    pub grant: &'a str,
    pub delegation: &'a str,
    pub subject_pseudonym: &'a [u8],
    pub request_commitment: &'a [u8],
    pub response_commitment: &'a [u8],
    pub disclosed: &'a [String],
    pub withheld: &'a [String],
    pub messages: u64,
    pub outcome: &'a str,
    pub latency_us: u64,
    pub trace_id: &'a [u8],
    pub opening: u64,
    pub salt_hash: &'a [u8],
    pub attempt: u32,
    pub count: u64,
    pub provider_asked: bool,
}

impl RecordDraft<'_> {
    /// The record's bytes: protobuf, fields in the order of their numbers, those that are empty or zero left
    /// out.
    pub fn encode(&self) -> Vec<u8> {
        // Enough for a usual record, so that encoding allocates once.
        let mut out = Vec::with_capacity(640);
        number(&mut out, 1, u64::from(self.version));
        number(&mut out, 2, u64::try_from(self.kind as i32).unwrap_or_default());
        bytes(&mut out, 3, self.call_id);
        number(&mut out, 4, self.time_unix_ms);
        let texts = [
            self.caller,
            self.on_behalf_of,
            self.clerk,
            self.case,
            self.purpose,
            self.request_id,
            self.method,
            self.contract_digest,
            self.registry_digest,
            self.grant,
            self.delegation,
        ];
        // `texts` stands in the order of its field numbers, 5 to 15; the property test below compares the
        // bytes with prost's.
        for (field, text) in (5..).zip(texts) {
            bytes(&mut out, field, text.as_bytes());
        }
        bytes(&mut out, 16, self.subject_pseudonym);
        bytes(&mut out, 17, self.request_commitment);
        bytes(&mut out, 18, self.response_commitment);
        for (field, list) in [(19, self.disclosed), (20, self.withheld)] {
            // Each element of a repeated field is written, also an empty one: leaving it out would shorten
            // the list.
            for name in list {
                piece(&mut out, field, name.as_bytes());
            }
        }
        number(&mut out, 21, self.messages);
        bytes(&mut out, 22, self.outcome.as_bytes());
        number(&mut out, 23, self.latency_us);
        bytes(&mut out, 24, self.trace_id);
        number(&mut out, 25, self.opening);
        bytes(&mut out, 26, self.salt_hash);
        number(&mut out, 27, u64::from(self.attempt));
        number(&mut out, 28, self.count);
        number(&mut out, 29, u64::from(self.provider_asked));
        out
    }
}

impl<'a> From<&'a Record> for RecordDraft<'a> {
    fn from(record: &'a Record) -> Self {
        Self {
            // No `..Self::default()` here, so that a new field of `RecordDraft` does not compile until it is
            // copied.
            version: record.version,
            kind: record.kind(),
            call_id: &record.call_id,
            time_unix_ms: record.time_unix_ms,
            caller: &record.caller,
            on_behalf_of: &record.on_behalf_of,
            clerk: &record.clerk,
            case: &record.case,
            purpose: &record.purpose,
            request_id: &record.request_id,
            method: &record.method,
            contract_digest: &record.contract_digest,
            registry_digest: &record.registry_digest,
            grant: &record.grant,
            delegation: &record.delegation,
            subject_pseudonym: &record.subject_pseudonym,
            request_commitment: &record.request_commitment,
            response_commitment: &record.response_commitment,
            disclosed: &record.disclosed,
            withheld: &record.withheld,
            messages: record.messages,
            outcome: &record.outcome,
            latency_us: record.latency_us,
            trace_id: &record.trace_id,
            opening: record.opening,
            salt_hash: &record.salt_hash,
            attempt: record.attempt,
            count: record.count,
            provider_asked: record.provider_asked,
        }
    }
}

/// A field of a number, if it is not zero.
fn number(out: &mut Vec<u8>, field: u64, value: u64) {
    if value != 0 {
        encode_varint(field << 3, out);
        encode_varint(value, out);
    }
}

/// A field of text or bytes, if it is not empty.
fn bytes(out: &mut Vec<u8>, field: u64, value: &[u8]) {
    if !value.is_empty() {
        piece(out, field, value);
    }
}

fn piece(out: &mut Vec<u8>, field: u64, value: &[u8]) {
    encode_varint(field << 3 | 2, out);
    encode_varint(value.len() as u64, out);
    out.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message as _;

    use super::*;

    proptest! {
        #[test]
        fn a_draft_has_the_bytes_of_the_record_that_it_describes(
            texts in proptest::collection::vec("[a-z0-9./ی]{0,200}", 12),
            blobs in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 6),
            names in proptest::collection::vec("[a-z_.]{0,20}", 0..6),
            numbers in proptest::collection::vec(prop_oneof![Just(0), any::<u64>()], 4),
            kind in 0..6i32,
            attempt in any::<u32>(),
            count in any::<u64>(),
            provider_asked in any::<bool>(),
        ) {
            let (text, blob) = (|at: usize| texts[at].clone(), |at: usize| blobs[at].clone());
            let record = Record {
                version: attempt ^ 1, kind, attempt, count, provider_asked,
                call_id: blob(0), time_unix_ms: numbers[0], caller: text(0), on_behalf_of: text(1), clerk: text(2), case: text(3),
                purpose: text(4), request_id: text(5), method: text(6), contract_digest: text(7), registry_digest: text(8),
                grant: text(9), delegation: text(10), subject_pseudonym: blob(1), request_commitment: blob(2),
                response_commitment: blob(3), disclosed: names.clone(), withheld: names, messages: numbers[1], outcome: text(11),
                latency_us: numbers[2], trace_id: blob(4), opening: numbers[3], salt_hash: blob(5),
            };
            prop_assert_eq!(RecordDraft::from(&record).encode(), record.encode_to_vec());
        }
    }
}

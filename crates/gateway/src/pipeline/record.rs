//! Record: the disclosure goes to disk before a byte of it goes to the caller. A stream's opening does; its end follows.

use bytes::Bytes;
use chapar_evidence::Entry;

use super::minimise::{Answer, Messages, Minimised};
use super::read::Head;
use crate::record::{OpenRecord, StreamRecord};
use crate::refusal::Refusal;

/// An answer whose disclosure is on disk.
pub(super) struct Recorded {
    pub(super) head: Head,
    pub(super) log_origin: String,
    pub(super) answer: RecordedAnswer,
}

pub(super) enum RecordedAnswer {
    Unary { message: Bytes, entry: Entry },
    Stream { first: Option<Bytes>, rest: Box<Messages>, record: Box<StreamRecord> },
}

pub(super) async fn record(minimised: Minimised, record: OpenRecord) -> Result<Recorded, Refusal> {
    let Minimised { head, answer } = minimised;
    let _stage = head.span.stage("record");
    let disclosed = &head.permit.disclosed;
    let log_origin = record.origin().to_owned();
    let answer = match answer {
        Answer::Unary(message) => {
            let entry = record.disclosed(disclosed, &message).await?;
            RecordedAnswer::Unary { message, entry }
        }
        Answer::Stream { first, rest } => {
            let (_, record) = record.opened(disclosed).await?;
            RecordedAnswer::Stream { first, rest, record: Box::new(record) }
        }
    };
    Ok(Recorded { head, log_origin, answer })
}

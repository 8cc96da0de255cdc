//! The step *record* makes a disclosure durable before a byte of it is released. Of a stream it records the
//! opening; the closing record follows at its end.

use chapar_evidence::{Entry, Log};
use chapar_transport::encoding::Encoding;
use http::HeaderMap;

use super::{OpenRecord, StreamRecord};
use crate::pipeline::head::Head;
use crate::pipeline::messages::{Messages, Minimised, MinimisedAnswer, MinimisedMessage};
use crate::refusal::Refusal;

/// `Recorded` is an answer whose disclosure is on disk.
pub(in crate::pipeline) struct Recorded {
    pub(in crate::pipeline) head: Head,
    pub(in crate::pipeline) log: Log,
    pub(in crate::pipeline) encoding: Option<Encoding>,
    pub(in crate::pipeline) metadata: HeaderMap,
    pub(in crate::pipeline) answer: RecordedAnswer,
}

pub(in crate::pipeline) enum RecordedAnswer {
    Unary { message: MinimisedMessage, trailers: HeaderMap, entry: Entry },
    Stream { messages: Box<Messages>, record: Box<StreamRecord> },
}

pub(in crate::pipeline) async fn record(
    minimised: Minimised,
    record: OpenRecord,
) -> Result<Recorded, Refusal> {
    let Minimised { head, encoding, metadata, answer } = minimised;
    let _stage = head.span.stage("record");
    // The log is cloned because the record is consumed below, and its entry still needs the log's name.
    let log = record.log().clone();
    let answer = match answer {
        MinimisedAnswer::Unary(message, trailers) => {
            let entry = record.disclosed(&message.bytes).await?;
            RecordedAnswer::Unary { message, trailers, entry }
        }
        MinimisedAnswer::Stream(messages) => {
            RecordedAnswer::Stream { messages, record: Box::new(record.opened().await?) }
        }
    };
    Ok(Recorded { head, log, encoding, metadata, answer })
}

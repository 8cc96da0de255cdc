//! What the status of an API's answer means for a call (RFC 9110 §15).

use chapar_model::Reason;
use http::StatusCode;

use super::request_file::AnswerFile;
use crate::source::Failure;

/// How a request was answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Answered {
    /// With rows in its body.
    Rows,
    /// There is no such record.
    NoRecord,
    /// With a status that is no answer.
    Refused(StatusCode),
}

impl Answered {
    pub(super) fn of(status: StatusCode, file: &AnswerFile) -> Self {
        match status {
            status if file.no_record.contains(&status) => Self::NoRecord,
            // An answer without a body has no rows, and a part of a resource may lack some.
            StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::PARTIAL_CONTENT => {
                Self::Refused(status)
            }
            status if status.is_success() => Self::Rows,
            status => Self::Refused(status),
        }
    }
}

/// The failure of a call that was answered with this status.
pub(crate) fn failure(status: StatusCode) -> Failure {
    let reason = match status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => Reason::SourceBusy,
        StatusCode::BAD_GATEWAY => Reason::SourceDown,
        StatusCode::GATEWAY_TIMEOUT | StatusCode::REQUEST_TIMEOUT => Reason::SourceTimeout,
        _ => Reason::SourceRefused,
    };
    Failure::new(reason, sentence(status))
}

/// What an operator should know of the status.
pub(crate) fn sentence(status: StatusCode) -> String {
    let advice = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ": look at the secrets of the source",
        StatusCode::NO_CONTENT | StatusCode::NOT_FOUND | StatusCode::GONE => {
            ": if that says that there is no record, declare it in the file, `# no record: STATUS`"
        }
        status if status.is_redirection() => ": redirects are not followed; write the place into `url`",
        _ => "",
    };
    format!("the API answered {}{advice}", status.as_u16())
}

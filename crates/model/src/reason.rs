//! `Reason` is the closed catalogue of reasons for a refusal. One word is the API
//! (`google.rpc.ErrorInfo.reason`), the label of a metric, the outcome in evidence and the page in
//! `docs/errors/`.

use std::fmt;
use std::str::FromStr;

/// A gRPC status code, by its number on the wire (<https://grpc.io/docs/guides/status-codes/>).
#[expect(missing_docs, reason = "the names are gRPC's own")]
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[repr(u8)]
pub enum Code {
    Cancelled = 1,
    Unknown = 2,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    OutOfRange = 11,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    DataLoss = 15,
    Unauthenticated = 16,
}

macro_rules! reasons {
    ($($code:ident { $($variant:ident $word:literal $english:literal $persian:literal)* })*) => {
        /// Why a call was not answered by its provider. Exactly one per refusal.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub enum Reason {
            $($(#[doc = $english] $variant,)*)*
        }

        impl Reason {
            /// Every reason, in the order of the catalogue.
            pub const ALL: &[Self] = &[$($(Self::$variant,)*)*];

            /// The word, e.g. `NOT_GRANTED`.
            pub fn as_str(self) -> &'static str {
                match self { $($(Self::$variant => $word,)*)* }
            }

            /// The gRPC status code that carries it.
            pub fn code(self) -> Code {
                match self { $($(Self::$variant => Code::$code,)*)* }
            }

            /// One neutral English sentence for the caller; names no one and shows no value.
            pub fn english(self) -> &'static str {
                match self { $($(Self::$variant => $english,)*)* }
            }

            /// The same in Persian.
            pub fn persian(self) -> &'static str {
                match self { $($(Self::$variant => $persian,)*)* }
            }
        }
    };
}

reasons! {
    Unauthenticated {
        CertificateRequired "CERTIFICATE_REQUIRED" "the call came without a client certificate" "گواهی کلاینت ارائه نشده است"
        IdentityAmbiguous "IDENTITY_AMBIGUOUS" "the certificate does not name exactly one SPIFFE identity" "گواهی دقیقاً یک شناسه ندارد"
        IdentityUnknown "IDENTITY_UNKNOWN" "the certificate's identity is not registered" "این شناسه ثبت نشده است"
        IssuerNotAllowed "ISSUER_NOT_ALLOWED" "this certificate authority may not speak for this member" "این مرجع صدور گواهی مجاز نیست برای این عضو گواهی صادر کند"
        CertificateRevoked "CERTIFICATE_REVOKED" "the certificate has been revoked" "گواهی باطل شده است"
        CertificateExpired "CERTIFICATE_EXPIRED" "the certificate is not valid at this time" "گواهی در این زمان معتبر نیست"
        SignatureInvalid "SIGNATURE_INVALID" "the request's signature does not verify" "امضای درخواست معتبر نیست"
        ReplayDetected "REPLAY_DETECTED" "this signed request was seen before" "این درخواست امضاشده پیش‌تر دیده شده است"
    }
    Unimplemented {
        MethodUnknown "METHOD_UNKNOWN" "the bus knows no such method" "چنین روشی شناخته نیست"
        EncodingUnsupported "ENCODING_UNSUPPORTED" "the message encoding is not supported" "این کدگذاری پیام پشتیبانی نمی‌شود"
        Cardinality "CARDINALITY" "the call carries another number of messages than the method takes" "تعداد پیام‌ها با تعریف روش نمی‌خواند"
    }
    InvalidArgument {
        PurposeRequired "PURPOSE_REQUIRED" "this method needs a purpose: send `chapar-purpose`" "هدف درخواست ذکر نشده است"
        PurposeUnknown "PURPOSE_UNKNOWN" "the contract does not know this purpose" "این هدف در قرارداد نیست"
        CaseRequired "CASE_REQUIRED" "the grant needs a case number: send `chapar-case`" "شمارهٔ پرونده لازم است"
        CaseInvalid "CASE_INVALID" "the case number is malformed" "شمارهٔ پرونده درست نیست"
        ClerkRequired "CLERK_REQUIRED" "the grant needs the clerk: send `chapar-clerk`" "نام کاربر متصدی لازم است"
        ClerkInvalid "CLERK_INVALID" "the clerk's name is malformed" "نام کاربر متصدی درست نیست"
        MetadataAmbiguous "METADATA_AMBIGUOUS" "a metadata key of the bus came more than once, or is malformed" "فراداده مبهم است"
        MetadataReserved "METADATA_RESERVED" "the prefix `chapar-` is reserved, and this key is not one that a caller may send" "این نام فراداده ویژهٔ گذرگاه است"
        RequestMalformed "REQUEST_MALFORMED" "the request is not a valid message of its type" "پیام درخواست درست نیست"
        NestingTooDeep "NESTING_TOO_DEEP" "the message is nested too deeply" "تودرتویی پیام بیش از اندازه است"
        FieldInvalid "FIELD_INVALID" "a field of the request is missing or not in its format" "مقدار یک فیلد درست نیست"
        PageTokenInvalid "PAGE_TOKEN_INVALID" "the page token is not valid" "نشانهٔ صفحه معتبر نیست"
    }
    PermissionDenied {
        NotGranted "NOT_GRANTED" "the caller has no grant for this method" "برای این روش مجوزی داده نشده است"
        PurposeNotGranted "PURPOSE_NOT_GRANTED" "the grant does not cover this purpose" "این هدف در مجوز نیست"
        GrantExpired "GRANT_EXPIRED" "the grant is not valid at this time" "مجوز در این زمان اعتبار ندارد"
        OutOfHours "OUT_OF_HOURS" "the grant does not cover this hour" "مجوز این ساعت را در بر نمی‌گیرد"
        DelegationNotGranted "DELEGATION_NOT_GRANTED" "that member has not delegated this call to the caller" "این عضو چنین نمایندگی‌ای نداده است"
        Suspended "SUSPENDED" "the caller, the provider or the grant is suspended" "این عضو یا مجوز تعلیق شده است"
    }
    ResourceExhausted {
        RateLimited "RATE_LIMITED" "over the grant's rate" "بیش از نرخ مجاز"
        ConcurrencyLimited "CONCURRENCY_LIMITED" "too many calls of this grant at once" "تعداد درخواست‌های هم‌زمان بیش از حد مجاز است"
        DailyQuotaSpent "DAILY_QUOTA_SPENT" "the grant's calls for today are spent" "سهمیهٔ امروز تمام شده است"
        SubjectQuotaSpent "SUBJECT_QUOTA_SPENT" "too many different people asked for" "تعداد افراد استعلام‌شده بیش از حد مجاز است"
        MessageTooLarge "MESSAGE_TOO_LARGE" "a message is over the size limit" "پیام بزرگ‌تر از حد مجاز است"
        HeadersTooLarge "HEADERS_TOO_LARGE" "the metadata is over the size limit" "فراداده بزرگ‌تر از حد مجاز است"
    }
    FailedPrecondition {
        RecordNotUnique "RECORD_NOT_UNIQUE" "the register holds more than one record where it must hold one" "بیش از یک رکورد یافت شد"
        SchemaDrift "SCHEMA_DRIFT" "the agency's database no longer fits the contract of this method" "ساختار پایگاه داده با قرارداد نمی‌خواند"
        RequestIdConflict "REQUEST_ID_CONFLICT" "this request id was used with another request" "این شناسهٔ درخواست با محتوای دیگری به کار رفته است"
    }
    NotFound {
        ProcedureUnknown "PROCEDURE_UNKNOWN" "there is no such procedure, or it is not the caller's" "چنین کاری برای شما تعریف نشده است"
        RecordNotFound "RECORD_NOT_FOUND" "the register has no such record for this caller" "رکوردی یافت نشد"
    }
    OutOfRange {
        TooManyRows "TOO_MANY_ROWS" "the answer has more rows than the contract allows" "تعداد ردیف‌ها بیش از حد مجاز است"
    }
    DataLoss {
        ValueUnreadable "VALUE_UNREADABLE" "a stored value does not fit the contract's type" "مقدار ذخیره‌شده خوانا نیست"
        NullInRequired "NULL_IN_REQUIRED" "a value that the contract requires is missing in the register" "مقدار لازم در پایگاه داده نیست"
    }
    Unavailable {
        AdapterUnavailable "ADAPTER_UNAVAILABLE" "the agency's adapter cannot be reached" "سامانهٔ دستگاه در دسترس نیست"
        SourceDown "SOURCE_DOWN" "the agency's database cannot be reached" "پایگاه دادهٔ دستگاه در دسترس نیست"
        SourceBusy "SOURCE_BUSY" "the agency's database is busy" "پایگاه دادهٔ دستگاه مشغول است"
        Overloaded "OVERLOADED" "the bus is overloaded" "گذرگاه پربار است"
        EvidenceUnavailable "EVIDENCE_UNAVAILABLE" "the call could not be recorded, so it was not made" "ثبت استعلام ممکن نبود، پس پاسخ داده نشد"
        RegistryStale "REGISTRY_STALE" "the gateway's policy is too old to be trusted" "سیاست‌نامهٔ گذرگاه کهنه است"
    }
    DeadlineExceeded {
        DeadlineExceeded "DEADLINE_EXCEEDED" "the call's deadline has passed" "مهلت درخواست تمام شد"
        SourceTimeout "SOURCE_TIMEOUT" "the agency's database did not answer in time" "پایگاه دادهٔ دستگاه به‌موقع پاسخ نداد"
    }
    Cancelled {
        Cancelled "CANCELLED" "the caller cancelled the call" "درخواست لغو شد"
    }
    Unknown {
        ProviderStatus "PROVIDER_STATUS" "the agency's own server ended the call with a status of its own" "سرور دستگاه درخواست را با وضعیت خود پایان داد"
    }
    Internal {
        ContractViolation "CONTRACT_VIOLATION" "the agency's answer does not fit the contract, so nothing was released" "پاسخ دستگاه با قرارداد نمی‌خواند"
        SourceRefused "SOURCE_REFUSED" "the agency's database refused the statement" "پایگاه دادهٔ دستگاه درخواست را نپذیرفت"
        FrameMalformed "FRAME_MALFORMED" "the gRPC framing is malformed" "قاب‌بندی پیام درست نیست"
        TimeoutMalformed "TIMEOUT_MALFORMED" "`grpc-timeout` is malformed" "مهلت درخواست درست نوشته نشده است"
        DecompressionFailed "DECOMPRESSION_FAILED" "the message could not be decompressed" "پیام از فشردگی درنیامد"
    }
}

impl Reason {
    /// Whether trying the same call again later can help.
    pub fn is_transient(self) -> bool {
        // Every reason with UNAVAILABLE can pass by itself. Of the other codes only these three can.
        matches!(self.code(), Code::Unavailable)
            || matches!(self, Self::RateLimited | Self::ConcurrencyLimited | Self::SourceTimeout)
    }

    /// Whether an adapter may give it to the gateway's caller: it is about the request, the agency's data or
    /// its database. Any other one of an adapter is `ADAPTER_UNAVAILABLE` to the caller.
    pub fn is_for_adapters(self) -> bool {
        matches!(
            self,
            Self::Cardinality
                | Self::DeadlineExceeded
                | Self::FieldInvalid
                | Self::FrameMalformed
                | Self::MessageTooLarge
                | Self::NullInRequired
                | Self::PageTokenInvalid
                | Self::RecordNotFound
                | Self::RecordNotUnique
                | Self::RequestMalformed
                | Self::SchemaDrift
                | Self::SourceBusy
                | Self::SourceDown
                | Self::SourceRefused
                | Self::SourceTimeout
                | Self::TooManyRows
                | Self::ValueUnreadable
        )
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Reason {
    type Err = crate::InvalidId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.iter().find(|reason| reason.as_str() == text);
        known.copied().ok_or(crate::InvalidId { kind: "reason", rule: "a word of the catalogue" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_a_valid_error_info_reason() {
        for reason in Reason::ALL {
            let word = reason.as_str();
            assert!(word.len() <= 63 && word.bytes().all(|b| b.is_ascii_uppercase() || b == b'_'), "{word}");
            assert_eq!(word.parse(), Ok(*reason));
        }
    }
}

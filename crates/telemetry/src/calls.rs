//! `CallSummary` is one kept call as its server span shows it, and `CallFilter` chooses calls: what a list of
//! calls shows, without the other spans of their traces.

use std::borrow::Cow;
use std::time::Duration;

use opentelemetry::Value;
use opentelemetry::trace::SpanKind;
use opentelemetry_sdk::trace::SpanData;

use crate::names;
use crate::store::micros;

/// One call that ended at the gateway; each part of an inquiry is one too. Texts are empty where the span has
/// no such attribute.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CallSummary {
    /// 32 hexadecimal digits.
    pub trace_id: String,
    /// The bus's name of the call.
    pub call_id: String,
    /// Microseconds since the Unix epoch.
    pub start_unix_us: u64,
    /// Microseconds.
    pub duration_us: u64,
    /// `package.Service/Method`; empty for a method that the registry does not know.
    pub method: String,
    /// The caller's subsystem.
    pub caller: String,
    /// `OK` or the reason.
    pub outcome: String,
    /// Name of the gRPC status.
    pub status: String,
    /// The grant that allowed the call.
    pub grant: String,
    /// The purpose code.
    pub purpose: String,
    /// How many fields the grant disclosed.
    pub disclosed: u64,
    /// How many fields it withheld.
    pub withheld: u64,
}

/// Which outcomes a [`CallFilter`] wants.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Outcomes {
    /// All.
    #[default]
    Any,
    /// All but `OK`.
    Refused,
    /// One: `OK` or a reason.
    One(String),
}

/// A choice of calls. What is set must fit; the default fits every call.
#[derive(Clone, Debug, Default)]
pub struct CallFilter {
    /// A subsystem, or a member with all of its subsystems.
    pub caller: Option<String>,
    /// A method, or a service with all of its methods.
    pub method: Option<String>,
    /// Services of which the method must be one.
    pub services: Option<Vec<String>>,
    /// By outcome.
    pub outcomes: Outcomes,
    /// A grant's id.
    pub grant: Option<String>,
    /// The least duration.
    pub at_least: Duration,
}

impl CallSummary {
    /// The call whose span this is; nothing for a span of another kind. An adapter's server span has a parent
    /// in the gateway; a gateway's has none, or, for a part of an inquiry, one in the same process.
    pub(crate) fn of(span: &SpanData) -> Option<Self> {
        if span.span_kind != SpanKind::Server || span.parent_span_is_remote {
            return None;
        }
        let value = |name: &str| {
            span.attributes.iter().find(|known| known.key.as_str() == name).map(|known| &known.value)
        };
        let text = |name: &str| value(name).map(Value::as_str).map(Cow::into_owned).unwrap_or_default();
        let count = |name: &str| match value(name) {
            Some(Value::I64(count)) => u64::try_from(*count).unwrap_or_default(),
            _ => 0,
        };
        Some(Self {
            trace_id: span.span_context.trace_id().to_string(),
            call_id: text(names::CALL_ID),
            start_unix_us: micros(span.start_time.duration_since(std::time::UNIX_EPOCH)),
            duration_us: micros(span.end_time.duration_since(span.start_time)),
            method: text(names::RPC_METHOD),
            caller: text(names::CALLER),
            outcome: text(names::OUTCOME),
            status: text(names::RPC_STATUS),
            grant: text(names::GRANT),
            purpose: text(names::PURPOSE),
            disclosed: count(names::FIELDS_DISCLOSED),
            withheld: count(names::FIELDS_WITHHELD),
        })
    }

    /// When it ended, in microseconds since the Unix epoch.
    pub(crate) fn end_unix_us(&self) -> u64 {
        self.start_unix_us.saturating_add(self.duration_us)
    }

    /// Whether it has an outcome, and that is not `OK`.
    pub(crate) fn is_refused(&self) -> bool {
        !self.outcome.is_empty() && self.outcome != names::OK
    }

    /// Whether it is one of those of which anyone with a certificate can make as many as it likes: a refused
    /// one, or one of the gateway's own services.
    pub(crate) fn is_cheap(&self) -> bool {
        self.is_refused() || names::OWN.iter().any(|own| self.method.starts_with(own))
    }

    /// Whether looking at calls made it.
    pub(crate) fn is_looking(&self) -> bool {
        self.method.starts_with(names::OBSERVE) && !self.is_refused()
    }

    /// Whether the call is one of those that the filter wants.
    pub(crate) fn fits(&self, filter: &CallFilter) -> bool {
        let service = self.method.split_once('/').map_or("", |(service, _)| service);
        let by_caller = |wanted: &String| *wanted == self.caller || is_member_of(&self.caller, wanted);
        let by_outcome = match &filter.outcomes {
            Outcomes::Any => true,
            Outcomes::Refused => self.is_refused(),
            Outcomes::One(wanted) => *wanted == self.outcome,
        };
        let least = u64::try_from(filter.at_least.as_micros()).unwrap_or(u64::MAX);
        by_outcome
            && filter.caller.as_ref().is_none_or(by_caller)
            && filter.method.as_ref().is_none_or(|wanted| *wanted == self.method || wanted == service)
            && filter.services.as_ref().is_none_or(|services| services.iter().any(|known| known == service))
            && filter.grant.as_ref().is_none_or(|wanted| *wanted == self.grant)
            && self.duration_us >= least
    }
}

/// Whether `caller`, e.g. `gov/welfare/benefits`, is a subsystem of the member `gov/welfare`.
fn is_member_of(caller: &str, member: &str) -> bool {
    caller.strip_prefix(member).is_some_and(|rest| rest.starts_with('/'))
}

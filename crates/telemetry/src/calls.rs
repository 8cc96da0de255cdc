//! `CallSummary` is one kept call as its server span tells it, and `CallFilter` chooses calls: what a list of
//! calls shows, without the other spans of their traces.

use std::borrow::Cow;
use std::time::Duration;

use opentelemetry::trace::SpanKind;
use opentelemetry::{SpanId, Value};
use opentelemetry_sdk::trace::SpanData;

use crate::names;
use crate::store::micros;

/// One call that ended at the gateway. Texts are empty where the span has no such attribute.
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
    /// A service whose calls are left out.
    pub except: Option<&'static str>,
    /// By outcome.
    pub outcomes: Outcomes,
    /// A grant's id.
    pub grant: Option<String>,
    /// The least duration.
    pub at_least: Duration,
}

/// The span of a call at the gateway: of kind `SERVER` and without a parent. An adapter's has the gateway's
/// as its parent.
pub(crate) struct CallSpan<'a>(&'a SpanData);

impl<'a> CallSpan<'a> {
    pub(crate) fn of(span: &'a SpanData) -> Option<Self> {
        (span.span_kind == SpanKind::Server && span.parent_span_id == SpanId::INVALID).then_some(Self(span))
    }

    fn value(&self, name: &str) -> Option<&Value> {
        self.0.attributes.iter().find(|known| known.key.as_str() == name).map(|known| &known.value)
    }

    fn text(&self, name: &str) -> Cow<'_, str> {
        self.value(name).map(Value::as_str).unwrap_or_default()
    }

    fn count(&self, name: &str) -> u64 {
        match self.value(name) {
            Some(Value::I64(count)) => u64::try_from(*count).unwrap_or_default(),
            _ => 0,
        }
    }

    fn duration_us(&self) -> u64 {
        micros(self.0.end_time.duration_since(self.0.start_time))
    }

    /// Whether the call is one of those that the filter wants.
    pub(crate) fn fits(&self, filter: &CallFilter) -> bool {
        let method = self.text(names::RPC_METHOD);
        let service = method.split_once('/').map_or("", |(service, _)| service);
        let caller = self.text(names::CALLER);
        let outcome = self.text(names::OUTCOME);
        let by_caller = |wanted: &String| *wanted == caller || is_member_of(&caller, wanted);
        let by_outcome = match &filter.outcomes {
            Outcomes::Any => true,
            Outcomes::Refused => outcome != names::OK,
            Outcomes::One(wanted) => *wanted == outcome,
        };
        let least = u64::try_from(filter.at_least.as_micros()).unwrap_or(u64::MAX);
        by_outcome
            && filter.caller.as_ref().is_none_or(by_caller)
            && filter.method.as_ref().is_none_or(|wanted| *wanted == method || wanted == service)
            && filter.services.as_ref().is_none_or(|services| services.iter().any(|known| known == service))
            && filter.except.is_none_or(|left_out| left_out != service)
            && filter.grant.as_ref().is_none_or(|wanted| *wanted == self.text(names::GRANT))
            && self.duration_us() >= least
    }

    pub(crate) fn summary(&self) -> CallSummary {
        let text = |name| self.text(name).into_owned();
        CallSummary {
            trace_id: self.0.span_context.trace_id().to_string(),
            call_id: text(names::CALL_ID),
            start_unix_us: micros(self.0.start_time.duration_since(std::time::UNIX_EPOCH)),
            duration_us: self.duration_us(),
            method: text(names::RPC_METHOD),
            caller: text(names::CALLER),
            outcome: text(names::OUTCOME),
            status: text(names::RPC_STATUS),
            grant: text(names::GRANT),
            purpose: text(names::PURPOSE),
            disclosed: self.count(names::FIELDS_DISCLOSED),
            withheld: self.count(names::FIELDS_WITHHELD),
        }
    }
}

/// Whether `caller`, e.g. `gov/welfare/benefits`, is a subsystem of the member `gov/welfare`.
fn is_member_of(caller: &str, member: &str) -> bool {
    caller.strip_prefix(member).is_some_and(|rest| rest.starts_with('/'))
}

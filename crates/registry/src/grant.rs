//! `Grant` is a provider's permission to call a method. Its `Permit` is built once at load, so that a
//! decision only clones an `Arc`.

use std::fmt;
use std::sync::Arc;

use chapar_contract::RowField;
use chapar_contract::wire::FieldMask;
use chapar_model::{
    CaseNumber, ClerkId, GrantId, Limits, MemberId, MethodPath, Purpose, Quotas, Reason, RowScopes,
    SubsystemId, tehran,
};
use jiff::civil::Date;
use jiff::{Span, Timestamp};
use regex::Regex;

/// A provider's permission for one subsystem to call one method.
#[derive(Clone, Debug)]
pub struct Grant {
    /// Unique among the registry's grants and delegations.
    pub id: GrantId,
    /// The subsystem or group that may call.
    pub to: Grantee,
    /// The member that gave the grant: the provider of the service.
    pub provider: MemberId,
    /// The method that may be called.
    pub method: MethodPath,
    /// Purposes that the grant covers; empty only where the contract has none.
    pub purposes: Vec<Purpose>,
    /// Granted response fields, as written. Key fields are disclosed besides.
    pub fields: Arc<[String]>,
    /// Rows that may be seen.
    pub rows: Arc<RowScopes>,
    /// Row scopes that the gateway checks on the response of an agency's own gRPC server. Empty for an
    /// adapter, which narrows rows in its database.
    pub row_checks: Vec<RowCheck>,
    /// Days on which the grant holds.
    pub valid: Validity,
    /// Hours of those days at which the grant holds; all hours if absent.
    pub hours: Option<Hours>,
    /// Rate, burst and concurrency.
    pub limit: Limits,
    /// Calls in a day, and different citizens asked for.
    pub quotas: Quotas,
    /// Metadata that a call must carry.
    pub requires: Requires,
    /// The legal basis, which the citizen can read.
    pub basis: Arc<str>,
    /// Whether the citizen sees the disclosure.
    pub citizen: Citizen,
}

impl Grant {
    /// Rate, burst and concurrency, for the limiter.
    pub fn limits(&self) -> Limits {
        self.limit
    }
}

/// A row scope as the gateway checks it on wire bytes.
#[derive(Clone, Debug)]
pub struct RowCheck {
    /// The field of the response.
    pub field: RowField,
    /// Allowed values of the field.
    pub values: Vec<String>,
}

/// The subsystem or group that a grant is for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Grantee {
    /// One subsystem.
    Subsystem(SubsystemId),
    /// Every subsystem of a group, by its name.
    Group(Arc<str>),
}

impl fmt::Display for Grantee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Subsystem(id) => id.fmt(f),
            Self::Group(name) => write!(f, "group/{name}"),
        }
    }
}

/// Whole days in Asia/Tehran, the first and the last included.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Validity {
    /// The first day.
    pub from: Date,
    /// The last day, not before the first.
    pub until: Date,
    start: Timestamp,
    end: Timestamp,
}

impl Validity {
    /// Returns `None` if `until` is before `from`, or a day is out of the calendar.
    pub(crate) fn new(from: Date, until: Date) -> Option<Self> {
        let start = tehran::midnight(from)?;
        // The end is the midnight after the last day and is excluded, so that the whole last day counts.
        let end = tehran::midnight(until.tomorrow().ok()?)?;
        (from <= until).then_some(Self { from, until, start, end })
    }

    /// Whether `now` is in it.
    pub fn covers(&self, now: Timestamp) -> bool {
        (self.start..self.end).contains(&now)
    }

    /// Whether its last day has passed.
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.end <= now
    }

    /// The days that both have.
    pub(crate) fn overlap(&self, other: &Self) -> Option<Self> {
        Self::new(self.from.max(other.from), self.until.min(other.until))
    }
}

/// Hours on some days of the week, in Tehran time. They never run over midnight.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Hours {
    /// Chosen days of the week; the first is Saturday.
    days: [bool; 7],
    /// Minutes of the day.
    from: u16,
    until: u16,
}

/// The days of the week as the registry writes them; the first is Saturday.
pub(crate) const WEEK: [&str; 7] = ["sat", "sun", "mon", "tue", "wed", "thu", "fri"];
/// Seconds of a day without leap seconds, as Unix time counts them.
const DAY_SECONDS: i64 = 24 * 60 * 60;

impl Hours {
    /// Nothing if no day is chosen, or `until` is not after `from`, or is after 24:00; both are minutes of
    /// the day.
    pub(crate) fn new(days: [bool; 7], from: u16, until: u16) -> Option<Self> {
        (days.contains(&true) && from < until && until <= 24 * 60).then_some(Self { days, from, until })
    }

    /// Whether `now` is within the hours: `from` is included, `until` is not.
    pub fn covers(&self, now: Timestamp) -> bool {
        let local = now.as_second() + i64::from(tehran::OFFSET_SECONDS);
        // The 1st of January 1970 was a Thursday, five days after a Saturday. `rem_euclid` gives 0 to 6, so
        // the default is never used.
        let weekday = usize::try_from((local.div_euclid(DAY_SECONDS) + 5).rem_euclid(7)).unwrap_or(0);
        let minute = local.rem_euclid(DAY_SECONDS) / 60;
        self.days[weekday] && (i64::from(self.from)..i64::from(self.until)).contains(&minute)
    }

    /// The first moment of `valid` at which the hours hold, if there is one.
    pub(crate) fn first_in(&self, valid: &Validity) -> Option<Timestamp> {
        // Seven days are enough, because every day of the week is among them.
        let opens = |day: i64| valid.start + Span::new().hours(24 * day).minutes(i64::from(self.from));
        (0..7).map(opens).find(|moment| self.covers(*moment) && valid.covers(*moment))
    }
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days: Vec<&str> =
            WEEK.iter().zip(self.days).filter(|(_, chosen)| *chosen).map(|(day, _)| *day).collect();
        let [from, until] =
            [self.from, self.until].map(|minute| format!("{:02}:{:02}", minute / 60, minute % 60));
        write!(f, "{} from {from} until {until}", days.join(", "))
    }
}

/// What a call under a grant must carry besides its purpose.
#[derive(Clone, Debug, Default)]
pub struct Requires {
    /// The file number.
    pub case: bool,
    /// The person at the keyboard.
    pub clerk: bool,
    pub(crate) pattern: Option<Regex>,
}

impl Requires {
    /// The metadata that must be there, by its short names: `case`, `clerk`.
    pub fn names(&self) -> Vec<String> {
        let named = [(self.case, "case"), (self.clerk, "clerk")];
        named.into_iter().filter(|(required, _)| *required).map(|(_, name)| name.to_owned()).collect()
    }

    pub(crate) fn check(&self, case: Option<&CaseNumber>, clerk: Option<&ClerkId>) -> Result<(), Reason> {
        // The pattern applies only where a case is required; the loader refuses a pattern without that.
        match (self.case, case) {
            (true, None) => return Err(Reason::CaseRequired),
            (true, Some(case))
                if self.pattern.as_ref().is_some_and(|pattern| !pattern.is_match(case.as_str())) =>
            {
                return Err(Reason::CaseInvalid);
            }
            _ => {}
        }
        if self.clerk && clerk.is_none() { Err(Reason::ClerkRequired) } else { Ok(()) }
    }
}

/// Whether the citizen sees a disclosure in their own list.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Citizen {
    /// The disclosure is shown at once.
    Shown,
    /// The disclosure is shown from this day on.
    After(Date),
}

/// What an allowed call may disclose: the result of a decision. Built once at load.
#[derive(Clone, Debug)]
pub struct Permit {
    /// The grant that allows the call.
    pub grant: Arc<Grant>,
    /// The delegation by which another member's right is used.
    pub delegation: Option<GrantId>,
    /// Copies the disclosed fields of a response message and nothing else.
    pub mask: Arc<FieldMask>,
    /// Response paths that are disclosed, key fields included, in the order of the contract.
    pub disclosed: Arc<[String]>,
    /// The other response paths.
    pub withheld: Arc<[String]>,
    /// The rows that may be seen.
    pub rows: Arc<RowScopes>,
    /// `disclosed` for the adapter, separated by commas.
    pub fields_header: Arc<str>,
    /// Both lists as the caller receives them: `disclosed=a,b;withheld=c`.
    pub fields_trailer: Arc<str>,
    /// `rows` for the adapter; empty for every row.
    pub rows_header: Arc<str>,
}

/// What a method discloses for some granted fields. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Disclosure {
    /// The granted fields, as written.
    pub(crate) fields: Arc<[String]>,
    pub(crate) mask: Arc<FieldMask>,
    pub(crate) disclosed: Arc<[String]>,
    pub(crate) withheld: Arc<[String]>,
    pub(crate) fields_header: Arc<str>,
    pub(crate) fields_trailer: Arc<str>,
}

impl Permit {
    /// The permit of `grant`, narrowed to what is disclosed.
    pub(crate) fn new(
        grant: &Arc<Grant>,
        delegation: Option<GrantId>,
        disclosure: Disclosure,
        rows_header: Arc<str>,
    ) -> Self {
        let Disclosure { mask, disclosed, withheld, fields_header, fields_trailer, .. } = disclosure;
        Self {
            grant: Arc::clone(grant),
            delegation,
            mask,
            disclosed,
            withheld,
            rows: Arc::clone(&grant.rows),
            fields_header,
            fields_trailer,
            rows_header,
        }
    }
}

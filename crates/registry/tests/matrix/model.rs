//! This reference decides as docs/reference/registry.md says, in the order of that page. It is slow and plain
//! on purpose.

use jiff::Timestamp;
use jiff::civil::Weekday;
use jiff::tz::TimeZone;

use super::world::{Delegation, Grant, World, provider};

pub(crate) const FIELDS: [&str; 5] = ["id", "name", "note", "place.city", "place.street"];
pub(crate) const METHODS: [&str; 3] = ["desk.v1.Desk/Get", "desk.v1.Desk/List", "desk.v1.Secret/Get"];

/// One question.
#[derive(Debug)]
pub(crate) struct Ask<'a> {
    pub(crate) caller: &'a str,
    pub(crate) method: &'a str,
    pub(crate) purpose: Option<&'a str>,
    pub(crate) case: Option<&'a str>,
    pub(crate) clerk: bool,
    pub(crate) on_behalf_of: Option<&'a str>,
    pub(crate) now: Timestamp,
}

/// The disclosed fields, or the reason.
pub(crate) fn answer<'w>(world: &'w World, ask: &Ask<'_>) -> Result<Vec<&'w str>, &'static str> {
    let service = ask.method.split('/').next().unwrap();
    let mine: Vec<Way<'w>> =
        ways(world, ask.caller).into_iter().filter(|way| way.grant.method == ask.method).collect();
    if service == "desk.v1.Secret" && world.hidden && mine.is_empty() {
        return Err("METHOD_UNKNOWN");
    }
    if stopped(world, ask.caller, ask.now) || stopped(world, provider(), ask.now) {
        return Err("SUSPENDED");
    }
    match ask.purpose {
        None => return Err("PURPOSE_REQUIRED"),
        Some("a.read" | "a.write" | "b") => {}
        Some(_) => return Err("PURPOSE_UNKNOWN"),
    }
    let mine = mine.into_iter().filter(|way| way.delegation.map(|d| d.by.as_str()) == ask.on_behalf_of);
    let mut nearest = (0, if ask.on_behalf_of.is_some() { "DELEGATION_NOT_GRANTED" } else { "NOT_GRANTED" });
    for way in mine {
        match way.hurdle(world, ask) {
            None => return way.requires(ask).map(|()| way.fields()),
            Some(hurdle) => nearest = nearest.max(hurdle),
        }
    }
    Err(nearest.1)
}

/// A grant, used by itself or through a delegation.
struct Way<'w> {
    grant: &'w Grant,
    delegation: Option<&'w Delegation>,
}

/// Every way that a caller has, valid or not.
fn ways<'w>(world: &'w World, caller: &str) -> Vec<Way<'w>> {
    let own = world
        .grants
        .iter()
        .filter(|grant| world.is(caller, &grant.to))
        .map(|grant| Way { grant, delegation: None });
    let delegated = world.delegations.iter().filter(|d| world.is(caller, &d.to)).flat_map(|delegation| {
        let of_giver = |grant: &&Grant| world.members_of(&grant.to).contains(&delegation.by.as_str());
        let both = |grant: &&Grant| {
            delegation.method == grant.method
                && grant.purposes.iter().any(|p| delegation.purposes.contains(p))
                && grant.fields.iter().any(|f| delegation.gives(f))
        };
        let grants = world.grants.iter().filter(of_giver).filter(both);
        grants.map(|grant| Way { grant, delegation: Some(delegation) })
    });
    own.chain(delegated).collect()
}

impl<'w> Way<'w> {
    /// Nothing if it holds; else how far it got, and the reason.
    fn hurdle(&self, world: &World, ask: &Ask<'_>) -> Option<(u8, &'static str)> {
        let grant = self.grant;
        let now = ask.now;
        let purpose = ask.purpose.unwrap();
        let for_it = |purposes: &[&str]| purposes.contains(&purpose);
        let delegated = |test: &dyn Fn(&Delegation) -> bool| self.delegation.is_none_or(test);
        let hurdles = [
            (delegated(&|d| within(&d.valid, now)), (1, "DELEGATION_NOT_GRANTED")),
            (delegated(&|d| for_it(&d.purposes)), (2, "PURPOSE_NOT_GRANTED")),
            (within(&grant.valid, now), (3, "GRANT_EXPIRED")),
            (for_it(&grant.purposes), (4, "PURPOSE_NOT_GRANTED")),
            (!grant.hours || office_hours(now), (5, "OUT_OF_HOURS")),
            (!stopped(world, &format!("grant/{}", grant.id), now), (6, "SUSPENDED")),
            (delegated(&|d| !stopped(world, &format!("grant/{}", d.id), now)), (6, "SUSPENDED")),
            (delegated(&|d| !stopped(world, &d.by, now)), (6, "SUSPENDED")),
        ];
        hurdles.into_iter().find(|(passed, _)| !passed).map(|(_, hurdle)| hurdle)
    }

    fn requires(&self, ask: &Ask<'_>) -> Result<(), &'static str> {
        let case = self.grant.requires.contains(&"case");
        match ask.case {
            None if case => return Err("CASE_REQUIRED"),
            // Every pattern of the worlds asks for 14, two digits, a slash and a number.
            Some(case_number) if case && self.grant.pattern && case_number != "1405/7" => {
                return Err("CASE_INVALID");
            }
            _ => {}
        }
        if self.grant.requires.contains(&"clerk") && !ask.clerk { Err("CLERK_REQUIRED") } else { Ok(()) }
    }

    fn fields(&self) -> Vec<&'w str> {
        let granted = self.grant.fields.iter().filter(|f| self.delegation.is_none_or(|d| d.gives(f)));
        granted.copied().chain(["id"]).collect()
    }
}

/// First and last day, both included, in Tehran.
fn within((from, until): &(&str, &str), now: Timestamp) -> bool {
    let day = tehran(now).date().to_string();
    *from <= day.as_str() && day.as_str() <= *until
}

/// Saturday to Wednesday, 07:30 to 14:00.
fn office_hours(now: Timestamp) -> bool {
    let local = tehran(now);
    let minute = i32::from(local.hour()) * 60 + i32::from(local.minute());
    !matches!(local.weekday(), Weekday::Thursday | Weekday::Friday) && (450..840).contains(&minute)
}

fn tehran(now: Timestamp) -> jiff::civil::DateTime {
    let ahead = now + jiff::Span::new().minutes(3 * 60 + 30);
    TimeZone::UTC.to_datetime(ahead)
}

/// A subsystem stops with its member, an office with its licence.
fn stopped(world: &World, of: &str, now: Timestamp) -> bool {
    let member = if of.starts_with("grant/") {
        of.to_owned()
    } else {
        of.split('/').take(2).collect::<Vec<_>>().join("/")
    };
    let named = world.suspensions.iter().any(|s| {
        (s.of == of || s.of == member)
            && s.from.is_none_or(|from| from.parse::<Timestamp>().unwrap() <= now)
            && s.until.is_none_or(|until| now < until.parse::<Timestamp>().unwrap())
    });
    named || (member == "office/a" && world.licence.as_ref().is_some_and(|valid| !within(valid, now)))
}

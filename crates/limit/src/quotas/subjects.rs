//! `Subjects` counts the different citizens that were asked for in an hour and in a day. It keeps hashes, and
//! no more of them than a quota allows.

use std::collections::{BTreeMap, HashSet};

/// Half of a keyed hash of a citizen's id: 128 bits.
pub(super) type Subject = [u8; 16];

/// How many hours and days before and after the present one are remembered: two days of each, for a clock
/// that is set, and for records of the last day that are counted after later ones.
const KEPT_HOURS: u64 = 48;
const KEPT_DAYS: u64 = 2;

/// How many citizens an hour and a day have room for; nothing bounds them where it is absent.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Room {
    pub(super) hour: Option<u32>,
    pub(super) day: Option<u32>,
}

/// The hour and the day of a call, numbered from the epoch.
#[derive(Clone, Copy, Debug)]
pub(super) struct HourAndDay {
    pub(super) hour: i64,
    pub(super) day: i64,
}

impl HourAndDay {
    /// Whether another call is near enough to count beside this one.
    pub(super) fn is_near(self, other: Self) -> bool {
        self.day.abs_diff(other.day) <= KEPT_DAYS && self.hour.abs_diff(other.hour) <= KEPT_HOURS
    }
}

/// What has no room.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Full {
    Hour,
    Day,
}

/// Citizens by the hour and day in which they were asked for.
#[derive(Debug, Default)]
pub(super) struct Subjects {
    hours: BTreeMap<i64, HashSet<Subject>>,
    days: BTreeMap<i64, HashSet<Subject>>,
}

impl Subjects {
    /// Whether there is room to ask for the citizen.
    pub(super) fn check(&self, room: Room, at: HourAndDay, subject: &Subject) -> Result<(), Full> {
        let is_full = |known: &BTreeMap<i64, HashSet<Subject>>, period: i64, most: Option<u32>| {
            let Some(most) = most else { return false };
            let seen = known.get(&period);
            // Who was asked for before is no further citizen.
            seen.map_or(0, HashSet::len) >= most as usize && !seen.is_some_and(|seen| seen.contains(subject))
        };
        // The day is looked at first, because it is the longer time to wait.
        if is_full(&self.days, at.day, room.day) {
            return Err(Full::Day);
        }
        if is_full(&self.hours, at.hour, room.hour) { Err(Full::Hour) } else { Ok(()) }
    }

    /// Notes that the citizen was asked for, where that is bounded.
    pub(super) fn add(&mut self, room: Room, at: HourAndDay, subject: Subject) {
        let add = |known: &mut BTreeMap<i64, HashSet<Subject>>, period: i64, kept: u64| {
            known.retain(|other, _| other.abs_diff(period) <= kept);
            known.entry(period).or_default().insert(subject);
        };
        if room.hour.is_some() {
            add(&mut self.hours, at.hour, KEPT_HOURS);
        }
        if room.day.is_some() {
            add(&mut self.days, at.day, KEPT_DAYS);
        }
    }

    /// Adds what others counted.
    pub(super) fn absorb(&mut self, other: Self) {
        for (known, more) in [(&mut self.hours, other.hours), (&mut self.days, other.days)] {
            for (period, subjects) in more {
                known.entry(period).or_default().extend(subjects);
            }
        }
    }

    /// Citizens in this hour and this day.
    pub(super) fn count(&self, at: HourAndDay) -> (usize, usize) {
        let count = |known: Option<&HashSet<Subject>>| known.map_or(0, HashSet::len);
        (count(self.hours.get(&at.hour)), count(self.days.get(&at.day)))
    }

    /// Whether all that is known is of another time.
    pub(super) fn is_over(&self, at: HourAndDay) -> bool {
        self.hours.keys().all(|hour| hour.abs_diff(at.hour) > KEPT_HOURS)
            && self.days.keys().all(|day| day.abs_diff(at.day) > KEPT_DAYS)
    }
}

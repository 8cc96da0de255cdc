//! `Subjects` counts the different citizens that were asked for in an hour and in a day. It keeps hashes, and no more
//! of them than a quota allows.

use std::collections::{BTreeMap, HashSet};

/// Half of a keyed hash of a citizen's id: 128 bits.
pub(super) type Subject = [u8; 16];

/// How many hours or days before and after the present one are remembered, for a clock that is set.
const KEPT: i64 = 2;

/// How many citizens an hour and a day have room for; nothing bounds them where it is absent.
#[derive(Clone, Copy, Default)]
pub(super) struct Room {
    pub(super) hour: Option<u32>,
    pub(super) day: Option<u32>,
}

/// The hour and the day of a call, numbered from the epoch.
#[derive(Clone, Copy)]
pub(super) struct Period {
    pub(super) hour: i64,
    pub(super) day: i64,
}

/// What has no room.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Full {
    Hour,
    Day,
}

/// Citizens by the hour and day in which they were asked for.
#[derive(Default)]
pub(super) struct Subjects {
    hours: BTreeMap<i64, HashSet<Subject>>,
    days: BTreeMap<i64, HashSet<Subject>>,
}

impl Subjects {
    /// Whether there is room to ask for the citizen.
    pub(super) fn check(&self, room: Room, at: Period, subject: &Subject) -> Result<(), Full> {
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
    pub(super) fn add(&mut self, room: Room, at: Period, subject: Subject) {
        let add = |known: &mut BTreeMap<i64, HashSet<Subject>>, period: i64, most: Option<u32>| {
            if most.is_some() {
                known.retain(|other, _| other.abs_diff(period) <= KEPT.unsigned_abs());
                known.entry(period).or_default().insert(subject);
            }
        };
        add(&mut self.days, at.day, room.day);
        add(&mut self.hours, at.hour, room.hour);
    }

    /// Citizens in this hour and this day.
    pub(super) fn count(&self, at: Period) -> (usize, usize) {
        let count = |known: Option<&HashSet<Subject>>| known.map_or(0, HashSet::len);
        (count(self.hours.get(&at.hour)), count(self.days.get(&at.day)))
    }

    /// Whether all that is known is of another time.
    pub(super) fn is_over(&self, at: Period) -> bool {
        let is_over = |known: &BTreeMap<i64, HashSet<Subject>>, period: i64| {
            known.keys().all(|other| other.abs_diff(period) > KEPT.unsigned_abs())
        };
        is_over(&self.hours, at.hour) && is_over(&self.days, at.day)
    }
}

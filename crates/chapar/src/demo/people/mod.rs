//! This module makes the demo's citizens from a seed, family by family, the same every time and for every
//! register. They are taken from no list of real persons. What each register holds about a person is in
//! `data`.

pub(crate) mod calendar;
mod family;
pub(crate) mod names;
pub(crate) mod numbers;
pub(crate) mod places;
pub(crate) mod random;

pub(crate) use calendar::Day;
pub(crate) use family::{Family, Person, Role, Sex};
use places::Village;
use random::{For, Random};
use tokio_util::sync::CancellationToken;

/// The fewest people: the applicant of the story and a few others.
pub(crate) const MIN_PEOPLE: u32 = 10;
/// The most people that keep numbers unique and databases of a few GB.
pub(crate) const MAX_PEOPLE: u32 = 2_000_000;
/// The seed of the demo's people: the year of its first day.
pub(crate) const SEED: u64 = 1405;

/// A population: everything that is decided before the first family.
#[derive(Debug)]
pub(crate) struct People {
    seed: u64,
    count: u32,
    villages: Vec<Village>,
    stop: CancellationToken,
}

impl People {
    /// `count` people, whose values depend on `seed` and their place in the line alone.
    pub(crate) fn new(seed: u64, count: u32) -> Self {
        let villages = (1..=places::VILLAGE_COUNT).map(|id| places::village(seed, id)).collect();
        Self { seed, count, villages, stop: CancellationToken::new() }
    }

    /// The same people, who are made only until `stop`.
    pub(crate) fn until(self, stop: &CancellationToken) -> Self {
        Self { stop: stop.clone(), ..self }
    }

    /// Whether not all of them were made.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// The villages by id, the first is 1.
    pub(crate) fn villages(&self) -> &[Village] {
        &self.villages
    }

    /// The village with `id`.
    pub(crate) fn village(&self, id: u32) -> Option<&Village> {
        self.villages.get(id.checked_sub(1)? as usize)
    }

    /// How many people there are.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// Numbers for one use and one person (or family, or village).
    pub(crate) fn random(&self, purpose: For, index: u32) -> Random {
        Random::new(self.seed, purpose, u64::from(index))
    }

    /// The IBAN that a person has if the bank knows them.
    pub(crate) fn iban(&self, person: &Person) -> String {
        numbers::iban(self.seed, person.ordinal)
    }

    /// The families in order, made one at a time. The last one loses the children that would be too many.
    pub(crate) fn families(&self) -> impl Iterator<Item = Family> + '_ {
        let mut made = 0;
        (0..).map_while(move |index| {
            if made == self.count || self.is_stopped() {
                return None;
            }
            let mut family = Family::new(self, index, made);
            family.people.truncate((self.count - made) as usize);
            made += family.people.len() as u32;
            Some(family)
        })
    }
}

//! This module picks people worth asking about: a few with complete records, and one or two for every kind of
//! gap.

use serde::{Deserialize, Serialize};

use super::{agriculture, banking, civil, education, health};
use crate::demo::people::{Family, People, Person};

/// One citizen for trying out, with the registers that hold a record. Made up like all of them.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Sample {
    /// Ten digits.
    pub national_id: String,
    /// `IR` and 24 digits; none if the bank does not know the person.
    pub iban: Option<String>,
    /// Registers with a record, in the order of [`super::REGISTERS`].
    pub has: Vec<String>,
}

/// How many people are looked at, from the first.
const LOOKED_AT: usize = 5_000;
/// How many of each kind are taken.
const PEOPLE_PER_GAP: usize = 2;

/// What makes a person worth asking about. `Complete` people are farmers in all five registers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Complete,
    Lacks(&'static str),
    FatherUnknown,
    MisSpelt,
}

/// The sample, complete people first; the very first is the applicant of the demo's story.
pub(super) fn pick(people: &People) -> Vec<Sample> {
    let mut taken: Vec<(Kind, Sample)> = Vec::new();
    let families = people.families().flat_map(|family| {
        let samples: Vec<_> = family.people.iter().map(|person| look(people, &family, person)).collect();
        samples
    });
    for (kind, sample) in families.take(LOOKED_AT) {
        if let Some(kind) = kind
            && taken.iter().filter(|(other, _)| *other == kind).count() < PEOPLE_PER_GAP
        {
            taken.push((kind, sample));
        }
    }
    // The sort is stable, so the applicant of the story, who is made first, stays first.
    taken.sort_by_key(|(kind, _)| *kind != Kind::Complete);
    taken.into_iter().map(|(_, sample)| sample).collect()
}

fn look(people: &People, family: &Family, person: &Person) -> (Option<Kind>, Sample) {
    let civil = civil::entry(people, family, person);
    let health = health::record(people, family, person);
    let education = education::record(people, family, person);
    let farmer = agriculture::record(people, family, person);
    let customer = banking::record(people, family, person);
    let holds =
        [civil.is_some(), health.is_some(), education.is_some(), farmer.is_some(), customer.is_some()];
    let has = super::REGISTERS
        .iter()
        .zip(holds)
        .filter(|(_, holds)| *holds)
        .map(|(name, _)| (*name).to_owned())
        .collect();
    let lacking: Vec<&'static str> =
        super::REGISTERS.iter().zip(holds).filter(|(_, holds)| !holds).map(|(name, _)| *name).collect();
    // The order matters: a person with several gaps is shown for the first one that applies.
    let kind = match (lacking.as_slice(), &civil, &health) {
        ([], Some(entry), _) if entry.father_name.is_none() => Some(Kind::FatherUnknown),
        ([], _, Some(insured)) if insured.surname != person.family_name => Some(Kind::MisSpelt),
        ([], ..) => Some(Kind::Complete),
        ([one], ..) if person.alive => Some(Kind::Lacks(one)),
        _ => None,
    };
    let iban = customer.map(|customer| customer.iban);
    (kind, Sample { national_id: person.national_id.clone(), iban, has })
}

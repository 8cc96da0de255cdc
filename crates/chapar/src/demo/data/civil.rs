//! This module fills the civil register: all people, and the villages with their households and counter
//! offices.

use rusqlite::{Connection, params};

use super::gaps;
use crate::demo::people::places::PROVINCE;
use crate::demo::people::random::For;
use crate::demo::people::{Family, People, Person, Role, Sex};

/// Whether the register holds the person, and which of the values that may be absent it lacks.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) father_name: Option<&'static str>,
    pub(super) marital_status: Option<u8>,
}

/// What the register holds about a person.
pub(super) fn entry(people: &People, family: &Family, person: &Person) -> Option<Entry> {
    if gaps::is_missing(people, family, person, For::Civil) {
        return None;
    }
    let mut random = people.random(For::Civil, person.ordinal);
    let mut known = || family.is_applicants() || !random.happens(gaps::NULL);
    Some(Entry {
        father_name: known().then_some(person.father_name),
        marital_status: known().then_some(person.marital as u8),
    })
}

/// Writes villages and persons; gives the number of rows.
pub(super) fn write(database: &Connection, people: &People) -> rusqlite::Result<u64> {
    let mut village = database.prepare("INSERT INTO village VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
    let mut rows = 0;
    for v in people.villages() {
        village.execute(params![v.id, v.name, PROVINCE, v.county.code, v.households, v.office])?;
        rows += 1;
    }
    let mut insert =
        database.prepare("INSERT INTO person VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14)")?;
    for family in people.families() {
        let parent = |parent: Option<&Person>| parent.map(|parent| parent.national_id.clone());
        let parents = (parent(family.father()), parent(family.mother()));
        for person in &family.people {
            let Some(entry) = entry(people, &family, person) else { continue };
            // The parents of a couple are not among the people, so only children name theirs.
            let (father, mother) =
                if person.role == Role::Child { (&parents.0, &parents.1) } else { (&None, &None) };
            insert.execute(params![
                person.national_id,
                person.given_name,
                person.family_name,
                entry.father_name,
                father,
                mother,
                person.born.to_string(),
                person.born.jalali_text(),
                if person.sex == Sex::Female { "F" } else { "M" },
                if person.alive { 1 } else { 2 },
                entry.marital_status,
                person.home.province,
                person.home.county,
                person.home.village,
            ])?;
            rows += 1;
        }
    }
    Ok(rows)
}

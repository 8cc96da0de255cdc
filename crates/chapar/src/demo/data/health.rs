//! This module fills the register of the insurer: main insured persons and those insured through them.

use rusqlite::{Connection, params};

use super::gaps;
use crate::demo::people::random::For;
use crate::demo::people::{Day, Family, People, Person, Role};

/// The insurer's record of one person.
#[derive(Debug)]
pub(super) struct Insured {
    pub(super) surname: String,
    fund: u8,
    state: u8,
    since: Day,
    valid_until: Option<Day>,
    copay: u8,
    /// Through whom, and as what.
    through: Option<(String, u8)>,
    birth_year: Option<i32>,
}

/// What the insurer holds about a person.
pub(super) fn record(people: &People, family: &Family, person: &Person) -> Option<Insured> {
    if gaps::is_missing(people, family, person, For::Health) {
        return None;
    }
    let is_complete = family.is_applicants();
    // Seeded by family, because all insured of a family have one fund.
    let fund = match people.random(For::HealthFamily, family.index).below(100) {
        _ if is_complete => 1,
        ..55 => 1,
        55..70 => 2,
        70..90 => 3,
        _ => 4,
    };
    let mut random = people.random(For::Health, person.ordinal);
    let state = match (person.alive, random.happens(940) || is_complete) {
        (false, _) => 3,
        (true, true) => 1,
        (true, false) => 2,
    };
    let since = person.born.max(Day::new_year(1374)).plus(random.between(0, 200)).min(Day::TODAY);
    let through = match person.role {
        Role::Mother => family.head().map(|head| (head, 1)),
        Role::Child if person.born.age() < 22 => family.head().map(|head| (head, 2)),
        _ => None,
    };
    Some(Insured {
        surname: gaps::spelling(people, family, person),
        fund,
        state,
        since,
        valid_until: (fund != 3).then(|| Day::new_year(1406).plus(random.between(0, 300))),
        copay: if fund == 1 { 10 } else { 30 },
        through: through
            // A person is not insured through itself.
            .filter(|(head, _)| head.ordinal != person.ordinal)
            .map(|(head, as_what)| (head.national_id.clone(), as_what)),
        birth_year: (is_complete || !random.happens(gaps::NULL)).then(|| person.born.jalali().0),
    })
}

/// Writes the insured; gives the number of rows.
pub(super) fn write(database: &Connection, people: &People) -> rusqlite::Result<u64> {
    let mut insert =
        database.prepare("INSERT INTO insured VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12)")?;
    let mut rows = 0;
    for family in people.families() {
        for person in &family.people {
            let Some(insured) = record(people, &family, person) else { continue };
            insert.execute(params![
                person.national_id,
                insured.surname,
                insured.fund,
                insured.state,
                insured.since.jalali_text(),
                insured.valid_until.map(|day| day.to_string()),
                insured.copay,
                insured.through.as_ref().map(|(id, _)| id),
                insured.through.as_ref().map(|(_, relation)| relation),
                insured.birth_year,
                person.home.province,
                person.home.county,
            ])?;
            rows += 1;
        }
    }
    Ok(rows)
}

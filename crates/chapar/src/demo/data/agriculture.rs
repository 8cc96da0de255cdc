//! This module fills the register of the organisation of agriculture: heads of village families who farm, and
//! their parcels.

use rusqlite::{Connection, params};

use super::gaps;
use crate::demo::people::random::For;
use crate::demo::people::{Day, Family, People, Person, numbers};

/// Per 1,000 village families: they farm.
const FARMERS: u32 = 650;
const CROPS: [&str; 10] = ["گندم", "جو", "نخود", "عدس", "برنج", "ذرت", "یونجه", "کلزا", "انار", "گردو"];

/// One farmer's file.
#[derive(Debug)]
pub(super) struct Farmer {
    tenure: u8,
    registered: Day,
    cooperative: Option<String>,
    pub(super) mobile: Option<String>,
    parcels: Vec<Parcel>,
}

/// One parcel.
#[derive(Debug)]
struct Parcel {
    /// In hundredths of a hectare, so that sums are exact.
    area: u32,
    water: u8,
    crop: Option<&'static str>,
    titled: bool,
}

/// What the organisation holds about a person.
pub(super) fn record(people: &People, family: &Family, person: &Person) -> Option<Farmer> {
    let is_complete = family.is_applicants();
    let is_head = family.head().is_some_and(|head| head.ordinal == person.ordinal);
    let village = people.village(person.home.village?)?;
    let mut random = people.random(For::Agriculture, person.ordinal);
    let farms = random.happens(FARMERS) || is_complete;
    if !is_head || !farms || gaps::is_missing(people, family, person, For::Agriculture) {
        return None;
    }
    let tenure = if is_complete { 1 } else { 1 + random.below(10).saturating_sub(7).min(2) as u8 };
    let grown = person.born.plus(21 * 365).max(Day::new_year(1385));
    let registered = grown.plus(random.between(0, 3_000)).min(Day::TODAY.before(0, 30));
    let cooperative = random.happens(400).then(|| format!("تعاونی کشاورزان {}", village.county.name));
    let mobile = (is_complete || !random.happens(gaps::OFTEN_NULL)).then(|| numbers::mobile(person.ordinal));
    let count = if is_complete { 3 } else { 1 + random.below(3) * random.below(3) };
    let parcels = (0..count)
        .map(|_| Parcel {
            area: 20 + random.below(250) * random.below(250) / 40,
            water: 1 + u8::from(random.happens(420)),
            crop: (is_complete || !random.happens(gaps::OFTEN_NULL)).then(|| random.pick(&CROPS)),
            titled: random.happens(550),
        })
        .collect();
    Some(Farmer { tenure, registered, cooperative, mobile, parcels })
}

/// Writes farmers and parcels; gives the number of rows.
pub(super) fn write(database: &Connection, people: &People) -> rusqlite::Result<u64> {
    let mut insert = database.prepare("INSERT INTO farmer VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10)")?;
    let mut insert_parcel = database.prepare("INSERT INTO parcel VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9)")?;
    let mut rows = 0;
    for family in people.families() {
        for person in &family.people {
            let Some(farmer) = record(people, &family, person) else { continue };
            let Some(village) = person.home.village.and_then(|id| people.village(id)) else { continue };
            let total: u32 = farmer.parcels.iter().map(|parcel| parcel.area).sum();
            insert.execute(params![
                person.national_id,
                format!("15-{:07}", person.ordinal + 1),
                farmer.tenure,
                farmer.registered.jalali_text(),
                farmer.parcels.len() as i64,
                f64::from(total) / 100.0,
                farmer.cooperative,
                farmer.mobile,
                person.home.province,
                person.home.county,
            ])?;
            rows += 1 + farmer.parcels.len() as u64;
            // Eight numbers are kept for each person, so that parcel numbers do not depend on the order of
            // writing.
            for (number, parcel) in (i64::from(person.ordinal) * 8 + 1..).zip(&farmer.parcels) {
                insert_parcel.execute(params![
                    number,
                    person.national_id,
                    f64::from(parcel.area) / 100.0,
                    parcel.water,
                    parcel.crop,
                    parcel.titled,
                    village.name,
                    person.home.province,
                    person.home.county,
                ])?;
            }
        }
    }
    Ok(rows)
}

//! This module fills the register of the ministry of education: schools, the latest enrolment of each person,
//! and degrees.

use rusqlite::{Connection, params};

use super::gaps;
use crate::demo::people::places::{COUNTIES, PROVINCE};
use crate::demo::people::random::For;
use crate::demo::people::{Day, Family, People, Person};

/// Schools per county.
const SCHOOLS: u32 = 30;
/// What schools are named after.
const SCHOOL_NAMES: [&str; 10] = [
    "شهید بهشتی",
    "فردوسی",
    "حافظ",
    "سعدی",
    "ابن سینا",
    "خوارزمی",
    "پروین اعتصامی",
    "رازی",
    "آزادگان",
    "امید",
];
/// What is studied after school.
const FIELDS: [&str; 8] = ["کشاورزی", "دامپروری", "حسابداری", "پرستاری", "معلمی", "عمران", "برق", "مدیریت"];

/// The latest enrolment of one person and the degrees, the earliest first.
#[derive(Debug)]
pub(super) struct Schooling {
    school: u32,
    status: u8,
    grade: u8,
    /// The Jalali year in which the last school year began.
    year: i32,
    pub(super) degrees: Vec<Degree>,
}

/// One degree.
#[derive(Debug)]
pub(super) struct Degree {
    level: u8,
    field: Option<&'static str>,
    awarded: Day,
    mark: Option<f64>,
}

/// What the ministry holds about a person: nothing about small children and those who never went to school.
pub(super) fn record(people: &People, family: &Family, person: &Person) -> Option<Schooling> {
    let is_complete = family.is_applicants();
    let mut random = people.random(For::Education, person.ordinal);
    let (year_of_birth, ..) = person.born.jalali();
    let (this_year, ..) = Day::TODAY.jalali();
    let grade_by_age = this_year - year_of_birth - 6;
    let went = match person.born.age() {
        ..45 => true,
        45..65 => random.happens(850) || is_complete,
        _ => random.happens(450),
    };
    if grade_by_age < 1 || !went || gaps::is_missing(people, family, person, For::Education) {
        return None;
    }
    let goal = if is_complete || random.happens(620) { 12 } else { random.between(3, 11) };
    let county = COUNTIES.iter().position(|county| county.code == person.home.county).unwrap_or(0) as u32;
    // Schools are numbered by county, so that a person's school is in the home county.
    let school = county * SCHOOLS + 1 + random.below(SCHOOLS);
    let first_year = year_of_birth + 6;
    // Someone who has died is not enrolled any more, whatever the age would be.
    if grade_by_age <= goal && person.alive {
        let grade = grade_by_age.clamp(1, 12) as u8;
        return Some(Schooling {
            school,
            status: 1,
            grade,
            year: this_year,
            degrees: degrees(&mut random, grade - 1, first_year, is_complete),
        });
    }
    let grade = goal.min(grade_by_age) as u8;
    let degrees = degrees(&mut random, grade, first_year, is_complete);
    Some(Schooling {
        school,
        status: if grade == 12 { 2 } else { 3 },
        grade,
        year: first_year + i32::from(grade) - 1,
        degrees,
    })
}

/// The degrees of someone who has finished `grade`: certificates of school, and of a quarter of the
/// graduates, study.
fn degrees(
    random: &mut crate::demo::people::random::Random,
    grade: u8,
    first_year: i32,
    is_complete: bool,
) -> Vec<Degree> {
    let mut degrees = Vec::new();
    let mut award = |level: u8, year: i32, field: Option<&'static str>| {
        let awarded = Day::new_year(year).plus(random.between(80, 110));
        let known = is_complete || !random.happens(gaps::OFTEN_NULL);
        let mark = known.then(|| f64::from(random.between(1_100, 1_990)) / 100.0);
        // A degree of the future is left out, because years of study are added to the year of birth.
        if awarded < Day::TODAY {
            degrees.push(Degree { level, field, awarded, mark });
        }
    };
    for (level, end) in [(1, 6), (2, 9), (3, 12)] {
        if grade >= end {
            award(level, first_year + i32::from(end), None);
        }
    }
    let field = FIELDS[(first_year.unsigned_abs() + u32::from(grade)) as usize % FIELDS.len()];
    if grade == 12 && (is_complete || first_year % 4 == 0) {
        award(if first_year % 3 == 0 { 4 } else { 5 }, first_year + 16, Some(field));
    }
    degrees
}

/// Writes schools, enrolments and degrees; gives the number of rows.
pub(super) fn write(database: &Connection, people: &People) -> rusqlite::Result<u64> {
    let mut rows = 0;
    let mut school = database.prepare("INSERT INTO school VALUES (?1, ?2, ?3, ?4)")?;
    for id in 1..=COUNTIES.len() as u32 * SCHOOLS {
        // Seeded by school, so that its name is the same however many citizens the demo has.
        let mut random = people.random(For::School, id);
        let name = format!(
            "{} {}",
            if random.happens(500) { "دبستان" } else { "دبیرستان" },
            random.pick(&SCHOOL_NAMES)
        );
        let name = (!random.happens(gaps::OFTEN_NULL)).then_some(name);
        school.execute(params![id, name, PROVINCE, COUNTIES[((id - 1) / SCHOOLS) as usize].code])?;
        rows += 1;
    }
    let mut enrolment = database.prepare("INSERT INTO enrolment VALUES (?1,?2,?3,?4,?5,?6)")?;
    let mut degree = database.prepare("INSERT INTO degree VALUES (?1,?2,?3,?4,?5,?6,?7)")?;
    for family in people.families() {
        for person in &family.people {
            let Some(schooling) = record(people, &family, person) else { continue };
            let level = 1 + u8::from(schooling.grade > 6) + u8::from(schooling.grade > 9);
            let year = format!("{}-{}", schooling.year, schooling.year + 1);
            enrolment.execute(params![
                person.national_id,
                schooling.school,
                schooling.status,
                level,
                schooling.grade,
                year
            ])?;
            rows += 1;
            for held in schooling.degrees {
                let Degree { level, field, awarded, mark } = held;
                let home = person.home;
                degree.execute(params![
                    person.national_id,
                    level,
                    field,
                    awarded.to_string(),
                    mark,
                    home.province,
                    home.county
                ])?;
                rows += 1;
            }
        }
    }
    Ok(rows)
}

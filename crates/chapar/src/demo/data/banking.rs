//! This module fills the register of the agricultural bank: most adults have an account, and a third of them
//! owe something.

use rusqlite::{Connection, params};

use super::gaps;
use crate::demo::people::random::For;
use crate::demo::people::{Day, Family, People, Person};

/// Per 1,000 living grown-ups: they have an account at this bank.
const CUSTOMERS: u32 = 880;

/// The bank's view of one customer.
#[derive(Debug)]
pub(super) struct Customer {
    pub(super) iban: String,
    standing: u8,
    open_loans: u32,
    owed: u64,
    overdue: u32,
    pub(super) returned_cheques: Option<u32>,
    last_paid: Option<Day>,
}

/// What the bank holds about a person.
pub(super) fn record(people: &People, family: &Family, person: &Person) -> Option<Customer> {
    // The first family is complete in every register, because the story is told about it.
    let is_complete = family.is_applicants();
    // The generator is seeded by person, so that a record does not depend on the others.
    let mut random = people.random(For::Banking, person.ordinal);
    let is_customer = random.happens(CUSTOMERS) || is_complete;
    if !person.alive
        || person.born.age() < 18
        || !is_customer
        || gaps::is_missing(people, family, person, For::Banking)
    {
        return None;
    }
    let open_loans = if is_complete { 1 } else { random.below(6).saturating_sub(3) };
    let standing = match random.below(100) {
        _ if is_complete || open_loans == 0 => 1,
        ..75 => 1,
        75..95 => 2,
        _ => 3,
    };
    let overdue = if standing == 1 { 0 } else { 1 + random.below(12) };
    let owed = (0..open_loans).map(|_| u64::from(50 + random.below(4_950)) * 1_000_000).sum();
    Some(Customer {
        iban: people.iban(person),
        standing,
        open_loans,
        owed,
        overdue,
        returned_cheques: (is_complete || !random.happens(gaps::OFTEN_NULL))
            .then(|| if is_complete { 0 } else { random.below(40).saturating_sub(36) }),
        last_paid: (open_loans > 0).then(|| Day::TODAY.before(0, 5 + overdue as i32 * 30)),
    })
}

/// Writes accounts and customers; gives the number of rows. One account in a hundred is closed.
pub(super) fn write(database: &Connection, people: &People) -> rusqlite::Result<u64> {
    let mut account = database.prepare("INSERT INTO account VALUES (?1, ?2, ?3)")?;
    let mut insert = database.prepare("INSERT INTO customer VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9)")?;
    let mut rows = 0;
    for family in people.families() {
        for person in &family.people {
            let Some(customer) = record(people, &family, person) else { continue };
            let open = family.is_applicants() || !people.random(For::Account, person.ordinal).happens(10);
            account.execute(params![customer.iban, person.national_id, open])?;
            insert.execute(params![
                person.national_id,
                customer.standing,
                customer.open_loans,
                customer.owed as i64,
                customer.overdue,
                customer.returned_cheques,
                customer.last_paid.map(|day| day.to_string()),
                person.home.province,
                person.home.county,
            ])?;
            rows += 2;
        }
    }
    Ok(rows)
}

//! This module decides what the demo's registers lack, as real registers do, in known shares of the people:
//! missing records, values that nobody ever filled in, and names that are typed in Arabic letters. The family
//! of the demo's story has no gaps.

use crate::demo::people::random::For;
use crate::demo::people::{Family, People, Person};

/// Per 1,000 people whom a register should hold: not there. Drawn for each register by itself.
pub(super) const MISSING: u32 = 30;
/// Per 1,000 people: the insurer's spelling has Arabic ي and ك where the civil register has ی and ک.
pub(super) const MISSPELT: u32 = 10;
/// Per 1,000 values of the civil register and the insurer that may be absent.
pub(super) const NULL: u32 = 30;
/// Per 1,000 values that are often not known: crops, returned cheques, marks.
pub(super) const OFTEN_NULL: u32 = 100;

/// Whether `register` should hold the person but does not.
pub(super) fn is_missing(people: &People, family: &Family, person: &Person, register: For) -> bool {
    !family.is_applicants() && people.random(For::Gap, person.ordinal * 16 + register as u32).happens(MISSING)
}

/// The family name as the insurer has it.
pub(super) fn spelling(people: &People, family: &Family, person: &Person) -> String {
    if !family.is_applicants() && people.random(For::Spelling, person.ordinal).happens(MISSPELT) {
        person.family_name.replace('ی', "ي").replace('ک', "ك")
    } else {
        person.family_name.to_owned()
    }
}

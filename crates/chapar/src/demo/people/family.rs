//! This module makes one family: a couple, or one parent, and their children, with ages that fit together.

use super::names::{FAMILIES, MEN, WOMEN};
use super::places::{self, ELSEWHERE, PROVINCE};
use super::random::{For, Random};
use super::{Day, People, numbers};

/// Sex as registered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Sex {
    Female,
    Male,
}

/// Marital status.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Marital {
    Single = 1,
    Married,
    Widowed,
}

/// A person's part in the family.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Role {
    Father,
    Mother,
    Child,
}

/// Where a person lives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Residence {
    pub(crate) province: &'static str,
    pub(crate) county: &'static str,
    /// None: in a town.
    pub(crate) village: Option<u32>,
}

/// One citizen.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    /// Place in the line, from 0; every number of the person comes from it.
    pub(crate) ordinal: u32,
    pub(crate) national_id: String,
    pub(crate) given_name: &'static str,
    pub(crate) family_name: &'static str,
    pub(crate) father_name: &'static str,
    pub(crate) born: Day,
    pub(crate) sex: Sex,
    pub(crate) alive: bool,
    pub(crate) marital: Marital,
    pub(crate) role: Role,
    pub(crate) home: Residence,
}

/// One family, parents first, then the children, eldest first.
#[derive(Debug)]
pub(crate) struct Family {
    /// Place in the line of families, from 0.
    pub(crate) index: u32,
    pub(crate) people: Vec<Person>,
}

impl Family {
    /// The family at `index`; its first member gets `ordinal`.
    pub(super) fn new(people: &People, index: u32, ordinal: u32) -> Self {
        Builder { people, random: people.random(For::Family, index), index, ordinal }.build()
    }

    /// Whether this is the family of the demo's story: complete in every register.
    pub(crate) fn is_applicants(&self) -> bool {
        self.index == 0
    }

    /// The father, if registered.
    pub(crate) fn father(&self) -> Option<&Person> {
        self.people.iter().find(|person| person.role == Role::Father)
    }

    /// The mother, if registered.
    pub(crate) fn mother(&self) -> Option<&Person> {
        self.people.iter().find(|person| person.role == Role::Mother)
    }

    /// Who farms the land and insures the others: the father while he lives, else the mother.
    pub(crate) fn head(&self) -> Option<&Person> {
        self.father().filter(|father| father.alive).or(self.mother().filter(|mother| mother.alive))
    }
}

struct Builder<'a> {
    people: &'a People,
    random: Random,
    index: u32,
    ordinal: u32,
}

impl Builder<'_> {
    fn build(mut self) -> Family {
        // The first family is made to fit the story: it is complete and all of it is alive.
        let applicants = self.index == 0;
        let age = if applicants { 43 } else { self.head_age() };
        let home = if applicants { self.village(1) } else { self.home() };
        let born = Day::TODAY.before(age, self.random.between(1, 360));
        let family_name = self.random.pick(FAMILIES);
        // Heads under 30 live alone more often than older ones.
        if !applicants && self.random.happens(if age < 30 { 350 } else { 60 }) {
            let (role, sex) = if self.random.happens(700) {
                (Role::Father, Sex::Male)
            } else {
                (Role::Mother, Sex::Female)
            };
            let single = self.person(role, sex, family_name, born, home, Marital::Single);
            return Family { index: self.index, people: vec![single] };
        }
        let mut father = self.person(Role::Father, Sex::Male, family_name, born, home, Marital::Married);
        let her_name = self.random.pick(FAMILIES);
        let her_birth = born.plus(self.random.between(-500, 3000)).min(Day::TODAY.before(18, 30));
        let mut mother = self.person(Role::Mother, Sex::Female, her_name, her_birth, home, Marital::Married);
        father.alive = applicants || self.survives(age);
        // Women live longer, so a few years are taken off the age.
        mother.alive = applicants || self.survives(her_birth.age() - 3);
        if !father.alive {
            mother.marital = Marital::Widowed;
        }
        if !mother.alive {
            father.marital = Marital::Widowed;
        }
        let mut people = vec![father, mother];
        self.children(&mut people, applicants);
        Family { index: self.index, people }
    }

    /// 20 to 84, more young than old.
    fn head_age(&mut self) -> i32 {
        20 + self.random.between(0, 64).min(self.random.between(0, 90))
    }

    fn survives(&mut self, age: i32) -> bool {
        let permille = match age {
            ..60 => 985,
            60..75 => 900,
            _ => 650,
        };
        self.random.happens(permille)
    }

    /// Seven of ten families live in villages. A small population fills the first villages, so that some have
    /// many.
    fn home(&mut self) -> Residence {
        if self.random.happens(700) {
            let settled = (self.people.count() / 40).clamp(20, places::VILLAGE_COUNT);
            let id = 1 + self.random.below(settled);
            self.village(id)
        } else {
            Residence { province: PROVINCE, county: places::county(&mut self.random).code, village: None }
        }
    }

    fn village(&self, id: u32) -> Residence {
        let county = self.people.village(id).map_or(places::COUNTIES[0].code, |village| village.county.code);
        Residence { province: PROVINCE, county, village: Some(id) }
    }

    fn person(
        &mut self,
        role: Role,
        sex: Sex,
        family_name: &'static str,
        born: Day,
        home: Residence,
        marital: Marital,
    ) -> Person {
        // Every number of a person is made from the ordinal, so each ordinal is given once.
        let ordinal = self.ordinal;
        self.ordinal += 1;
        let given_name = self.random.pick(if sex == Sex::Male { MEN } else { WOMEN });
        let father_name = self.random.pick(MEN);
        let national_id = numbers::national_id(self.people.seed, ordinal);
        let alive = true;
        Person {
            ordinal,
            national_id,
            given_name,
            family_name,
            father_name,
            born,
            sex,
            alive,
            marital,
            role,
            home,
        }
    }

    /// Adds the children of the couple in `people`: born while the mother is 17 to 45, at least 400 days
    /// apart.
    fn children(&mut self, people: &mut Vec<Person>, applicants: bool) {
        let [father, mother] = people.as_slice() else { return };
        let father = father.clone();
        let mother = mother.clone();
        let older = father.born.age() >= 50;
        let most =
            if applicants { 3 } else { self.random.between(i32::from(older), if older { 6 } else { 4 }) };
        let latest_first = if applicants { 8 * 365 } else { 14 * 365 };
        let mut born = mother
            .born
            .plus(18 * 365)
            .max(father.born.plus(19 * 365))
            .plus(self.random.between(0, latest_first));
        for _ in 0..most {
            if born.plus(30) > Day::TODAY || born.since(mother.born) > 45 * 365 {
                break;
            }
            let sex = if self.random.happens(512) { Sex::Male } else { Sex::Female };
            let age = born.age();
            let home = if applicants { father.home } else { self.home_of_child(father.home, age) };
            let marital =
                if age >= 22 && self.random.happens(600) { Marital::Married } else { Marital::Single };
            let mut child = self.person(Role::Child, sex, father.family_name, born, home, marital);
            child.father_name = father.given_name;
            child.alive = applicants || self.random.happens(992);
            people.push(child);
            born = born.plus(self.random.between(400, 1500));
        }
    }

    /// A fifth of the grown-up children have left for a town, one in eight of those for another province.
    fn home_of_child(&mut self, home: Residence, age: i32) -> Residence {
        if age < 22 || !self.random.happens(200) {
            return home;
        }
        if self.random.happens(125) {
            return Residence { province: ELSEWHERE.0, county: ELSEWHERE.1, village: None };
        }
        Residence { province: PROVINCE, county: places::county(&mut self.random).code, village: None }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    fn families(count: u32) -> Vec<Family> {
        People::new(1405, count).families().collect()
    }

    #[test]
    fn there_are_exactly_as_many_people_as_asked_for_and_their_ordinals_count_up() {
        for count in [100, 101, 2_000, 9_999] {
            let ordinals: Vec<u32> =
                families(count).iter().flat_map(|f| &f.people).map(|p| p.ordinal).collect();
            assert_eq!(ordinals, (0..count).collect::<Vec<_>>());
        }
    }

    #[test]
    fn more_people_begin_with_the_same_numbers_and_names() {
        let few = families(2_000);
        let many = families(4_000);
        let names = |all: &[Family]| -> Vec<(String, &str, Day)> {
            all.iter()
                .flat_map(|f| &f.people)
                .map(|p| (p.national_id.clone(), p.given_name, p.born))
                .take(1_000)
                .collect()
        };
        assert_eq!(names(&few), names(&few));
        assert_eq!(
            names(&few).iter().map(|n| &n.0).collect::<Vec<_>>(),
            names(&many).iter().map(|n| &n.0).collect::<Vec<_>>()
        );
    }

    #[test]
    fn parents_are_grown_up_when_their_children_are_born() {
        for family in families(20_000) {
            for child in family.people.iter().filter(|p| p.role == Role::Child) {
                let father = family.father().unwrap();
                let mother = family.mother().unwrap();
                assert!(
                    child.born.since(mother.born) >= 17 * 365 && child.born.since(mother.born) <= 46 * 365
                );
                assert!(child.born.since(father.born) >= 18 * 365);
                assert_eq!((child.family_name, child.father_name), (father.family_name, father.given_name));
                assert!(child.born < Day::TODAY);
            }
        }
    }

    #[test]
    fn the_family_of_the_story_has_children_and_lives_in_the_offices_village() {
        let first = families(100).into_iter().next().unwrap();
        assert!(first.people.len() >= 4 && first.people.iter().all(|p| p.alive));
        assert_eq!(first.people[0].home.village, Some(1));
    }
}

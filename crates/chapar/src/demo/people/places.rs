//! This module makes the places where the demo's people live: the counties of Lorestan, and 2,578 villages of
//! which 1,569 have more than 20 households, as the news report behind the product counts them. The villages'
//! names and their counties are invented.

use super::names::{VILLAGE_PARTS, VILLAGES};
use super::random::{For, Random};

/// Lorestan's two-digit code.
pub(crate) const PROVINCE: &str = "15";
/// Where a few grown-up children have moved: Tehran's code and one of its counties.
pub(crate) const ELSEWHERE: (&str, &str) = ("23", "2301");
/// Villages in the register.
pub(crate) const VILLAGE_COUNT: u32 = 2_578;
/// Villages with more than 20 households.
pub(crate) const LARGE_VILLAGES: u32 = 1_569;

/// One county.
#[derive(Debug)]
pub(crate) struct County {
    /// Province and two digits, e.g. `1501`.
    pub(crate) code: &'static str,
    /// In Persian.
    pub(crate) name: &'static str,
    /// As in the names of its counter offices, e.g. `khorramabad`.
    pub(crate) slug: &'static str,
    /// Its share of the people, in percent.
    share: u32,
}

/// The eleven counties; the shares add up to 100.
pub(crate) const COUNTIES: [County; 11] = [
    County { code: "1501", name: "خرم‌آباد", slug: "khorramabad", share: 27 },
    County { code: "1502", name: "بروجرد", slug: "borujerd", share: 18 },
    County { code: "1503", name: "دورود", slug: "dorud", share: 10 },
    County { code: "1504", name: "الیگودرز", slug: "aligudarz", share: 8 },
    County { code: "1505", name: "کوهدشت", slug: "kuhdasht", share: 10 },
    County { code: "1506", name: "ازنا", slug: "azna", share: 4 },
    County { code: "1507", name: "پلدختر", slug: "poldokhtar", share: 4 },
    County { code: "1508", name: "سلسله", slug: "selseleh", share: 5 },
    County { code: "1509", name: "دلفان", slug: "delfan", share: 8 },
    County { code: "1510", name: "دوره چگنی", slug: "chegeni", share: 3 },
    County { code: "1511", name: "رومشکان", slug: "rumeshkan", share: 3 },
];

/// One of the eleven, by share.
pub(crate) fn county(random: &mut Random) -> &'static County {
    let mut left = random.below(100);
    for county in &COUNTIES {
        if left < county.share {
            return county;
        }
        left -= county.share;
    }
    &COUNTIES[0]
}

/// One village.
#[derive(Debug)]
pub(crate) struct Village {
    /// 1 to [`VILLAGE_COUNT`].
    pub(crate) id: u32,
    /// In Persian; not unique.
    pub(crate) name: String,
    /// Where it lies.
    pub(crate) county: &'static County,
    /// Households in the register, 2 to 400; the demo's people are a sample of them.
    pub(crate) households: u32,
    /// The counter office that serves it: 85 of 100 large villages and 40 of 100 small ones have one.
    pub(crate) office: Option<String>,
}

/// The village with `id` in `1..=VILLAGE_COUNT`. The first is served by the office of the demo's story.
pub(crate) fn village(seed: u64, id: u32) -> Village {
    let mut random = Random::new(seed, For::Village, u64::from(id));
    let county = if id == 1 { &COUNTIES[0] } else { county(&mut random) };
    // 1,009 is prime and no factor of 2,578, so exactly the wanted number of villages are large.
    let is_large = (id - 1) * 1_009 % VILLAGE_COUNT < LARGE_VILLAGES;
    let households =
        if is_large { 21 + random.below(120) * random.below(120) / 40 } else { 2 + random.below(19) };
    let name = format!("{}{}", random.pick(VILLAGES), random.pick(VILLAGE_PARTS));
    let number = if id == 1 { 12 } else { 1 + random.below(county.share * 3) };
    let is_served = random.happens(if is_large { 850 } else { 400 }) || id == 1;
    let office = is_served.then(|| format!("office/{}-{number}", county.slug));
    Village { id, name, county, households, office }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_of_the_counties_are_a_whole() {
        assert_eq!(COUNTIES.iter().map(|county| county.share).sum::<u32>(), 100);
    }

    #[test]
    fn as_many_villages_are_large_as_the_report_says() {
        let villages: Vec<Village> = (1..=VILLAGE_COUNT).map(|id| village(1405, id)).collect();
        assert_eq!(villages.iter().filter(|v| v.households > 20).count(), LARGE_VILLAGES as usize);
        let served = villages.iter().filter(|v| v.households > 20 && v.office.is_some()).count();
        assert!((1_250..1_420).contains(&served), "{served}");
    }

    #[test]
    fn the_office_of_the_story_serves_the_first_village() {
        assert_eq!(village(1405, 1).office.as_deref(), Some("office/khorramabad-12"));
        assert!(village(1405, 1).households > 20);
    }
}

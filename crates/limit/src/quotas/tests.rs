//! Tests of quotas: exactness, days and hours of Tehran, clerks, reloads, several gateways, clocks that are
//! set.

use std::sync::atomic::Ordering;

use chapar_model::{Quotas, SubjectQuota};

use super::*;

const NOON: &str = "2026-11-27T08:30:00Z";

fn at(time: &str) -> u64 {
    time.parse::<jiff::Timestamp>().unwrap().as_millisecond().unsigned_abs()
}

fn grant() -> GrantId {
    "welfare-getperson".parse().unwrap()
}

fn quota(hour: u32, day: u32) -> SubjectQuota {
    SubjectQuota { hour: NonZeroU32::new(hour), day: NonZeroU32::new(day) }
}

fn daily(calls: u32) -> Quotas {
    Quotas { daily: NonZeroU32::new(calls), ..Quotas::default() }
}

fn keeper(quotas: Quotas, replicas: u32) -> QuotaKeeper {
    QuotaKeeper::new([(grant(), quotas)], NonZeroU32::new(replicas).unwrap())
}

/// Asks for a citizen by number.
fn ask(keeper: &QuotaKeeper, clerk: &str, citizen: u32, time: u64) -> Result<(), Kind> {
    let mut subject = [0; 32];
    subject[..4].copy_from_slice(&citizen.to_be_bytes());
    let grant = grant();
    let call =
        QuotaCall { grant: &grant, caller: "gov/welfare/benefits", clerk, subject: &subject, at_ms: time };
    take(keeper, &call).map_err(|spent| spent.kind)
}

/// A call for which the provider is asked.
fn take(keeper: &QuotaKeeper, call: &QuotaCall<'_>) -> Result<(), Spent> {
    let was_asked = Arc::<AtomicBool>::default();
    let taken = keeper.take(call, &was_asked)?;
    was_asked.store(true, Ordering::Release);
    drop(taken);
    Ok(())
}

#[test]
fn a_day_has_exactly_its_quota_and_ends_at_midnight_in_tehran() {
    let keeper = keeper(daily(1000), 1);
    let admitted = (0..2000).filter(|number| ask(&keeper, "", *number, at(NOON)).is_ok()).count();
    assert_eq!(admitted, 1000);
    assert_eq!(ask(&keeper, "", 1, at("2026-11-27T20:29:59.999Z")), Err(Kind::Daily));
    assert_eq!(ask(&keeper, "", 1, at("2026-11-27T20:30:00Z")), Ok(()));
}

#[test]
fn a_refusal_says_what_is_spent_and_until_when() {
    let keeper = keeper(daily(1), 1);
    let grant = grant();
    let call = |at_ms| QuotaCall { grant: &grant, caller: "a/b", clerk: "", subject: &[], at_ms };
    take(&keeper, &call(at(NOON))).unwrap();
    let spent = take(&keeper, &call(at("2026-11-27T20:29:00Z"))).unwrap_err();
    assert_eq!((spent.limit.as_str(), spent.retry_after), ("1 calls a day", Duration::from_secs(60)));
    let unknown = "other".parse().unwrap();
    assert!(take(&keeper, &QuotaCall { grant: &unknown, ..call(at(NOON)) }).is_err());
}

#[test]
fn citizens_are_counted_once_an_hour_and_once_a_day() {
    let keeper = keeper(Quotas { subjects: quota(2, 3), ..Quotas::default() }, 1);
    let at = |minute: u32| at(&format!("2026-11-27T08:{minute:02}:00Z"));
    // An hour in Tehran ends at half past an hour of UTC.
    assert_eq!(
        [ask(&keeper, "", 1, at(0)), ask(&keeper, "", 2, at(1)), ask(&keeper, "", 1, at(2))],
        [Ok(()); 3]
    );
    assert_eq!(ask(&keeper, "", 3, at(3)), Err(Kind::SubjectsHour));
    assert_eq!(ask(&keeper, "", 2, at(29)), Ok(()), "who was asked for before is no further citizen");
    assert_eq!(ask(&keeper, "", 3, at(30)), Ok(()), "another hour");
    assert_eq!(ask(&keeper, "", 4, at(31)), Err(Kind::SubjectsDay));
    assert_eq!(ask(&keeper, "", 1, at(32)), Ok(()));
    let usage = keeper.usage(&grant(), at(33));
    let told: Vec<_> =
        usage.iter().map(|usage| (usage.kind.as_str(), usage.used, usage.left, usage.refused)).collect();
    assert_eq!(told, [("subjects.hour", 2, 0, 1), ("subjects.day", 3, 0, 1)]);
}

#[test]
fn each_clerk_has_a_count_whatever_the_case_of_its_name_and_each_caller_its_own_clerks() {
    let quotas = Quotas { subjects: quota(0, 100), clerk_subjects: quota(0, 2), ..Quotas::default() };
    let keeper = keeper(quotas, 1);
    assert_eq!([ask(&keeper, "z.karimi", 1, at(NOON)), ask(&keeper, "Z.Karimi", 2, at(NOON))], [Ok(()); 2]);
    assert_eq!(ask(&keeper, "Z.KARIMI", 3, at(NOON)), Err(Kind::SubjectsDay));
    assert_eq!(ask(&keeper, "m.karimi", 3, at(NOON)), Ok(()));
    let (grant, subject) = (grant(), [9; 32]);
    let other = QuotaCall {
        grant: &grant,
        caller: "gov/school/admission",
        clerk: "z.karimi",
        subject: &subject,
        at_ms: at(NOON),
    };
    assert!(take(&keeper, &other).is_ok());
}

#[test]
fn what_is_refused_by_one_quota_counts_for_none() {
    let quotas = Quotas { daily: NonZeroU32::new(3), subjects: quota(0, 1), clerk_subjects: quota(0, 0) };
    let keeper = keeper(quotas, 1);
    assert_eq!(ask(&keeper, "", 1, at(NOON)), Ok(()));
    for citizen in 2..10 {
        assert_eq!(ask(&keeper, "", citizen, at(NOON)), Err(Kind::SubjectsDay));
    }
    assert_eq!([ask(&keeper, "", 1, at(NOON)), ask(&keeper, "", 1, at(NOON))], [Ok(()); 2]);
    assert_eq!(ask(&keeper, "", 1, at(NOON)), Err(Kind::Daily));
}

#[test]
fn a_new_registry_gives_nobody_a_new_quota_and_a_keeper_counts_what_was_recorded() {
    let before = keeper(daily(3), 1);
    assert_eq!(ask(&before, "", 1, at(NOON)), Ok(()));
    let after = before.next([(grant(), daily(2))]);
    assert_eq!(ask(&after, "", 2, at(NOON)), Ok(()));
    assert_eq!(ask(&after, "", 3, at(NOON)), Err(Kind::Daily));
    assert!(!after.counts_more_than(&before));

    let mut bounded = after.next([(grant(), Quotas { subjects: quota(0, 2), ..daily(10) })]);
    assert!(bounded.counts_more_than(&after) && bounded.is_bounded());
    let grant = grant();
    let mut recorded = bounded.unused();
    for citizen in [1, 2] {
        let subject = [citizen; 32];
        let call = QuotaCall { grant: &grant, caller: "a/b", clerk: "", subject: &subject, at_ms: at(NOON) };
        recorded.recorded(&call, at(NOON));
    }
    bounded.absorb(recorded, false);
    assert_eq!(ask(&bounded, "", 3, at(NOON)), Err(Kind::SubjectsDay));
    let usage = bounded.usage(&grant, at(NOON));
    assert_eq!((usage[0].used, usage[1].used), (2, 2), "the calls were counted when they were made");
}

#[test]
fn a_grant_that_goes_and_comes_back_has_what_it_had() {
    let before = keeper(daily(2), 1);
    assert_eq!(ask(&before, "", 1, at(NOON)), Ok(()));
    let without = before.next([("other".parse().unwrap(), daily(1))]);
    assert!(ask(&without, "", 1, at(NOON)).is_err());
    let after = without.next([(grant(), daily(2))]);
    assert_eq!([ask(&after, "", 1, at(NOON)), ask(&after, "", 1, at(NOON))], [Ok(()), Err(Kind::Daily)]);
}

#[test]
fn records_of_earlier_hours_take_nothing_from_the_present_one() {
    let quotas = Quotas { subjects: quota(2, 0), clerk_subjects: quota(2, 0), ..Quotas::default() };
    let mut keeper = keeper(quotas, 1);
    assert_eq!([ask(&keeper, "a", 1, at(NOON)), ask(&keeper, "a", 2, at(NOON))], [Ok(()); 2]);
    let grant = grant();
    let mut recorded = keeper.unused();
    for hours in 1..40 {
        let subject = [99; 32];
        let at_ms = at(NOON) - hours * 3_600_000;
        recorded.recorded(
            &QuotaCall { grant: &grant, caller: "a/b", clerk: "", subject: &subject, at_ms },
            at(NOON),
        );
    }
    keeper.absorb(recorded, true);
    assert_eq!(ask(&keeper, "a", 3, at(NOON)), Err(Kind::SubjectsHour));
}

#[test]
fn a_record_of_a_clock_that_was_far_ahead_takes_nothing_from_today() {
    let mut keeper = keeper(Quotas { subjects: quota(1, 1), ..Quotas::default() }, 1);
    let (grant, mut recorded) = (grant(), keeper.unused());
    for at_ms in [at(NOON), at(NOON) + 9 * 86_400_000] {
        let call = QuotaCall { grant: &grant, caller: "a/b", clerk: "", subject: &[1; 32], at_ms };
        recorded.recorded(&call, at(NOON));
    }
    keeper.absorb(recorded, true);
    assert_eq!(ask(&keeper, "", 2, at(NOON)), Err(Kind::SubjectsDay));
}

#[test]
fn a_call_for_which_no_provider_was_asked_goes_back() {
    let keeper = keeper(Quotas { subjects: quota(0, 1), ..daily(1) }, 1);
    let (grant, subject) = (grant(), [1; 32]);
    let call = QuotaCall { grant: &grant, caller: "a/b", clerk: "", subject: &subject, at_ms: at(NOON) };
    for _ in 0..5 {
        drop(keeper.take(&call, &Arc::default()).unwrap());
    }
    assert_eq!(keeper.usage(&grant, at(NOON))[0].used, 0);
    take(&keeper, &call).unwrap();
    assert_eq!(take(&keeper, &call).unwrap_err().kind, Kind::Daily);
}

#[test]
fn clerks_that_a_caller_makes_up_fill_no_memory() {
    let quotas = Quotas { subjects: quota(0, 10), clerk_subjects: quota(0, 10), ..Quotas::default() };
    let keeper = keeper(quotas, 1);
    let admitted =
        (0..110_000).filter(|clerk| ask(&keeper, &format!("c{clerk}"), 1, at(NOON)).is_ok()).count();
    assert_eq!(admitted, 100_000);
    assert_eq!(ask(&keeper, "c0", 1, at(NOON)), Ok(()), "those who were there before go on");
}

#[test]
fn several_gateways_have_a_part_of_a_quota_each_and_never_more_than_it_together() {
    for (quota, replicas, each) in [(10, 1, 10), (10, 3, 3), (2, 3, 0)] {
        let keeper = keeper(daily(quota), replicas);
        let admitted = (0..20).filter(|number| ask(&keeper, "", *number, at(NOON)).is_ok()).count();
        assert_eq!(admitted, each, "{quota} of {replicas}");
        assert_eq!(keeper.without_room().count(), usize::from(each == 0), "{quota} of {replicas}");
    }
}

#[test]
fn a_clock_that_is_set_by_minutes_or_a_day_gives_nobody_a_new_quota() {
    let hourly = keeper(Quotas { subjects: quota(1, 0), ..Quotas::default() }, 1);
    assert_eq!(ask(&hourly, "", 1, at(NOON)), Ok(()));
    for hours in [3, -3, 20, -20] {
        let other = at(NOON).saturating_add_signed(hours * 3_600_000);
        assert_eq!(ask(&hourly, "", 1, other), Ok(()));
        assert_eq!(ask(&hourly, "", 2, at(NOON)), Err(Kind::SubjectsHour), "{hours}");
    }
    let keeper = keeper(Quotas { subjects: quota(1, 1), ..daily(2) }, 1);
    let (today, tomorrow) = (at(NOON), at("2026-11-28T08:30:00Z"));
    assert_eq!([ask(&keeper, "", 1, today), ask(&keeper, "", 1, tomorrow)], [Ok(()); 2]);
    for time in [today, tomorrow, today - 600_000, today + 600_000, tomorrow] {
        assert_eq!(ask(&keeper, "", 2, time), Err(Kind::SubjectsDay));
    }
    assert_eq!([ask(&keeper, "", 1, today), ask(&keeper, "", 1, tomorrow)], [Ok(()); 2]);
    assert_eq!(ask(&keeper, "", 1, today), Err(Kind::Daily));
}

#[test]
fn counts_of_days_that_are_over_do_not_stay_in_memory() {
    let quotas = Quotas { subjects: quota(10, 1_000_000), clerk_subjects: quota(10, 10), ..daily(1_000_000) };
    let keeper = keeper(quotas, 1);
    for day in 0..40 {
        for clerk in 0..500 {
            assert_eq!(ask(&keeper, &format!("c{day}-{clerk}"), 1, at(NOON) + day * 86_400_000), Ok(()));
        }
    }
    let used = keeper.grants[&grant()].1.lock();
    assert!(used.clerks.len() <= 5_000 && used.calls.len() <= 5, "{} clerks", used.clerks.len());
}

#[test]
fn moments_at_the_ends_of_time_are_no_panic() {
    let keeper = keeper(Quotas { subjects: quota(1, 1), ..daily(1) }, 1);
    for time in [0, 1, u64::MAX, u64::MAX / 2, i64::MAX.unsigned_abs()] {
        ask(&keeper, "", 1, time).ok();
        keeper.usage(&grant(), time);
    }
}

//! Tests properties of the turns, for any order in which calls arrive, leave and run.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::*;

const WIDE: Bounds = Bounds { each: 10_000, total: 100_000 };
const MS: Duration = Duration::from_millis(1);

fn backlog(bounds: Bounds, calls: &[(u8, usize)]) -> Fair<u8, usize> {
    let mut fair = Fair::new(bounds);
    for (caller, count) in calls {
        (0..*count).for_each(|number| assert!(fair.push(caller, number).is_ok()));
    }
    fair
}

/// Runs `turns` calls over `places`, each as long as its caller's take; gives the callers in the order of
/// their turns.
fn run(fair: &mut Fair<u8, usize>, places: usize, turns: usize, took: impl Fn(u8) -> Duration) -> Vec<u8> {
    let (mut order, mut running, mut now) =
        (Vec::new(), Vec::<(Duration, u8, Charge)>::new(), Duration::ZERO);
    while order.len() < turns {
        while running.len() < places && order.len() < turns {
            let Some(turn) = fair.take() else { break };
            order.push(turn.caller);
            running.push((now.saturating_add(took(turn.caller)), turn.caller, turn.charge));
        }
        let Some(first) = (0..running.len()).min_by_key(|place| running[*place].0) else { break };
        let (end, caller, charge) = running.swap_remove(first);
        now = end;
        fair.settle(&caller, charge, took(caller));
    }
    order
}

#[test]
fn a_caller_that_comes_late_waits_for_no_ones_backlog() {
    let mut fair = backlog(WIDE, &[(1, 5_000), (2, 3_000)]);
    run(&mut fair, 4, 100, |_| MS);
    fair.push(&3, 0).unwrap();
    let order = run(&mut fair, 4, 3, |_| MS);
    assert!(order.contains(&3), "two callers are before it, not thousands of calls: {order:?}");
}

#[test]
fn callers_share_the_time_and_not_the_number_of_calls() {
    let mut fair = backlog(WIDE, &[(1, 5_000), (2, 5_000)]);
    let slow = |caller: u8| if caller == 1 { 10 * MS } else { MS };
    let order = run(&mut fair, 8, 4_400, slow);
    let times = [1, 2].map(|caller: u8| {
        let calls = order.iter().filter(|other| **other == caller).count();
        u32::try_from(calls).unwrap() * slow(caller)
    });
    let ratio = times[0].as_secs_f64() / times[1].as_secs_f64();
    assert!((0.95..1.05).contains(&ratio), "{times:?}");
}

#[test]
fn a_full_house_is_at_the_expense_of_the_longest_line() {
    let bounds = Bounds { each: 8, total: 10 };
    let mut fair = backlog(bounds, &[(1, 8), (2, 2)]);
    assert_eq!(fair.push(&1, 99).unwrap_err(), 99, "its own bound");
    assert_eq!(fair.push(&3, 0).unwrap().displaced, Some(7), "the newest of the longest");
    for number in 3..6 {
        assert!(fair.push(&number, 0).unwrap().displaced.is_some());
    }
    // Four, two, and four of one each: no one who has two already may take from a line of four that would be
    // of three.
    assert_eq!(fair.push(&1, 9).unwrap_err(), 9);
    assert_eq!(fair.waiting(), 10);
}

#[test]
fn nothing_is_kept_of_a_caller_that_has_gone() {
    let mut fair = backlog(WIDE, &[(1, 1), (2, 2)]);
    let ticket = fair.push(&3, 7).unwrap().ticket;
    assert_eq!(fair.cancel(&3, ticket), Some(7));
    assert_eq!(fair.cancel(&3, ticket), None);
    run(&mut fair, 2, 10, |_| MS);
    assert!(fair.lines.is_empty() && fair.round.is_empty() && fair.waiting() == 0, "{fair:?}");
}

#[test]
fn the_expected_wait_is_that_of_ones_own_backlog() {
    let mut fair = backlog(WIDE, &[(1, 1_000), (2, 1)]);
    assert_eq!(fair.expected(&1, 4), Duration::ZERO, "nothing is known yet");
    run(&mut fair, 4, 4, |_| 8 * MS);
    assert!(fair.expected(&1, 4) > 1_000 * MS);
    assert!(fair.expected(&3, 4) < 10 * MS);
}

#[test]
fn costs_at_the_edges_of_their_type_neither_overflow_nor_hang() {
    for took in [Duration::ZERO, Duration::from_nanos(1), Duration::MAX] {
        let mut fair = backlog(WIDE, &[(1, 200), (2, 200)]);
        let order = run(&mut fair, 3, 400, |caller| if caller == 1 { took } else { MS });
        assert_eq!(order.len(), 400, "{took:?}");
    }
}

#[derive(Clone, Debug)]
enum Step {
    Push(u8),
    Cancel(usize),
    Next,
    Settle(usize, u32),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..6u8).prop_map(Step::Push),
        1 => any::<usize>().prop_map(Step::Cancel),
        2 => Just(Step::Next),
        2 => (any::<usize>(), 0..50_000_000u32).prop_map(|(which, took)| Step::Settle(which, took)),
    ]
}

proptest! {
    /// Equal calls: while both have calls waiting, no caller gets ahead of another by more than one round.
    #[test]
    fn backlogged_callers_take_turns(lines in proptest::collection::vec(1..60usize, 2..8), places in 1..6usize) {
        let calls: Vec<(u8, usize)> = (0..).zip(lines.iter().copied()).collect();
        let mut fair = backlog(WIDE, &calls);
        let order = run(&mut fair, places, lines.iter().sum(), |_| MS);
        let mut served: HashMap<u8, usize> = HashMap::new();
        for caller in order {
            *served.entry(caller).or_default() += 1;
            let least = (0..).zip(&lines).filter(|(other, line)| served.get(other).copied().unwrap_or(0) < **line)
                .map(|(other, _)| served.get(&other).copied().unwrap_or(0)).min();
            if let Some(least) = least {
                prop_assert!(served[&caller] <= least + 2, "{caller} had {} turns, another {least}", served[&caller]);
            }
        }
    }

    /// Every call comes out exactly once, in the order of its line, and the bounds hold all the while.
    #[test]
    fn no_call_is_lost_or_doubled(steps in proptest::collection::vec(step(), 1..400), each in 1..6usize, total in 1..12usize) {
        let mut fair = Fair::new(Bounds { each, total });
        let (mut waiting, mut running) = (Vec::<(u8, usize, Ticket)>::new(), Vec::new());
        let mut number = 0;
        let mut seen = HashSet::new();
        let mut last = HashMap::new();
        for step in steps {
            match step {
                Step::Push(caller) => {
                    number += 1;
                    let before = waiting.iter().filter(|(other, _, _)| *other == caller).count();
                    match fair.push(&caller, number) {
                        Ok(accepted) => {
                            if let Some(displaced) = accepted.displaced {
                                prop_assert!(seen.insert(displaced));
                                let place = waiting.iter().position(|(_, call, _)| *call == displaced).unwrap();
                                let (loser, _, _) = waiting.remove(place);
                                prop_assert!(loser != caller, "no one displaces itself");
                            }
                            waiting.push((caller, number, accepted.ticket));
                        }
                        Err(call) => {
                            prop_assert_eq!(call, number);
                            prop_assert!(before >= each || waiting.len() >= total);
                            seen.insert(call);
                        }
                    }
                }
                Step::Cancel(which) if !waiting.is_empty() => {
                    let (caller, call, ticket) = waiting.remove(which % waiting.len());
                    prop_assert_eq!(fair.cancel(&caller, ticket), Some(call));
                    prop_assert!(seen.insert(call));
                }
                Step::Next => match fair.take() {
                    Some(turn) => {
                        prop_assert!(seen.insert(turn.call));
                        let first = waiting.iter().position(|(caller, _, _)| *caller == turn.caller).unwrap();
                        prop_assert_eq!(waiting.remove(first).1, turn.call, "first come, first served in one line");
                        prop_assert!(last.insert(turn.caller, turn.call).is_none_or(|before| before < turn.call));
                        running.push((turn.caller, turn.charge));
                    }
                    None => prop_assert!(waiting.is_empty()),
                },
                Step::Settle(which, took) if !running.is_empty() => {
                    let (caller, charge) = running.remove(which % running.len());
                    fair.settle(&caller, charge, Duration::from_nanos(took.into()));
                }
                Step::Cancel(_) | Step::Settle(..) => {}
            }
            prop_assert_eq!(fair.waiting(), waiting.len());
            prop_assert!(fair.waiting() <= total);
            for caller in 0..6 {
                prop_assert!(waiting.iter().filter(|(other, _, _)| *other == caller).count() <= each);
            }
        }
    }
}

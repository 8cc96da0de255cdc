//! These tests simulate one thread that is sent more calls than it can serve.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::{BinaryHeap, HashMap, VecDeque};

use super::pacer::Pacer;
use super::*;

const US: Duration = Duration::from_micros(1);
/// What one call takes; what a refusal; what holding one back.
const CALL: Duration = Duration::from_micros(100);
const REFUSAL: Duration = Duration::from_micros(5);
const HOLDING: Duration = Duration::from_micros(1);

fn caller(name: &str) -> SubsystemId {
    format!("gov/{name}/office").parse().unwrap()
}

/// A thread, and the calls that wait for it: 10,000 calls a second are what it can do.
struct Thread {
    shedder: Shedder,
    now: Instant,
    queue: VecDeque<(SubsystemId, Instant)>,
    held: BinaryHeap<std::cmp::Reverse<(Instant, SubsystemId, u32)>>,
    let_in: HashMap<SubsystemId, u32>,
    refused: HashMap<SubsystemId, u32>,
    /// How long the calls had waited that were let in at once.
    queue_delay: HashMap<SubsystemId, Vec<Duration>>,
}

impl Thread {
    fn new() -> Self {
        let now = Instant::now();
        let (queue, held, let_in, refused, queue_delay) = Default::default();
        Self { shedder: Shedder::new(now), now, queue, held, let_in, refused, queue_delay }
    }

    /// One second in which each caller makes so many calls per second, of which no more than a hundred are
    /// under way.
    fn second(&mut self, rates: &[(&SubsystemId, u32)]) {
        let end = self.now + Duration::from_secs(1);
        let mut next: Vec<_> =
            rates.iter().map(|(caller, rate)| (self.now, *caller, Duration::from_secs(1) / *rate)).collect();
        while self.now < end {
            for (due, caller, every) in &mut next {
                while *due <= self.now {
                    let waits = self.queue.iter().filter(|(other, _)| other == *caller).count()
                        + self.held.iter().filter(|held| held.0.1 == **caller).count();
                    if waits < 100 {
                        self.queue.push_back((caller.clone(), *due));
                    }
                    *due += *every;
                }
            }
            if self.held.peek().is_some_and(|held| held.0.0 <= self.now) {
                let (_, caller, asked) = self.held.pop().unwrap().0;
                self.ask(caller, None, asked);
            } else if let Some((caller, came)) = self.queue.pop_front() {
                self.ask(caller, Some(self.now - came), 0);
            } else {
                self.now += 10 * US;
            }
        }
    }

    fn ask(&mut self, caller: SubsystemId, queue_delay: Option<Duration>, asked: u32) {
        match self.shedder.decide(Some(&caller), queue_delay, self.now, Fill::Room) {
            ShedDecision::Enter(usage) => {
                self.now += CALL;
                usage.running.fetch_sub(1, Ordering::Relaxed);
                *self.let_in.entry(caller.clone()).or_default() += 1;
                self.queue_delay.entry(caller).or_default().extend(queue_delay);
            }
            ShedDecision::Hold if asked < MAX_HOLDS => {
                self.now += HOLDING;
                self.held.push(std::cmp::Reverse((self.now + hold_pause(asked), caller, asked + 1)));
            }
            ShedDecision::Hold | ShedDecision::Refuse => {
                self.now += REFUSAL;
                *self.refused.entry(caller).or_default() += 1;
            }
        }
    }

    fn forget(&mut self) {
        self.let_in.clear();
        self.refused.clear();
        self.queue_delay.clear();
    }

    fn refused(&self, caller: &SubsystemId) -> u32 {
        self.refused.get(caller).copied().unwrap_or_default()
    }

    /// What 99 of 100 calls did not lie longer than.
    fn p99(&mut self, caller: &SubsystemId) -> Duration {
        let all = self.queue_delay.get_mut(caller).unwrap();
        all.sort();
        all[all.len() * 99 / 100]
    }
}

#[test]
fn a_thread_that_the_system_holds_up_again_and_again_refuses_no_one() {
    let bank = caller("bank");
    let police = caller("police");
    let mut thread = Thread::new();
    // Each time it finds what came in the 120 ms before.
    for _ in 0..20 {
        thread.now += Duration::from_millis(120);
        for number in 0..40 {
            let caller = if number % 2 == 0 { &bank } else { &police };
            thread.ask(
                caller.clone(),
                Some(Duration::from_millis(118) - number * Duration::from_millis(2)),
                0,
            );
        }
    }
    assert_eq!((thread.refused(&bank), thread.refused(&police)), (0, 0));
}

#[test]
fn a_burst_that_can_be_answered_in_time_is_not_refused_on_a_slow_machine() {
    let bank = caller("bank");
    let police = caller("police");
    let mut thread = Thread::new();
    thread.ask(police, Some(Duration::ZERO), 0);
    // 64 calls at once, each of 6 ms: the last one lies there for 384 ms.
    for number in 1..=64 {
        thread.now += 60 * CALL;
        thread.ask(bank.clone(), Some(60 * CALL * number), MAX_HOLDS);
    }
    assert_eq!(thread.refused.len(), 0, "{:?}", thread.refused);
}

#[test]
fn once_a_flood_is_over_its_caller_is_let_in_however_slow_the_machine_is() {
    let bank = caller("bank");
    let police = caller("police");
    let mut thread = Thread::new();
    let slow = Some(20 * 1000 * US);
    for _ in 0..200 {
        for caller in std::iter::repeat_n(&bank, 20).chain([&police]) {
            thread.ask(caller.clone(), slow, 0);
        }
        thread.now += Duration::from_millis(10);
    }
    assert!(thread.refused(&bank) > 100, "there was a flood: {}", thread.refused(&bank));

    // A call now and then, each of which had waited for long: no queue, but a machine that is busy
    // with other things. A second later that is known.
    for _ in 0..2 {
        thread.forget();
        thread.held.clear();
        for _ in 0..20 {
            for caller in [&bank, &bank, &police] {
                thread.ask(caller.clone(), slow, 0);
            }
            thread.now += Duration::from_millis(60);
        }
    }
    assert_eq!((thread.refused(&bank), thread.refused(&police)), (0, 0));
    assert!(thread.held.is_empty(), "nor is it held back");
}

#[test]
fn a_thread_that_keeps_up_refuses_no_one_whatever_the_bursts() {
    let mut thread = Thread::new();
    for _ in 0..5 {
        (0..100).for_each(|_| thread.queue.push_back((caller("tax"), thread.now)));
        thread.second(&[(&caller("tax"), 3_000), (&caller("school"), 3_500)]);
    }
    assert!(thread.refused.is_empty(), "{:?}", thread.refused);
}

#[test]
fn a_caller_that_is_alone_may_use_all_there_is() {
    let tax = caller("tax");
    let mut thread = Thread::new();
    (0..3).for_each(|_| thread.second(&[(&tax, 9_500)]));
    assert!(thread.refused.is_empty(), "{:?}", thread.refused);
}

#[test]
fn what_one_caller_brings_too_much_is_not_felt_by_the_others() {
    let greedy = caller("tax");
    let modest = ["school", "welfare", "police", "health"].map(caller);
    let mut thread = Thread::new();
    let rates: Vec<_> =
        [(&greedy, 100_000)].into_iter().chain(modest.iter().map(|one| (one, 1_000))).collect();
    thread.second(&rates);
    thread.forget();
    (0..2).for_each(|_| thread.second(&rates));

    for one in &modest {
        assert_eq!(thread.refused(one), 0, "{one}");
        assert!(thread.p99(one) < 30 * CALL, "{one}: {:?}", thread.p99(one));
    }
    assert!(thread.refused(&greedy) > 0);
    let spare = thread.let_in[&greedy];
    assert!(spare > 2 * 2_000, "what is spare is put to use: {spare}");
}

#[test]
fn a_thread_that_is_slow_for_another_reason_than_its_calls_holds_no_one_back() {
    let bank = caller("bank");
    let police = caller("police");
    let mut thread = Thread::new();
    // Each call waits for as long as one frame of a flood takes, and the next one comes after it.
    for number in 0..20_000 {
        let caller = if number % 20 == 0 { &police } else { &bank };
        thread.now += Duration::from_micros(900);
        thread.ask(caller.clone(), Some(Duration::from_micros(800)), 0);
    }
    assert!(
        thread.held.is_empty() && thread.refused.is_empty(),
        "{} {:?}",
        thread.held.len(),
        thread.refused
    );
}

#[test]
fn a_caller_that_is_paced_is_never_shut_out() {
    let mut now = Instant::now();
    let mut pacer = Pacer::new(now);
    let mut passed = 0;
    for tick in 0..2_000 {
        now += Duration::from_millis(10);
        (0..20).for_each(|_| pacer.observe(Duration::from_millis(5), now));
        passed += u32::from(pacer.try_pass(now) && tick >= 1_900);
    }
    assert!(passed >= 90, "{passed} in a second");
}

#[test]
fn where_all_bring_too_much_all_are_served_alike_and_the_thread_does_not_idle() {
    let all: Vec<_> = ["tax", "school", "welfare", "police"].map(caller).into();
    let rates: Vec<_> = all.iter().map(|one| (one, 25_000)).collect();
    let mut thread = Thread::new();
    thread.second(&rates);
    thread.forget();
    (0..2).for_each(|_| thread.second(&rates));

    let served: Vec<u32> = all.iter().map(|one| thread.let_in[one]).collect();
    let least = served.iter().min().unwrap();
    let most = served.iter().max().unwrap();
    let sum = served.iter().sum::<u32>();
    assert!(*most <= least * 5 / 4, "{served:?}");
    // Refusing 90,000 a second takes nearly half of it; whoever is refused 90,000 times has not been refused
    // by a hundred streams.
    assert!(sum > 2 * 5_000, "{served:?}");
    for one in &all {
        assert!(thread.p99(one) <= Duration::from_millis(30), "{:?}", thread.p99(one));
    }
}

#[test]
fn many_that_bring_too_much_together_wait_for_no_longer_than_one_that_does() {
    let greedy = caller("tax");
    let many = Vec::from_iter((0..20).map(|number| caller(&format!("office-{number}"))));
    let rates: Vec<_> = [(&greedy, 50_000)].into_iter().chain(many.iter().map(|one| (one, 1_000))).collect();
    let mut thread = Thread::new();
    thread.second(&rates);
    thread.forget();
    (0..2).for_each(|_| thread.second(&rates));
    for one in &many {
        assert!(thread.p99(one) <= Duration::from_millis(30), "{:?}", thread.p99(one));
        assert!(thread.let_in[one] > 2 * 300, "{}", thread.let_in[one]);
    }
}

#[test]
fn it_is_over_soon_after_the_load_is_over() {
    let tax = caller("tax");
    let mut thread = Thread::new();
    thread.second(&[(&tax, 50_000)]);
    thread.second(&[(&tax, 3_000)]);
    thread.forget();
    thread.second(&[(&tax, 3_000)]);
    assert!(thread.refused.is_empty());
    assert!(!thread.shedder.is_standing);
}

#[test]
fn the_last_places_are_for_those_who_have_few() {
    assert_eq!([7, 8, 9].map(|number| Fill::of(number, 8)), [Fill::Room, Fill::Scarce, Fill::Full]);
    let mut shedder = Shedder::new(Instant::now());
    let now = Instant::now();
    let greedy = caller("tax");
    let modest = caller("school");
    let mut enters =
        |caller, fill| matches!(shedder.decide(Some(caller), None, now, fill), ShedDecision::Enter(_));
    assert!((0..7).all(|_| enters(&greedy, Fill::Room)));
    assert!(!enters(&greedy, Fill::Scarce));
    assert!(enters(&modest, Fill::Scarce));
    assert!(!enters(&modest, Fill::Full));
}

#[test]
fn in_a_queue_that_stands_a_caller_that_has_had_its_share_is_refused_before_the_others() {
    let greedy = caller("tax");
    let modest = caller("school");
    let now = Instant::now();
    let mut shedder = Shedder::new(now);
    let enters = |shedder: &mut Shedder, caller: &SubsystemId, queue_delay: Option<u64>| {
        let queue_delay = queue_delay.map(Duration::from_millis);
        matches!(shedder.decide(Some(caller), queue_delay, now, Fill::Room), ShedDecision::Enter(_))
    };
    assert!([&greedy, &greedy, &greedy, &modest].iter().all(|caller| enters(&mut shedder, caller, None)));
    shedder.is_standing = true;
    assert!(enters(&mut shedder, &modest, Some(20)));
    assert!(!enters(&mut shedder, &greedy, Some(20)));
    assert!(!enters(&mut shedder, &modest, Some(40)));
    assert!(enters(&mut shedder, &greedy, Some(8)));
}

#[test]
fn a_tick_of_few_calls_sets_no_pace_however_long_they_waited() {
    let all_pass = |calls: u32| {
        let mut now = Instant::now();
        let mut pacer = Pacer::new(now);
        (0..50).all(|_| {
            now += Duration::from_millis(10);
            (0..calls).all(|_| {
                pacer.observe(Duration::from_millis(5), now);
                pacer.try_pass(now)
            })
        })
    };
    assert!(all_pass(7));
    assert!(!all_pass(8));
}

/// Sets a pace for `greedy` that leaves it nothing now.
fn pace(overload: &Overload, greedy: &SubsystemId) {
    let modest = caller("school");
    let mut shedder = overload.shedder.lock();
    // Later than the test ends, so that the time it takes gives no call back.
    let mut now = Instant::now() + Duration::from_secs(60);
    for _ in 0..4 {
        now += Duration::from_millis(10);
        for caller in [&modest].into_iter().chain(std::iter::repeat_n(greedy, 19)) {
            shedder.decide(Some(caller), Some(Duration::from_millis(5)), now, Fill::Room);
        }
    }
    assert!(matches!(shedder.decide(Some(greedy), None, now, Fill::Room), ShedDecision::Hold));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_would_be_held_is_refused_at_once_where_half_of_all_places_are_taken() {
    let greedy = caller("tax");
    for (in_flight, is_held) in [(3, true), (4, false)] {
        let overload = Overload::new(Arc::new(AtomicUsize::new(in_flight)), 8);
        pace(&overload, &greedy);
        let asked = tokio::time::Instant::now();
        let entered = overload.enter(Some(&greedy), Instant::now()).await;
        assert_eq!(!asked.elapsed().is_zero(), is_held, "{in_flight} calls run");
        assert!(entered.is_none() || is_held, "{in_flight} calls run");
    }
}

#[tokio::test]
async fn a_call_that_is_paced_for_a_moment_only_is_answered_in_the_end() {
    let greedy = caller("tax");
    let overload = Arc::new(Overload::new(Arc::default(), 100));
    pace(&overload, &greedy);
    let arrived = Instant::now();
    let others = std::thread::spawn({
        let (overload, greedy) = (Arc::clone(&overload), greedy.clone());
        move || {
            while arrived.elapsed() < Duration::from_millis(50) {
                overload.shedder.lock().decide(Some(&greedy), None, Instant::now(), Fill::Room);
            }
        }
    });
    assert!(overload.enter(Some(&greedy), arrived).await.is_some());
    others.join().unwrap();
}

#[tokio::test]
async fn a_part_of_an_inquiry_says_nothing_about_the_queue() {
    let overload = Overload::new(Arc::default(), 100);
    overload.shedder.lock().is_standing = true;
    for _ in 0..20 {
        drop(overload.enter_part(&caller("counter")).await);
    }
    let shedder = overload.shedder.lock();
    assert!(shedder.is_standing && !shedder.window.was_empty && shedder.window.least.is_none());
}

#[tokio::test]
async fn nothing_is_kept_of_callers_that_have_gone() {
    let overload = Overload::new(Arc::default(), 100);
    for number in 0..50 {
        drop(overload.enter(Some(&caller(&format!("office-{number}"))), Instant::now()).await.unwrap());
    }
    let mut shedder = overload.shedder.lock();
    (0..2).for_each(|_| shedder.decay());
    assert!(shedder.callers.is_empty() && shedder.running.load(Ordering::Relaxed) == 0);
    assert_eq!(overload.in_flight.load(Ordering::Relaxed), 0);
}

//! This module measures whether one caller, or all of them together, can keep others from being answered: ten
//! callers call one gateway, with ten times the load that it can serve.

use std::time::Duration;

use super::crowd::{Crowd, Offer, SLICE, Tally};
use super::process::pin;
use super::{CITIZEN, Fleet};
use crate::Agency;

/// Callers.
pub const CALLERS: usize = 10;
/// What each offers when there is no trouble, as a share of what the gateway can answer: half of it all
/// together.
const MODEST: f64 = 0.05;
/// How often an impatient caller makes a refused call again.
const IMPATIENT: u32 = 3;

/// How long, how often, and what is asked.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Of each measurement.
    pub length: Duration,
    /// Of the comparison with and without the greedy caller, which are measured in turns.
    pub rounds: usize,
    /// Bytes of an answer.
    pub answer: usize,
    /// Connections of each caller.
    pub connections: usize,
    /// How many times too much.
    pub times: f64,
    /// The gateway gets core 1 to itself, and this process core 0.
    pub pinned: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            length: Duration::from_secs(4),
            rounds: 5,
            answer: 400,
            connections: 1,
            times: 10.0,
            pinned: false,
        }
    }
}

/// What was measured.
#[derive(Debug)]
pub struct Report {
    /// Whether gateway and generator each had a core of their own.
    pub pinned: bool,
    /// Calls per second that are answered when all callers keep enough in flight.
    pub capacity: f64,
    /// By round: the nine modest callers beside a modest tenth, then beside a greedy one, and that one.
    pub isolation: Vec<[Tally; 3]>,
    /// Everyone, each offering the whole capacity.
    pub overload: Tally,
    /// The same with callers that make refused calls again at once, then half the capacity; and from which of
    /// the second's slices on all calls are answered.
    pub storm: (Tally, Tally, Option<usize>),
}

impl Report {
    /// Calls that ended otherwise than with an answer or a refusal.
    pub fn failed(&self) -> Option<&str> {
        let all = self.isolation.iter().flatten().chain([&self.overload, &self.storm.0, &self.storm.1]);
        all.into_iter().find_map(|tally| tally.why.as_deref())
    }
}

/// Measures. To be run within a `LocalSet`.
///
/// # Panics
/// If it cannot be set up.
pub async fn run(plan: &Plan) -> Report {
    let name = "ز".repeat(plan.answer / 2);
    let agency = Agency::answering(serde_json::json!({"nationalId": CITIZEN, "givenName": name})).forgetful();
    let fleet = Fleet::builder().in_front_of(agency).setting("workers = 1").build().await;
    let names = fleet.add_callers(CALLERS);
    let gateway = fleet.start().await;
    let pinned = plan.pinned && gateway.run_on(1) && pin(std::process::id(), 0);
    let crowd = Crowd::connect(fleet.address(), fleet.pki().folder(), &names, plan.connections).await;
    let crowd = crowd.expect("the callers connect");

    crowd.capacity(8, plan.length / 4).await;
    let capacity = crowd.capacity(8, plan.length).await;
    let modest = Offer { rate: MODEST * capacity, retries: 0 };
    let greedy = Offer { rate: plan.times * capacity, retries: 0 };
    let mut isolation = Vec::new();
    for _ in 0..plan.rounds {
        let quiet = crowd.offer(&[modest; CALLERS], plan.length).await;
        let mut offers = [modest; CALLERS];
        offers[0] = greedy;
        let beside = crowd.offer(&offers, plan.length).await;
        isolation.push([Tally::sum(&quiet[1..]), Tally::sum(&beside[1..]), beside[0].clone()]);
        // What the greedy one left behind is no one's fault in the next round.
        tokio::time::sleep(SLICE * 5).await;
    }
    let each = Offer { rate: plan.times * capacity / CALLERS as f64, retries: 0 };
    let overload = Tally::sum(&crowd.offer(&[each; CALLERS], plan.length).await);
    tokio::time::sleep(SLICE * 5).await;
    let impatient = Offer { retries: IMPATIENT, ..each };
    let storm = Tally::sum(&crowd.offer(&[impatient; CALLERS], plan.length).await);
    let after = Tally::sum(&crowd.offer(&[modest; CALLERS], plan.length).await);
    let recovered = recovered(&after);
    gateway.stop().await;
    Report { pinned, capacity, isolation, overload, storm: (storm, after, recovered) }
}

/// The first slice from which on no call is refused.
fn recovered(tally: &Tally) -> Option<usize> {
    let last = tally.slices.iter().rposition(|(_, refused)| *refused > 0);
    let first = last.map_or(0, |last| last + 1);
    (first < tally.slices.len()).then_some(first)
}

//! This module tells the story of one farm loan in nine steps, the last of which is the farmer's own view,
//! and three more of several gateways with `--redis`. Each step really does what it describes, measures it,
//! and compares the outcome with the expected one. A step with another outcome is reported as failed, and the
//! story goes on.

mod audited;
mod burst;
mod caller;
mod citizen;
mod lookup;
mod outage;
mod proof;
mod refused;
mod shared;
pub(super) mod show;
mod waterfall;

use std::net::SocketAddr;
use std::time::Instant;

use serde::Serialize;
use serde_json::Value;

use super::bus::Bus;
use super::data::Sample;
use crate::exit::Failure;
use caller::Caller;

/// The clerk at the counter.
pub(super) const CLERK: &str = "z.karimi";
/// The file number of the application.
pub(super) const CASE: &str = "1404-771";
/// Whose right the counter uses.
pub(super) const BANK: &str = "com/agri-bank";
/// Why the bank asks.
pub(super) const LOAN: &str = "loan.farm";

/// One step as it came out.
#[derive(Debug, Serialize)]
pub(super) struct Step {
    /// 1 to 9, or to 12 with Redis.
    pub(super) number: u8,
    pub(super) title: &'static str,
    pub(super) title_fa: &'static str,
    /// Whether the outcome is the expected one.
    pub(super) ok: bool,
    pub(super) took_ms: f64,
    /// One sentence: what came out, or what should have and did not.
    pub(super) outcome: String,
    /// The same for programs.
    pub(super) detail: Value,
    /// What is shown beneath the title.
    #[serde(skip)]
    pub(super) lines: Vec<String>,
}

/// What a step that came out as expected has to tell.
struct StepReport {
    outcome: String,
    lines: Vec<String>,
    detail: Value,
}

/// What went otherwise, in a sentence.
type Outcome = Result<StepReport, String>;

/// The first answer, and the index of its entry.
fn first_entry(answers: Option<&[caller::Answer]>) -> Result<(&caller::Answer, u64), String> {
    let first = answers.and_then(|answers| answers.first()).ok_or("there was no first answer")?;
    let index = first.entry.rsplit_once('/').and_then(|(_, index)| index.parse().ok());
    Ok((first, index.ok_or("the answer named no entry")?))
}

/// The story while it is told.
struct StoryRunner<'a> {
    number: u8,
    tell: &'a mut (dyn FnMut(&Step) + Send),
    steps: Vec<Step>,
}

impl StoryRunner<'_> {
    async fn step(
        &mut self,
        title: &'static str,
        title_fa: &'static str,
        work: impl Future<Output = Outcome>,
    ) {
        self.number += 1;
        let started = Instant::now();
        let outcome = work.await;
        let took_ms = show::millis(started.elapsed());
        let (ok, told) = match outcome {
            Ok(told) => (true, told),
            Err(outcome) => (false, StepReport { outcome, lines: Vec::new(), detail: Value::Null }),
        };
        let StepReport { outcome, lines, detail } = told;
        let step = Step { number: self.number, title, title_fa, ok, took_ms, outcome, detail, lines };
        (self.tell)(&step);
        self.steps.push(step);
    }
}

/// Tells the whole story about the first of `sample`; `tell` gets each step as soon as it has come out.
///
/// # Errors
/// If the callers' keys cannot be used; what the bus answers is never an error but an outcome.
pub(super) async fn all(
    bus: &mut Bus,
    sample: &[Sample],
    tell: &mut (dyn FnMut(&Step) + Send),
) -> Result<Vec<Step>, Failure> {
    let counter = Caller::new(bus, super::registry::COUNTER)?;
    let welfare = Caller::new(bus, super::registry::WELFARE)?;
    let Some(applicant) = sample.first() else { return Ok(Vec::new()) };
    let mut tale = StoryRunner { number: 0, tell, steps: Vec::new() };
    // The answers are kept for the two steps that look at the receipt and the trace of the first.
    let mut first = None;

    let looked_up = async {
        let (answers, told) = lookup::step(bus, &counter, applicant).await?;
        first = Some(answers);
        Ok(told)
    };
    tale.step(
        "Seven questions to five agencies, in one call",
        "هفت پرسش از پنج دستگاه، در یک تماس",
        looked_up,
    )
    .await;
    let refused = refused::purpose(bus, &counter, applicant);
    tale.step("The same question for another purpose", "همان پرسش برای کاری دیگر", refused).await;
    let withheld = refused::field(bus, &welfare, applicant);
    tale.step("A field that is not granted", "فیلدی که اجازه‌اش نیست", withheld).await;
    tale.step("A burst over the limit", "بیش از اندازهٔ مجاز", burst::step(bus, &welfare, applicant)).await;
    tale.step("An agency that is down", "دستگاهی از کار افتاده", outage::step(bus, &counter, applicant))
        .await;
    let proven = proof::step(bus, first.as_deref());
    tale.step("The receipt of the first answer", "رسید نخستین پاسخ", proven).await;
    let audited = audited::step(bus, first.as_deref());
    tale.step("Those who watch from outside", "آنها که از بیرون می‌نگرند", audited).await;
    let drawn = waterfall::step(bus, first.as_deref());
    tale.step("The trace of the inquiry", "مسیر این تماس", drawn).await;
    if bus.redis().is_some() {
        let at = |gateway: &SocketAddr| Caller::at(bus, *gateway, super::registry::WELFARE);
        let welfare = bus.gateways.iter().map(at).collect::<Result<Vec<_>, _>>()?;
        let limit = shared::limit(bus, &welfare, applicant);
        tale.step("One limit at all gateways", "یک سقف برای همهٔ دروازه‌ها", limit).await;
        let away = shared::outage(bus, &welfare, applicant);
        tale.step("Redis taken away and given back", "ردیس می‌رود و بازمی‌گردد", away).await;
        let suspended = shared::suspended(bus, &welfare, applicant);
        tale.step("A grant suspended at all gateways", "مجوزی که همه‌جا تعلیق می‌شود", suspended).await;
    }
    let seen = citizen::step(bus, applicant);
    tale.step("What the farmer sees of it", "آنچه کشاورز خود می‌بیند", seen).await;
    Ok(tale.steps)
}

//! `checks` judges a running bus from what its gateways say of themselves. Each check has an id, a mark, and
//! what to do if it does not hold; `docs/reference/checks.md` has a section for each id.

mod catalogue;
mod evidence;
mod gateways;
mod identity;
mod limits;
mod policy;
mod sources;

use std::time::Duration;

use serde_json::{Value, json};

use crate::bus::{Answer, Bus, Seen};

pub use catalogue::CheckId;

/// How a check came out; the worst last.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Mark {
    /// It holds.
    Good,
    /// It holds, and will not for long, or costs something.
    Warning,
    /// It does not hold.
    Failed,
}

impl Mark {
    /// `good`, `warning` or `failed`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Warning => "warning",
            Self::Failed => "failed",
        }
    }

    /// √, ‼ or ×.
    pub fn sign(self) -> &'static str {
        match self {
            Self::Good => "√",
            Self::Warning => "‼",
            Self::Failed => "×",
        }
    }
}

/// One check of one thing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Check {
    /// Which.
    pub id: CheckId,
    /// How it came out.
    pub mark: Mark,
    /// Of what: a gateway, a service, a grant.
    pub of: String,
    /// What was found, in a sentence without a full stop.
    pub text: String,
    /// What to do; nothing where there is nothing to do.
    pub fix: Option<String>,
}

impl Check {
    /// Where the check is explained: a page of the documentation, with its section.
    pub fn doc(&self) -> String {
        format!("docs/reference/checks.md#{}", self.id.as_str())
    }
}

/// The checks of one bus as they are made.
#[derive(Default)]
struct Checks(Vec<Check>);

impl Checks {
    fn good(&mut self, id: CheckId, of: &str, text: impl Into<String>) {
        self.0.push(Check { id, mark: Mark::Good, of: of.to_owned(), text: text.into(), fix: None });
    }

    fn warn(&mut self, id: CheckId, of: &str, text: impl Into<String>, fix: impl Into<String>) {
        let (text, fix) = (text.into(), Some(fix.into()));
        self.0.push(Check { id, mark: Mark::Warning, of: of.to_owned(), text, fix });
    }

    fn fail(&mut self, id: CheckId, of: &str, text: impl Into<String>, fix: impl Into<String>) {
        let (text, fix) = (text.into(), Some(fix.into()));
        self.0.push(Check { id, mark: Mark::Failed, of: of.to_owned(), text, fix });
    }
}

/// The longest time for which two gateways may have different registries in force: each looks at its files
/// four times a second, and a change is taken up when two looks in a row are the same.
const SETTLING: Duration = Duration::from_secs(3);

/// Asks all gateways and judges. Where they differ in what a change may just have brought, they are asked
/// once more after 3 s.
pub async fn run(bus: &Bus) -> (Vec<Answer<Seen>>, Vec<Check>) {
    let mut answers = bus.status().await;
    if policy::differ(&answers) {
        tokio::time::sleep(SETTLING).await;
        answers = bus.status().await;
    }
    let checks = judge(bus, &answers);
    (answers, checks)
}

/// Judges what the gateways have answered, group by group.
pub(crate) fn judge(bus: &Bus, answers: &[Answer<Seen>]) -> Vec<Check> {
    let mut checks = Checks::default();
    identity::own(&mut checks, bus);
    of_gateways(&mut checks, answers);
    // Stable, so that within a check the gateways stay in their order.
    checks.0.sort_by_key(|check| check.id);
    checks.0
}

fn of_gateways(checks: &mut Checks, answers: &[Answer<Seen>]) {
    gateways::check(checks, answers);
    policy::check(checks, answers);
    sources::check(checks, answers);
    for (gateway, seen) in seen(answers) {
        identity::check(checks, gateway, &seen.status);
        evidence::check(checks, gateway, &seen.status);
        limits::check(checks, gateway, &seen.status);
    }
}

/// The gateways that answered.
fn seen(answers: &[Answer<Seen>]) -> impl Iterator<Item = (&str, &Seen)> {
    answers.iter().filter_map(|answer| Some((answer.gateway.as_str(), answer.answer.as_ref().ok()?)))
}

/// The worst mark.
pub fn worst(checks: &[Check]) -> Mark {
    checks.iter().map(|check| check.mark).max().unwrap_or(Mark::Good)
}

/// The checks as one JSON document: `{"status", "checks": [{"group", "id", "status", "of", "text", "fix",
/// "doc"}]}`; `fix` is null where there is nothing to do.
pub fn document(checks: &[Check]) -> Value {
    let list: Vec<Value> = checks
        .iter()
        .map(|check| {
            json!({
                "group": check.id.group(),
                "id": check.id.as_str(),
                "status": check.mark.as_str(),
                "of": check.of,
                "text": check.text,
                "fix": check.fix,
                "doc": check.doc(),
            })
        })
        .collect();
    json!({ "status": worst(checks).as_str(), "checks": list })
}

#[cfg(test)]
mod tests;

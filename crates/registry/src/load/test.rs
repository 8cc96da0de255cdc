//! This module runs `[[test]]`: what the registry's authors expect, checked by the same decision as calls. A
//! failed test blocks the load.

use std::sync::Arc;

use chapar_model::{CaseNumber, ClerkId, MemberId, Purpose, Reason, SubsystemId, tehran};
use jiff::Timestamp;

use super::value::at;
use super::{File, Loader};
use crate::decide::{self, Question, Refused};
use crate::entry::MethodEntry;
use crate::finding::Kind;
use crate::grant::{Grant, Permit, Requires};
use crate::policy::{Policy, Term};
use crate::raw::{self, Text};
use crate::source::Source;

/// A test whose names are all known.
struct Trial<'a> {
    source: &'a Arc<Source>,
    raw: &'a raw::Test,
    caller: SubsystemId,
    entry: Arc<MethodEntry>,
    purpose: Option<Purpose>,
    case: Option<CaseNumber>,
    clerk: Option<ClerkId>,
    on_behalf_of: Option<MemberId>,
    on: Option<Timestamp>,
    expect: Option<Reason>,
}

impl Loader<'_> {
    /// Reads the tests of all files and, if the registry has no errors, runs them against `policy`.
    /// Suspensions are hidden from all tests except those that expect `SUSPENDED`, so that no test can block
    /// an urgent suspension.
    pub(super) fn tests(&mut self, files: &[File], policy: &mut Policy) {
        // Tests of a registry with errors would only repeat those errors.
        let stands = self.findings.is_empty();
        let mut trials = Vec::new();
        for file in files {
            for raw in &file.raw.tests {
                let before = self.findings.len();
                let trial = self.trial(&file.source, raw);
                trials.extend(trial.filter(|_| stands && self.findings.len() == before));
            }
        }
        let suspensions = std::mem::take(&mut policy.suspensions);
        let (stopped, others): (Vec<_>, Vec<_>) =
            trials.into_iter().partition(|trial| trial.expect == Some(Reason::Suspended));
        others.iter().for_each(|trial| self.run(policy, trial));
        policy.suspensions = suspensions;
        stopped.iter().for_each(|trial| self.run(policy, trial));
    }

    fn trial<'a>(&mut self, source: &'a Arc<Source>, raw: &'a raw::Test) -> Option<Trial<'a>> {
        let caller = self.subsystem(source, &raw.caller);
        let expect = raw.expect.as_ref().and_then(|text| self.reason(source, text));
        let case = raw.case.as_ref().and_then(|text| self.parse(source, text));
        let clerk = raw.clerk.as_ref().and_then(|text| self.parse(source, text));
        let on_behalf_of = raw.on_behalf_of.as_ref().and_then(|text| self.known_member(source, text));
        let on = raw.on.as_ref().and_then(|day| self.day(source, day)).and_then(tehran::midnight);
        let disclosure = !raw.allow.is_empty() || !raw.deny.is_empty();
        if disclosure == raw.expect.is_some() {
            let message = "a test has `allow` and `deny`, or `expect`";
            self.malformed(source, raw.call.span(), message);
        }
        let entry = self.known_method(source, &raw.call)?;
        let purpose = match &raw.purpose {
            // A test of an unknown purpose must be able to name one.
            Some(text) if expect == Some(Reason::PurposeUnknown) => self.parse(source, text),
            Some(text) => self.purpose(source, text, &entry),
            None => None,
        };
        for field in raw.allow.iter().chain(&raw.deny) {
            self.field(source, field, &entry);
        }
        Some(Trial { source, raw, caller: caller?, entry, purpose, case, clerk, on_behalf_of, on, expect })
    }

    fn reason(&mut self, source: &Arc<Source>, text: &Text) -> Option<Reason> {
        let reason = text.get_ref().parse::<Reason>().ok();
        if reason.is_none() {
            let finding = self.findings.at(source, text.span(), Kind::Malformed, "there is no such reason");
            finding.suggest(text.get_ref(), Reason::ALL.iter().map(|reason| reason.as_str()));
        }
        reason
    }

    fn run(&mut self, policy: &Policy, trial: &Trial<'_>) {
        for now in moments(policy, trial) {
            let before = self.findings.len();
            match trial.expect {
                Some(reason) => self.expect(policy, trial, reason, now),
                None => self.disclosure(policy, trial, now),
            }
            // One finding for a test is enough: other moments would mostly repeat it.
            if self.findings.len() > before {
                return;
            }
        }
    }

    fn expect(&mut self, policy: &Policy, trial: &Trial<'_>, expected: Reason, now: Timestamp) {
        let (text, actual) = match decide::decide(policy, &trial.question(now)) {
            Err(refused) if refused.reason == expected => return,
            Err(Refused { reason, detail }) => (format!("it is refused with {reason}"), detail),
            Ok(permit) => ("it is allowed".to_owned(), format!("by the grant {}", permit.grant.id)),
        };
        let span = trial.raw.expect.as_ref().map_or(trial.raw.call.span(), Text::span);
        let message =
            format!("test failed: {} should be refused with {expected}, but {text}: {actual}", trial.words());
        self.findings.at(trial.source, span, Kind::TestFailed, message);
    }

    fn disclosure(&mut self, policy: &Policy, trial: &Trial<'_>, now: Timestamp) {
        let permit = match trial.permit(policy, now) {
            Ok(permit) => Arc::clone(permit),
            // A test that allows nothing is met by a refusal.
            Err(_) if trial.raw.allow.is_empty() => return,
            Err(Refused { reason, detail }) => {
                let message = format!("test failed: {} is refused with {reason}: {detail}", trial.words());
                self.findings.at(trial.source, trial.raw.call.span(), Kind::TestFailed, message);
                return;
            }
        };
        let grant = &permit.grant;
        let allow = trial.raw.allow.iter();
        let deny = trial.raw.deny.iter();
        let missing = allow
            .filter(|field| !permit.disclosed.contains(field.get_ref()))
            .map(|field| (field, "does not give"));
        let given =
            deny.filter(|field| permit.disclosed.contains(field.get_ref())).map(|field| (field, "gives"));
        for (field, verb) in missing.chain(given) {
            let message = format!(
                "test failed: the grant {} {verb} `{}` to {}",
                grant.id,
                field.get_ref(),
                trial.caller
            );
            let finding = self.findings.at(trial.source, field.span(), Kind::TestFailed, message);
            // The grant is pointed at in the same file only, because a finding shows one file's text.
            match self.ids.get(&grant.id) {
                Some(place) if place.source.path == trial.source.path => {
                    finding.also(place.span.clone(), "this grant")
                }
                Some(place) => finding.advise(format!("the grant is at {}", at(place))),
                None => finding,
            };
        }
    }
}

impl Trial<'_> {
    fn question(&self, now: Timestamp) -> Question<'_> {
        Question {
            caller: &self.caller,
            method: &self.entry,
            purpose: self.purpose.as_ref(),
            case: self.case.as_ref(),
            clerk: self.clerk.as_ref(),
            on_behalf_of: self.on_behalf_of.as_ref(),
            now,
        }
    }

    /// The decision, as if a case and a clerk that the test leaves out were given.
    fn permit<'t>(&self, policy: &'t Policy, now: Timestamp) -> Result<&'t Arc<Permit>, Refused> {
        let question = self.question(now);
        let permit = decide::permit(policy, &question)?;
        let Grant { id, requires, .. } = permit.grant.as_ref();
        // A test of disclosed fields need not repeat the metadata that the grant requires. What it does give
        // is checked.
        let given = Requires {
            case: requires.case && self.case.is_some(),
            clerk: requires.clerk && self.clerk.is_some(),
            pattern: requires.pattern.clone(),
        };
        let lacking = |reason| Refused { reason, detail: format!("grant {id} asks for more") };
        given.check(question.case, question.clerk).map_err(lacking)?;
        Ok(permit)
    }

    fn words(&self) -> String {
        format!("{} calling {}", self.caller, self.entry.method.path())
    }
}

/// The moments at which a test is run: the day that it names, else the first moment of each term that could
/// answer it. The time of the load is not used, so that a test has the same result on every day.
fn moments(policy: &Policy, trial: &Trial<'_>) -> Vec<Timestamp> {
    if let Some(on) = trial.on {
        return vec![on];
    }
    let methods = policy.terms.get(&trial.caller);
    let terms = methods.and_then(|methods| methods.get(trial.entry.method.path())).into_iter().flatten();
    let terms: Vec<&Arc<Term>> = terms.filter(|term| term.on_behalf_of == trial.on_behalf_of).collect();
    let first = |terms: &mut dyn Iterator<Item = &&Arc<Term>>| -> Vec<Timestamp> {
        terms.filter_map(|term| term.first_moment()).collect()
    };
    let fits =
        |term: &&&Arc<Term>| trial.purpose.as_ref().is_none_or(|purpose| term.purposes.contains(purpose));
    // Terms for the test's purpose are preferred. Without any, every term is tried, so that the refusal is
    // the one that a caller would get.
    let mut moments = first(&mut terms.iter().filter(fits));
    if moments.is_empty() {
        moments = first(&mut terms.iter());
    }
    if moments.is_empty() {
        // Without a term the refusal does not depend on the time.
        moments.push(Timestamp::UNIX_EPOCH);
    }
    moments
}

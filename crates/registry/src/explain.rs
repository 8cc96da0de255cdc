//! `Registry::explain` shows a policy decision check by check, by the same checks in the same order as
//! `decide`, and its result.

use std::sync::Arc;

use crate::decide::{self, Question, Refused};
use crate::grant::Permit;
use crate::policy::Term;
use crate::registry::Registry;

/// One check of a decision.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Check {
    /// The name of the check, e.g. `grant welfare-getperson`.
    pub name: String,
    /// The refusal, or `None` if the call passes this check.
    pub refused: Option<Refused>,
    /// Whether a failure of this check refuses the call. Grants and delegations are alternatives, of which
    /// one is enough.
    pub alone: bool,
}

/// All checks of a decision, and its result.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The checks in their order, up to the first that refuses the call by itself.
    pub checks: Vec<Check>,
    /// The result of [`Registry::decide`] for the same question.
    pub decision: Result<Arc<Permit>, Refused>,
}

impl Registry {
    /// Decides the question, and lists each check.
    pub fn explain(&self, question: &Question<'_>) -> Explanation {
        let mut checks = Vec::new();
        self.walk(question, &mut checks);
        Explanation { checks, decision: self.decide(question) }
    }

    /// Adds checks as long as the call passes; returns `None` at the check that refuses it.
    fn walk(&self, question: &Question<'_>, checks: &mut Vec<Check>) -> Option<()> {
        let policy = &self.policy;
        let path = question.method.method.path();
        let mut check = |name: String, alone: bool, result: Result<(), Refused>| {
            let passed = result.is_ok();
            checks.push(Check { name, refused: result.err(), alone });
            passed.then_some(())
        };
        // The checks repeat `decide::permit` in the same order; the decision itself is always made by
        // `decide`.
        let ways = policy.terms.get(question.caller).and_then(|methods| methods.get(path));
        check(
            format!("{path} is there for {}", question.caller),
            true,
            decide::check_visible(ways.is_some(), question),
        )?;
        check("no one is suspended".to_owned(), true, decide::check_suspended(policy, question))?;
        let purpose = question.purpose.map_or("none", |purpose| purpose.as_str());
        check(format!("the contract knows the purpose ({purpose})"), true, decide::check_purpose(question))?;
        let of_member = |term: &&Arc<Term>| term.on_behalf_of.as_ref() == question.on_behalf_of;
        let ways: Vec<&Arc<Term>> = ways.into_iter().flatten().filter(of_member).collect();
        // Without a term there is no grant to list, so this check carries the refusal (`NOT_GRANTED` or
        // `DELEGATION_NOT_GRANTED`).
        if ways.is_empty() {
            let whose = question
                .on_behalf_of
                .map_or_else(|| "of its own".to_owned(), |member| format!("by {member}"));
            check(format!("a right {whose}"), true, Err(decide::refused(None, question)))?;
        }
        let mut holds = None;
        for term in ways {
            let name = match &term.delegated {
                Some(delegated) => format!("delegation {}, grant {}", delegated.id, term.permit.grant.id),
                None => format!("grant {}", term.permit.grant.id),
            };
            let suspended =
                || policy.is_suspended(term, question.now).then_some(decide::FailedCheck::Suspended);
            let failed = term.first_failed_check(question).or_else(suspended);
            let result = failed.map_or(Ok(()), |failed| Err(decide::refused(Some((failed, term)), question)));
            if check(name, false, result).is_some() {
                // `decide` takes the first term that holds, so no later one is asked.
                holds = Some(term);
                break;
            }
        }
        let grant = &holds?.permit.grant;
        let lacking = |reason| Refused { reason, detail: format!("grant {} asks for more", grant.id) };
        let required = grant.requires.names();
        let words = if required.is_empty() { "nothing more".to_owned() } else { required.join(" and ") };
        check(
            format!("the call brings what the grant requires ({words})"),
            true,
            grant.requires.check(question.case, question.clerk).map_err(lacking),
        )
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{Files, grant, question};

    const WELFARE: &str = "gov/welfare/benefits";

    /// A line for each check, and what is decided.
    fn told(words: &str) -> Vec<String> {
        let files = Files::default()
            .with(
                "gov/desk.toml",
                &grant("old", WELFARE, "valid = { from = 2025-01-01, until = 2025-12-31 }"),
            )
            .with("gov/desk.toml", &grant("g", WELFARE, "requires = [\"case\"]"));
        let registry = files.load().unwrap();
        let explanation = question(&registry, WELFARE, "Get", words, |question| registry.explain(question));
        let checks = explanation.checks.iter().map(|check| match &check.refused {
            None => format!("passes: {}", check.name),
            Some(refused) => format!("{}: {}: {}", refused.reason, check.name, refused.detail),
        });
        let decision =
            explanation.decision.map_or_else(|refused| refused.reason.to_string(), |_| "allowed".to_owned());
        checks.chain([decision]).collect()
    }

    #[test]
    fn each_gate_is_told_in_its_order_and_the_decision_last() {
        assert_eq!(
            told("purpose=desk.read case=1"),
            [
                "passes: desk.v1.Desk/Get is there for gov/welfare/benefits",
                "passes: no one is suspended",
                "passes: the contract knows the purpose (desk.read)",
                "GRANT_EXPIRED: grant old: grant old is valid from 2025-01-01 until 2025-12-31",
                "passes: grant g",
                "passes: the call brings what the grant requires (case)",
                "allowed",
            ]
        );
        assert_eq!(told("purpose=desk.read").last().unwrap(), "CASE_REQUIRED");
        assert_eq!(
            told("purpose=nonsense")[2..],
            [
                "PURPOSE_UNKNOWN: the contract knows the purpose (nonsense): the contract of desk.v1.Desk",
                "PURPOSE_UNKNOWN"
            ]
        );
        assert_eq!(
            told("purpose=desk.read for=com/bank")[3..],
            [
                "DELEGATION_NOT_GRANTED: a right by com/bank: no delegation of com/bank lets gov/welfare/benefits call desk.v1.Desk/Get",
                "DELEGATION_NOT_GRANTED"
            ]
        );
    }
}

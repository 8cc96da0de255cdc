//! `decide` is the policy decision: a pure function of registry and question, with a permit or one reason as
//! its result. No clock, no I/O: it imports data types only.

use std::sync::Arc;

use chapar_model::{CaseNumber, ClerkId, MemberId, Purpose, Reason, SubsystemId};
use jiff::Timestamp;

use crate::entry::MethodEntry;
use crate::grant::Permit;
use crate::policy::{Policy, Term};

/// Everything that a decision depends on besides the registry.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The calling subsystem.
    pub caller: &'a SubsystemId,
    /// The method that is called.
    pub method: &'a MethodEntry,
    /// The purpose that the caller gives.
    pub purpose: Option<&'a Purpose>,
    /// The caller's file number.
    pub case: Option<&'a CaseNumber>,
    /// The person at the keyboard.
    pub clerk: Option<&'a ClerkId>,
    /// The member whose right is used; the caller's own grants do not count then.
    pub on_behalf_of: Option<&'a MemberId>,
    /// The time of the call, at which grants and suspensions are judged.
    pub now: Timestamp,
}

/// A call that is not allowed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refused {
    /// The reason that the caller is told.
    pub reason: Reason,
    /// The check that refused. The text is for the provider: it names grants, methods and members, and
    /// nothing of the message.
    pub detail: String,
}

/// The check at which a term failed, in the order of the checks. If no term holds, the refusal names the term
/// that came furthest, because its cause is the nearest to a permit.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum FailedCheck {
    DelegationOver,
    DelegationPurpose,
    GrantOver,
    GrantPurpose,
    OutOfHours,
    Suspended,
}

impl Term {
    /// The first check that fails, or `None` if the term holds.
    pub(crate) fn first_failed_check(&self, question: &Question<'_>) -> Option<FailedCheck> {
        // A question without a purpose passes: `check_purpose` has refused it before, unless the contract has
        // no purposes.
        let covers = |purposes: &[Purpose]| question.purpose.is_none_or(|purpose| purposes.contains(purpose));
        if let Some(delegated) = &self.delegated {
            if !delegated.valid.covers(question.now) {
                return Some(FailedCheck::DelegationOver);
            }
            if !covers(&delegated.purposes) {
                return Some(FailedCheck::DelegationPurpose);
            }
        }
        let grant = &self.permit.grant;
        if !grant.valid.covers(question.now) {
            return Some(FailedCheck::GrantOver);
        }
        if !covers(&grant.purposes) {
            return Some(FailedCheck::GrantPurpose);
        }
        if grant.hours.as_ref().is_some_and(|hours| !hours.covers(question.now)) {
            return Some(FailedCheck::OutOfHours);
        }
        None
    }
}

pub(crate) fn decide<'a>(policy: &'a Policy, question: &Question<'_>) -> Result<&'a Arc<Permit>, Refused> {
    let permit = permit(policy, question)?;
    let grant = &permit.grant;
    let lacking = |reason| Refused { reason, detail: format!("grant {} asks for more", grant.id) };
    // Required metadata belongs to the grant that answers, so it is checked after the choice of the term.
    grant.requires.check(question.case, question.clerk).map_err(lacking)?;
    Ok(permit)
}

/// The permit, before the metadata that its grant requires (case, clerk) is checked.
pub(crate) fn permit<'a>(policy: &'a Policy, question: &Question<'_>) -> Result<&'a Arc<Permit>, Refused> {
    let of_method =
        policy.terms.get(question.caller).and_then(|methods| methods.get(question.method.method.path()));
    // The order is part of the API: the caller gets the first reason of the list at `Registry::decide`.
    // Visibility comes first, so that no other reason reveals a hidden service.
    check_visible(of_method.is_some(), question)?;
    check_suspended(policy, question)?;
    check_purpose(question)?;
    let mut nearest: Option<(FailedCheck, &Term)> = None;
    for term in of_method.into_iter().flatten() {
        // A call on behalf of a member uses that member's rights only; the caller's own grants do not count.
        if term.on_behalf_of.as_ref() != question.on_behalf_of {
            continue;
        }
        // Suspension is checked last, so that it is named only for a term that would hold otherwise.
        let suspended = || policy.is_suspended(term, question.now).then_some(FailedCheck::Suspended);
        let Some(failed) = term.first_failed_check(question).or_else(suspended) else {
            return Ok(&term.permit);
        };
        // The term that passed most checks is kept, because its reason helps the caller most.
        if nearest.is_none_or(|(other, _)| other < failed) {
            nearest = Some((failed, term));
        }
    }
    Err(refused(nearest, question))
}

/// A hidden service is answered as unknown to callers without a right to it, whatever else is wrong with the
/// call, so that no other reason reveals it.
pub(crate) fn check_visible(has_right: bool, question: &Question<'_>) -> Result<(), Refused> {
    let service = &question.method.service;
    if has_right || !service.hidden {
        return Ok(());
    }
    Err(Refused {
        reason: Reason::MethodUnknown,
        detail: format!("{} is hidden from {}", service.name, question.caller),
    })
}

pub(crate) fn check_suspended(policy: &Policy, question: &Question<'_>) -> Result<(), Refused> {
    let caller = question.caller;
    let provider = &question.method.service.provider;
    // Caller and provider have one reason, so a caller does not learn from it which of the two is suspended.
    let detail = if policy.suspensions.subsystem(caller, question.now) {
        format!("{caller} is suspended, or its member is")
    } else if policy.suspensions.member(provider, question.now) {
        format!("{provider} is suspended")
    } else {
        return Ok(());
    };
    Err(Refused { reason: Reason::Suspended, detail })
}

pub(crate) fn check_purpose(question: &Question<'_>) -> Result<(), Refused> {
    let known = question.method.method.purposes();
    // A method without purposes accepts no purpose either: the record would state one that no contract
    // defines.
    let reason = match question.purpose {
        None if known.is_empty() => return Ok(()),
        Some(purpose) if known.contains(purpose) => return Ok(()),
        None => Reason::PurposeRequired,
        Some(_) => Reason::PurposeUnknown,
    };
    Err(Refused { reason, detail: format!("the contract of {}", question.method.service.name) })
}

pub(crate) fn refused(nearest: Option<(FailedCheck, &Term)>, question: &Question<'_>) -> Refused {
    // Without any term, only the kind of right that the caller asked for can be named.
    let Some((failed, term)) = nearest else {
        let caller = question.caller;
        let method = question.method.method.path();
        return match question.on_behalf_of {
            Some(member) => Refused {
                reason: Reason::DelegationNotGranted,
                detail: format!("no delegation of {member} lets {caller} call {method}"),
            },
            None => Refused {
                reason: Reason::NotGranted,
                detail: format!("no grant lets {caller} call {method}"),
            },
        };
    };
    let grant = &term.permit.grant;
    let delegation = term.delegated.as_ref().map(|delegated| (&delegated.id, delegated.valid));
    let (reason, detail) = match (failed, delegation) {
        (FailedCheck::DelegationOver, Some((id, valid))) => (
            Reason::DelegationNotGranted,
            format!("delegation {id} is valid from {} until {}", valid.from, valid.until),
        ),
        // `DelegationOver` always has a delegation; it is named here again only because a match must be
        // total.
        (FailedCheck::DelegationPurpose | FailedCheck::DelegationOver, delegation) => {
            let id = delegation.map_or("", |(id, _)| id.as_str());
            (Reason::PurposeNotGranted, format!("delegation {id} is not for this purpose"))
        }
        (FailedCheck::GrantOver, _) => {
            let valid = grant.valid;
            (
                Reason::GrantExpired,
                format!("grant {} is valid from {} until {}", grant.id, valid.from, valid.until),
            )
        }
        (FailedCheck::GrantPurpose, _) => {
            (Reason::PurposeNotGranted, format!("grant {} is not for this purpose", grant.id))
        }
        (FailedCheck::OutOfHours, _) => {
            let hours = grant.hours.map_or_else(String::new, |hours| hours.to_string());
            (Reason::OutOfHours, format!("grant {} holds on {hours}", grant.id))
        }
        (FailedCheck::Suspended, delegation) => {
            let by =
                delegation.map_or_else(String::new, |(id, _)| format!(", delegation {id}, or who gave it,"));
            (Reason::Suspended, format!("grant {}{by} is suspended", grant.id))
        }
    };
    Refused { reason, detail }
}

#[cfg(test)]
mod tests;

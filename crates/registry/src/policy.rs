//! `Policy` is what a decision looks at: the terms under which each caller may call each method, and the
//! suspensions. It is data; the decision is in `decide`.

use std::collections::HashMap;
use std::sync::Arc;

use chapar_model::{GrantId, MemberId, MethodPath, Purpose, SubsystemId, tehran};
use jiff::Timestamp;

use crate::grant::{Permit, Validity};
use crate::suspension::Suspensions;

/// The data that a decision depends on besides the question.
#[derive(Default)]
pub(crate) struct Policy {
    pub(crate) terms: Terms,
    pub(crate) suspensions: Suspensions,
}

/// Caller → method → what may be permitted, own and delegated.
pub(crate) type Terms = HashMap<SubsystemId, HashMap<MethodPath, Vec<Arc<Term>>>>;

/// A permit and what must hold for it: the grant's own terms, and the delegation's if it is used through one.
#[derive(Clone, Debug)]
pub(crate) struct Term {
    /// The delegating member, for a delegated right.
    pub(crate) on_behalf_of: Option<MemberId>,
    /// Terms of the delegation, for a delegated right.
    pub(crate) delegated: Option<Delegated>,
    /// Purposes that both grant and delegation cover.
    pub(crate) purposes: Vec<Purpose>,
    pub(crate) permit: Arc<Permit>,
}

/// The terms of a delegation.
#[derive(Clone, Debug)]
pub(crate) struct Delegated {
    pub(crate) id: GrantId,
    pub(crate) purposes: Vec<Purpose>,
    pub(crate) valid: Validity,
}

impl Policy {
    /// Whether the term's grant, its provider, the delegation or the delegating member is suspended.
    pub(crate) fn is_suspended(&self, term: &Term, now: Timestamp) -> bool {
        // The caller's own suspension is not asked for here: `check_suspended` comes before.
        let Self { suspensions, .. } = self;
        let grant = &term.permit.grant;
        suspensions.grant(&grant.id, now)
            || suspensions.member(&grant.provider, now)
            || term.delegated.as_ref().is_some_and(|delegated| suspensions.grant(&delegated.id, now))
            || term.on_behalf_of.as_ref().is_some_and(|member| suspensions.member(member, now))
    }
}

impl Term {
    pub(crate) fn valid_at(&self, now: Timestamp) -> bool {
        let delegated = self.delegated.as_ref().is_none_or(|delegated| delegated.valid.covers(now));
        delegated && self.permit.grant.valid.covers(now)
    }

    /// Whether it holds now or may hold later.
    pub(crate) fn has_not_expired(&self, now: Timestamp) -> bool {
        self.days().is_some_and(|days| !days.has_expired(now))
    }

    /// The days on which it holds.
    pub(crate) fn days(&self) -> Option<Validity> {
        // A delegation holds only while its grant does.
        let grant = &self.permit.grant.valid;
        self.delegated.as_ref().map_or(Some(*grant), |delegated| delegated.valid.overlap(grant))
    }

    /// The first moment at which it holds.
    pub(crate) fn first_moment(&self) -> Option<Timestamp> {
        let days = self.days()?;
        match &self.permit.grant.hours {
            Some(hours) => hours.first_in(&days),
            None => tehran::midnight(days.from),
        }
    }
}

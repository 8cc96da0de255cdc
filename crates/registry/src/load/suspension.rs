//! This module loads `[[suspension]]`: of anything in `suspensions.toml`, and of a member's own entries in
//! its file. Only tests that expect `SUSPENDED` see suspensions, so that no other test can hold up an urgent
//! stop.

use std::sync::Arc;

use chapar_model::{GrantId, MemberId};
use jiff::Timestamp;
use toml::Spanned;
use toml::value::Datetime;

use super::Loader;
use crate::finding::Kind;
use crate::raw::Suspension;
use crate::source::Source;
use crate::suspension::SuspensionPeriod;

impl Loader<'_> {
    /// `owner`: the member in whose file they stand; nothing for the operator's.
    pub(super) fn suspensions(&mut self, source: &Arc<Source>, owner: Option<&MemberId>, raw: &[Suspension]) {
        for suspension in raw {
            self.suspension(source, owner, suspension);
        }
    }

    fn suspension(&mut self, source: &Arc<Source>, owner: Option<&MemberId>, raw: &Suspension) -> Option<()> {
        if raw.reason.get_ref().trim().is_empty() {
            self.malformed(source, raw.reason.span(), "a suspension says why");
        }
        let from = raw.from.as_ref().map(|moment| self.moment(source, moment));
        let until = raw.until.as_ref().map(|moment| self.moment(source, moment));
        // A time that could not be read fails the suspension, so that it does not hold for ever by mistake.
        let window = SuspensionPeriod {
            from: from.map_or(Some(None), |from| from.map(Some))?,
            until: until.map_or(Some(None), |until| until.map(Some))?,
        };
        if let (SuspensionPeriod { from: Some(from), until: Some(until) }, Some(written)) =
            (window, &raw.until)
            && until <= from
        {
            self.malformed(source, written.span(), "`until` is not after `from`");
        }
        // Without an owner the file is the operator's, who may suspend anything.
        let whose = |of: &MemberId| owner.is_none_or(|owner| owner == of);
        let of = raw.of.get_ref();
        let own = if let Some(id) = of.strip_prefix("grant/") {
            let id: GrantId = self.grant_id(source, &raw.of, id)?;
            let own = self.owners.get(&id).is_none_or(whose);
            self.suspended.grants.entry(id).or_default().push(window);
            own
        } else if of.matches('/').count() == 2 {
            let id = self.subsystem(source, &raw.of)?;
            let own = whose(id.member());
            self.suspended.subsystems.entry(id).or_default().push(window);
            own
        } else {
            let id = self.known_member(source, &raw.of)?;
            let own = whose(&id);
            self.suspended.members.entry(id).or_default().push(window);
            own
        };
        // Otherwise a member could stop the calls of others by an edit of its own file.
        if !own {
            let message =
                "a member suspends what is its own: itself, its subsystems, its grants and delegations";
            let finding = self.findings.at(source, raw.of.span(), Kind::Malformed, message);
            finding.advise("the operator suspends anything, in `suspensions.toml`");
        }
        Some(())
    }

    /// The id of a grant or delegation that is there.
    fn grant_id(&mut self, source: &Arc<Source>, written: &crate::raw::Text, id: &str) -> Option<GrantId> {
        let found = id.parse::<GrantId>().ok().filter(|id| self.ids.contains_key(id));
        if found.is_none() && self.broken.is_empty() {
            let mut known: Vec<String> = self.ids.keys().map(|id| format!("grant/{id}")).collect();
            known.sort_unstable();
            let message = format!("no grant or delegation has the id `{id}`");
            let finding = self.findings.at(source, written.span(), Kind::UnknownGrant, message);
            finding.suggest(written.get_ref(), known.iter().map(String::as_str));
        }
        found
    }

    /// Reads a moment, which must have an offset from UTC.
    fn moment(&mut self, source: &Arc<Source>, written: &Spanned<Datetime>) -> Option<Timestamp> {
        let moment = written.get_ref().to_string().parse::<Timestamp>().ok();
        if moment.is_none() {
            self.malformed(source, written.span(), "this must be a moment, e.g. 2026-11-24T10:00:00+03:30");
        }
        self.is_of_our_calendar(source, written).then_some(moment).flatten()
    }
}

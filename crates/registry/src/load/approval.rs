//! This module loads `[[approver]]` and `[[approval]]` of `bus.toml`: people with keys and roles, and the
//! roles that a change needs.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Loader;
use crate::approval::{Approvals, Approver, Rule};
use crate::finding::Kind;
use crate::raw::{self, OF_A_MEMBER, OF_SUSPENSIONS, OF_THE_BUS, Raw};
use crate::source::Source;

impl Loader<'_> {
    pub(super) fn approvals(&mut self, source: &Arc<Source>, raw: &Raw) -> Approvals {
        let mut approvals = Approvals::default();
        let mut known = BTreeSet::new();
        for approver in &raw.approvers {
            let id = approver.id.get_ref();
            if id.is_empty() || id.contains(|c: char| c.is_whitespace() || c == '+') {
                self.malformed(source, approver.id.span(), "an approver's id has no space and no `+`");
            }
            // A signed note goes by the name in its key: another name would approve for nobody.
            if approver.key.get_ref().split('+').next() != Some(id.as_str())
                || approver.key.get_ref().matches('+').count() < 2
            {
                let message = "the key is `NAME+HASH+BASE64` with the approver's id for NAME";
                self.malformed(source, approver.key.span(), message);
            }
            if !known.insert(id) {
                self.findings.at(
                    source,
                    approver.id.span(),
                    Kind::Duplicate,
                    format!("the approver `{id}` is there twice"),
                );
            }
            if approver.roles.get_ref().is_empty() {
                self.malformed(source, approver.roles.span(), "an approver has a role at least");
            }
            let key = approver.key.get_ref().clone();
            let roles = approver.roles.get_ref().clone();
            approvals.approvers.push(Approver { id: id.clone(), key, roles });
        }
        approvals.rules = raw.approvals.iter().map(|rule| self.rule(source, rule, &approvals)).collect();
        approvals
    }

    fn rule(&mut self, source: &Arc<Source>, raw: &raw::Approval, approvals: &Approvals) -> Rule {
        let tables = || OF_A_MEMBER.iter().chain(OF_THE_BUS).chain(OF_SUSPENSIONS).copied();
        for of in raw
            .of
            .get_ref()
            .iter()
            // A rule about a table that does not exist would never apply, and a change would pass without its
            // approval.
            .filter(|of| *of.get_ref() != "*" && !tables().any(|table| table == of.get_ref()))
        {
            let message = format!("`{}` is no table of a registry", of.get_ref());
            self.findings.at(source, of.span(), Kind::Malformed, message).suggest(of.get_ref(), tables());
        }
        if raw.of.get_ref().is_empty() || raw.needs.get_ref().is_empty() {
            self.malformed(
                source,
                raw.of.span(),
                "a rule is `of` one table at least, and `needs` one role at least",
            );
        }
        let roles = || approvals.approvers.iter().flat_map(|approver| &approver.roles).map(String::as_str);
        let held = |role: &str| {
            // A role that nobody has would block every change that needs it.
            roles().any(|known| known == role || (role == "steward" && known.starts_with("steward of ")))
        };
        for role in raw.needs.get_ref().iter().filter(|role| !held(role.get_ref())) {
            let message =
                format!("no approver has the role `{}`: nothing of this could be approved", role.get_ref());
            let finding = self.findings.at(source, role.span(), Kind::Malformed, message);
            finding.suggest(role.get_ref(), roles());
        }
        let words = |texts: &[raw::Text]| texts.iter().map(|text| text.get_ref().clone()).collect();
        Rule { of: words(raw.of.get_ref()), needs: words(raw.needs.get_ref()) }
    }
}

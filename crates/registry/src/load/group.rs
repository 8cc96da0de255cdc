//! This module loads `[[group]]`: subsystems that share grants, by a list of members or by class and
//! attributes. A group of `bus.toml` is for everyone's grants, a group of a member's file for its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chapar_model::{Class, MemberId, SubsystemId};
use toml::Spanned;

use super::value::at;
use super::{Loader, SourceSpan};
use crate::finding::Kind;
use crate::grant::Grantee;
use crate::raw::{self, Text};
use crate::source::Source;

/// A group that grants may name.
pub(super) struct Group {
    place: SourceSpan,
    /// In whose file it stands; nothing for `bus.toml`.
    owner: Option<MemberId>,
    name: Arc<str>,
    subsystems: Arc<[SubsystemId]>,
}

impl Loader<'_> {
    /// The groups of one file.
    pub(super) fn groups(&mut self, source: &Arc<Source>, owner: Option<&MemberId>, raw: &[raw::Group]) {
        for group in raw {
            self.group(source, owner, group);
        }
    }

    fn group(&mut self, source: &Arc<Source>, owner: Option<&MemberId>, raw: &raw::Group) -> Option<()> {
        let name = raw.id.get_ref();
        let well_formed = !name.is_empty()
            && name.len() <= 63
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if !well_formed {
            self.malformed(source, raw.id.span(), "a group's id is 1 to 63 of a-z, 0-9, `-`");
            return None;
        }
        if let Some(first) = self.groups.get(name.as_str()) {
            let advice = format!("the first is at {}", at(&first.place));
            self.findings
                .at(source, raw.id.span(), Kind::Duplicate, format!("the group `{name}` is there twice"))
                .advise(advice);
            return None;
        }
        if raw.members.is_empty() && raw.attributes.is_empty() {
            self.malformed(
                source,
                raw.id.span(),
                "a group has `members`, or `where` with the attributes of its members",
            );
        }
        // `class` is read only together with `where`: beside a list it would be ignored in silence.
        if raw.class.is_some() && raw.attributes.is_empty() {
            self.malformed(
                source,
                raw.id.span(),
                "`class` narrows `where`: a list of `members` has no need of it",
            );
        }
        let mut members: BTreeSet<MemberId> =
            raw.members.iter().filter_map(|member| self.known_member(source, member)).collect();
        members.extend(self.by_attributes(source, raw));
        // `subsystem` narrows the group to one system of each member, by the last part of its id.
        let wanted = |id: &SubsystemId| {
            let own = id.as_str().rsplit('/').next().unwrap_or_default();
            raw.subsystem.as_ref().is_none_or(|name| name.get_ref() == own)
        };
        let of_members = members.iter().flat_map(|member| self.by_member.get(member)).flatten();
        let subsystems: Arc<[SubsystemId]> = of_members.filter(|id| wanted(id)).cloned().collect();
        let place = SourceSpan { source: Arc::clone(source), span: raw.id.span() };
        let name: Arc<str> = name.as_str().into();
        self.groups.insert(Arc::clone(&name), Group { place, owner: owner.cloned(), name, subsystems });
        Some(())
    }

    fn by_attributes(&mut self, source: &Arc<Source>, raw: &raw::Group) -> Vec<MemberId> {
        let class = raw.class.as_ref().and_then(|class| self.parse::<Class>(source, class));
        // Without attributes every member of the class would be in the group, which nobody has written.
        if raw.attributes.is_empty() || raw.class.is_some() != class.is_some() {
            return Vec::new();
        }
        for name in raw.attributes.keys() {
            let known = || self.attributes.values().flat_map(BTreeMap::keys).map(String::as_str);
            // A misspelt attribute would make an empty group, and its grants would silently allow nobody.
            if !known().any(|known| known == name.get_ref()) {
                let known: BTreeSet<String> = known().map(str::to_owned).collect();
                let message = format!("no member has the attribute `{}`", name.get_ref());
                let finding = self.findings.at(source, name.span(), Kind::UnknownAttribute, message);
                finding.suggest(name.get_ref(), known.iter().map(String::as_str));
            }
        }
        for values in raw.attributes.values().filter(|values| values.get_ref().is_empty()) {
            self.malformed(source, values.span(), "no member has one of no values");
        }
        let has = |of: &BTreeMap<String, String>, (name, values): (&Text, &Spanned<Vec<String>>)| {
            of.get(name.get_ref()).is_some_and(|value| values.get_ref().contains(value))
        };
        let fits = |(member, of): &(&MemberId, &BTreeMap<String, String>)| {
            class.is_none_or(|class| member.class() == class)
                && raw.attributes.iter().all(|wanted| has(of, wanted))
        };
        self.attributes.iter().filter(fits).map(|(member, _)| member.clone()).collect()
    }

    /// Whom a grant or a delegation of `owner`, or a procedure without one, names: a subsystem, or a group of
    /// the owner's file or of `bus.toml`.
    pub(super) fn grantee(
        &mut self,
        source: &Arc<Source>,
        owner: Option<&MemberId>,
        text: &Text,
    ) -> Option<(Grantee, Arc<[SubsystemId]>)> {
        let Some(name) = text.get_ref().strip_prefix("group/") else {
            let id = self.subsystem(source, text)?;
            return Some((Grantee::Subsystem(id.clone()), Arc::new([id])));
        };
        let Some(group) = self.groups.get(name) else {
            // While a file is broken its groups are missing too, and findings about them would be false.
            if self.broken.is_empty() {
                let mut known: Vec<String> = self.groups.keys().map(|name| format!("group/{name}")).collect();
                known.sort_unstable();
                let message = format!("there is no group `{name}`");
                let finding = self.findings.at(source, text.span(), Kind::UnknownGroup, message);
                finding.suggest(text.get_ref(), known.iter().map(String::as_str));
            }
            return None;
        };
        // A group decides who may call, so it must belong to the provider or to the bus.
        if group.owner.as_ref().is_some_and(|other| Some(other) != owner) {
            let advice = format!("the group is at {}; one of `bus.toml` is for everyone", at(&group.place));
            let message = "the group is another member's: it would widen this by an edit of its own file";
            self.findings.at(source, text.span(), Kind::UnknownGroup, message).advise(advice);
            return None;
        }
        Some((Grantee::Group(Arc::clone(&group.name)), Arc::clone(&group.subsystems)))
    }
}

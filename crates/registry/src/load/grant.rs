//! This module loads `[[grant]]`: names are known, limits are enforced, and no two grants answer the same
//! call on the same day.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chapar_model::{Limits, MAX_CALLS, MemberId, Purpose, Quotas, RowScopes, SubjectQuota, SubsystemId};
use toml::Spanned;

use super::value::at;
use super::{File, Loader};
use crate::entry::{MethodEntry, Server};
use crate::finding::Kind;
use crate::grant::{Citizen, Grant, Hours, Permit, Requires, RowCheck, WEEK};
use crate::policy::Term;
use crate::raw;
use crate::source::Source;

impl Loader<'_> {
    pub(super) fn grant(&mut self, file: &File) {
        for grant in &file.raw.grants {
            self.one_grant(file, grant);
        }
    }

    fn one_grant(&mut self, file: &File, raw: &raw::Grant) -> Option<()> {
        let source = &file.source;
        // The parts that do not depend on the method are checked first, so that an unknown method hides none
        // of their errors.
        let id = self.id(source, &file.member, &raw.id);
        let to = self.grantee(source, Some(&file.member), &raw.to);
        let valid = self.validity(source, &raw.valid);
        let hours = raw.hours.as_ref().map(|hours| self.hours(source, hours));
        let limit = self.limits(source, &raw.limit);
        let requires = self.requires(source, raw);
        let citizen = self.citizen(source, raw);
        if raw.basis.get_ref().trim().is_empty() {
            self.malformed(source, raw.basis.span(), "a grant needs its legal basis: the citizen reads it");
        }
        let entry = self.known_method(source, &raw.method)?;
        // Only the provider grants its methods, because it answers for the data.
        if entry.service.provider != file.member {
            let message = format!(
                "{} is {}'s to grant, not {}'s",
                entry.method.path(),
                entry.service.provider,
                file.member
            );
            self.findings.at(source, raw.method.span(), Kind::ForeignMethod, message);
            return None;
        }
        let purposes = self.purposes(source, raw, &entry);
        let fields: Vec<String> =
            raw.fields.get_ref().iter().filter_map(|field| self.field(source, field, &entry)).collect();
        // A response without fields, an acknowledgement, has none to name.
        if raw.fields.get_ref().is_empty() && !entry.method.fields().is_empty() {
            self.malformed(source, raw.fields.span(), "a grant names at least one field of the response");
        }
        let rows = self.rows(source, raw, &entry);
        let row_checks = self.row_checks(source, raw, &entry);
        let quotas = self.quotas(source, raw, &entry);
        let (to, callers) = to?;
        let disclosure = match self.shared.disclosure(&entry, fields) {
            Ok(disclosure) => disclosure,
            Err(error) => {
                self.malformed(source, raw.fields.span(), error.to_string());
                return None;
            }
        };
        let (rows, rows_header) = self.shared.rows(rows?);
        let grant = Arc::new(Grant {
            id: id?,
            to,
            provider: file.member.clone(),
            method: entry.method.path().clone(),
            purposes: purposes?,
            fields: Arc::clone(&disclosure.fields),
            rows,
            row_checks,
            valid: valid?,
            // Hours that could not be read fail the grant, so that it does not come into force for all hours.
            hours: hours.map_or(Some(None), |hours| hours.map(Some))?,
            limit: limit?,
            quotas,
            requires: requires?,
            basis: self.shared.text(raw.basis.get_ref()),
            citizen: citizen?,
        });
        let permit = Arc::new(Permit::new(&grant, None, disclosure, rows_header));
        let term =
            Arc::new(Term { on_behalf_of: None, delegated: None, purposes: grant.purposes.clone(), permit });
        // A term that clashes is added all the same: the load fails anyway, and later findings see the whole
        // registry.
        let mut clash = None;
        for caller in callers.iter() {
            let methods = self.terms.entry(caller.clone()).or_default();
            let beside = methods.entry(grant.method.clone()).or_default();
            if clash.is_none() {
                clash = beside
                    .iter()
                    .find(|other| other.clashes(&term))
                    .map(|other| other.permit.grant.id.clone());
            }
            beside.push(Arc::clone(&term));
        }
        // A member can delegate a grant once, whatever number of its subsystems have it.
        let members: BTreeSet<&MemberId> = callers.iter().map(SubsystemId::member).collect();
        for member in members {
            self.granted.entry((member.clone(), grant.method.clone())).or_default().push(Arc::clone(&grant));
        }
        if let Some(other) = clash {
            // The other grant has its id in `ids`, so the default is never used.
            let place = self.ids.get(&other).map(at).unwrap_or_default();
            let message =
                format!("the grants `{}` and `{other}` answer the same call on the same day", grant.id);
            let finding = self.findings.at(source, raw.id.span(), Kind::Overlap, message);
            finding.advise(format!(
                "the other is at {place}: part them by purpose or by date, or make one of them"
            ));
        }
        self.grants.push(grant);
        Some(())
    }

    fn purposes(
        &mut self,
        source: &Arc<Source>,
        raw: &raw::Grant,
        entry: &MethodEntry,
    ) -> Option<Vec<Purpose>> {
        let known = entry.method.purposes();
        if raw.purposes.is_empty() && !known.is_empty() {
            let listed: Vec<&str> = known.iter().map(Purpose::as_str).collect();
            let message = format!("the grant needs `purposes`: at least one of {}", listed.join(", "));
            self.malformed(source, raw.id.span(), message);
            return None;
        }
        Some(raw.purposes.iter().filter_map(|purpose| self.purpose(source, purpose, entry)).collect())
    }

    fn rows(&mut self, source: &Arc<Source>, raw: &raw::Grant, entry: &MethodEntry) -> Option<RowScopes> {
        let mut scopes = BTreeMap::new();
        for (name, values) in &raw.rows {
            let known = entry.method.row_scopes();
            if !known.contains(name.get_ref()) {
                let message = format!("`{}` is no row scope of {}", name.get_ref(), entry.method.path());
                let finding = self.findings.at(source, name.span(), Kind::UnknownRowScope, message);
                finding.suggest(name.get_ref(), known.iter().map(String::as_str));
                continue;
            }
            // Each scope is checked by itself, so that the finding points at its values.
            let scope = BTreeMap::from([(name.get_ref().clone(), values.get_ref().clone())]);
            if RowScopes::new(scope).is_err() {
                let message =
                    "a row scope has at least one value, each 1 to 64 of A-Z, a-z, 0-9, `.`, `_`, `-`";
                self.malformed(source, values.span(), message);
            }
            scopes.insert(name.get_ref().clone(), values.get_ref().clone());
        }
        RowScopes::new(scopes).ok()
    }

    /// Row checks for an agency's own gRPC server, which the gateway cannot make narrow its rows. Each row
    /// scope needs a field of the response to check it by.
    fn row_checks(&mut self, source: &Arc<Source>, raw: &raw::Grant, entry: &MethodEntry) -> Vec<RowCheck> {
        if entry.service.server == Server::Adapter {
            return Vec::new();
        }
        let mut checks = Vec::new();
        for (name, values) in &raw.rows {
            if let Some(field) = entry.method.row_field(name.get_ref()) {
                checks.push(RowCheck { field, values: values.get_ref().clone() });
                continue;
            }
            let message = format!(
                "rows by `{}` cannot be held: the answer of the agency's own server has no text or integer of that name at its top",
                name.get_ref()
            );
            let finding = self.findings.at(source, name.span(), Kind::NotEnforced, message);
            finding.advise(
                "add the field to the response (it need not be granted), or serve the method by an adapter",
            );
        }
        checks
    }

    fn limits(&mut self, source: &Arc<Source>, raw: &raw::GrantLimit) -> Option<Limits> {
        let rate = raw.rate.as_ref().map(|rate| self.parse(source, rate));
        match &raw.burst {
            // A burst alone has no rate to refill it.
            Some(burst) if raw.rate.is_none() => {
                self.malformed(
                    source,
                    burst.span(),
                    "`burst` without `rate`: a burst is what a rate allows at once",
                );
            }
            Some(burst) if burst.get_ref().get() > MAX_CALLS => {
                self.malformed(source, burst.span(), format!("the largest burst is {MAX_CALLS}"));
            }
            _ => {}
        }
        // A rate that could not be read fails the grant, so that it does not come into force without its
        // limit.
        let rate = rate.map_or(Some(None), |rate| rate.map(Some))?;
        Some(Limits {
            rate,
            burst: raw.burst.as_ref().map(|burst| *burst.get_ref()),
            concurrent: raw.concurrent,
        })
    }

    /// A quota of citizens is refused where they cannot be told apart: a provider who writes it relies on it.
    fn quotas(&mut self, source: &Arc<Source>, raw: &raw::Grant, entry: &MethodEntry) -> Quotas {
        let raw::GrantLimit { daily, subjects, clerk_subjects, .. } = &raw.limit;
        let quota = |raw: &Option<Spanned<raw::SubjectLimit>>| {
            let raw = raw.as_ref().map(Spanned::get_ref);
            raw.map_or(SubjectQuota::default(), |raw| SubjectQuota { hour: raw.hour, day: raw.day })
        };
        for (name, limit) in [("subjects", subjects), ("clerk_subjects", clerk_subjects)] {
            let Some(limit) = limit else { continue };
            if entry.method.subject().is_none() {
                let message = format!("`{name}` counts citizens, and the method is about no one citizen");
                let finding = self.findings.at(source, limit.span(), Kind::NotEnforced, message);
                finding.advise("give the method a `subject` in its contract, or bound the day by `daily`");
            } else if quota(&Some(limit.clone())).is_none() {
                self.malformed(source, limit.span(), format!("`{name}` has an `hour`, a `day` or both"));
            }
        }
        if let Some(limit) = clerk_subjects {
            if !raw.requires.iter().any(|name| name.get_ref() == "clerk") {
                self.malformed(source, limit.span(), "`clerk_subjects` without `requires = [\"clerk\"]`");
            } else if subjects.is_none() {
                // Without it a caller could have any number of clerks, and the gateway a count for each.
                self.malformed(source, limit.span(), "`clerk_subjects` without `subjects`");
            }
        }
        Quotas { daily: *daily, subjects: quota(subjects), clerk_subjects: quota(clerk_subjects) }
    }

    fn requires(&mut self, source: &Arc<Source>, raw: &raw::Grant) -> Option<Requires> {
        let mut requires = Requires::default();
        for name in &raw.requires {
            match name.get_ref().as_str() {
                "case" => requires.case = true,
                "clerk" => requires.clerk = true,
                // A requirement that is not known must not be dropped, because the grant would then allow
                // more than was written.
                other => {
                    let message = format!("a grant cannot require `{other}`");
                    let finding = self.findings.at(source, name.span(), Kind::Malformed, message);
                    finding.label("not one of: case, clerk").suggest(other, ["case", "clerk"].into_iter());
                }
            }
        }
        if let Some(pattern) = &raw.case_pattern {
            // A pattern that is never asked for would look like a check.
            if !requires.case {
                self.malformed(source, pattern.span(), "`case_pattern` without `requires = [\"case\"]`");
            }
            match self.shared.pattern(pattern.get_ref()) {
                Ok(compiled) => requires.pattern = Some(compiled),
                Err(error) => {
                    let error = error.to_string();
                    // The last line of the library's message says what is wrong; the lines before repeat the
                    // pattern.
                    let last = error.lines().last().unwrap_or_default();
                    self.malformed(source, pattern.span(), format!("no regular expression: {last}"));
                    return None;
                }
            }
        }
        Some(requires)
    }

    fn hours(&mut self, source: &Arc<Source>, raw: &Spanned<raw::Hours>) -> Option<Hours> {
        let hours = raw.get_ref();
        let days = match &hours.days {
            None => Some([true; 7]),
            Some(text) => week(text.get_ref()),
        };
        if let (None, Some(text)) = (days, &hours.days) {
            let message = "days are one of sat, sun, mon, tue, wed, thu, fri, or a range, e.g. `sat-wed`";
            self.malformed(source, text.span(), message);
        }
        let mut minutes = [&hours.from, &hours.until].into_iter().map(|text| {
            let minute = minute(text.get_ref());
            if minute.is_none() {
                self.malformed(source, text.span(), "an hour is written `07:30`");
            }
            minute
        });
        let from = minutes.next().flatten();
        let until = minutes.next().flatten();
        let hours = Hours::new(days?, from?, until?);
        if hours.is_none() {
            self.malformed(source, raw.span(), "`until` is after `from` on the same day, and at most 24:00");
        }
        hours
    }

    fn citizen(&mut self, source: &Arc<Source>, raw: &raw::Grant) -> Option<Citizen> {
        // The citizen sees a disclosure unless the grant says otherwise.
        let Some(text) = &raw.citizen else { return Some(Citizen::Shown) };
        if text.get_ref() == "shown" {
            return Some(Citizen::Shown);
        }
        let day = text.get_ref().strip_prefix("after ").and_then(|day| day.parse().ok());
        if day.is_none() {
            self.malformed(
                source,
                text.span(),
                "`citizen` is `shown` or `after` and a day, e.g. `after 2027-06-01`",
            );
        }
        day.map(Citizen::After)
    }
}

/// `sat`, or `sat-wed`: a range may pass over the end of the week.
fn week(text: &str) -> Option<[bool; 7]> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let place = |day: &str| WEEK.iter().position(|known| *known == day);
    let first = place(first)?;
    let last = place(last)?;
    let mut days = [false; 7];
    // Modulo 7, because a range such as `thu-sat` passes over the end of the week.
    for day in 0..=(last + 7 - first) % 7 {
        days[(first + day) % 7] = true;
    }
    Some(days)
}

/// `07:30` in minutes of the day, `24:00` included.
fn minute(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |text: &str| {
        // Two digits each, so that `7:5` is not read as a time.
        (text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse::<u16>().ok())?
    };
    let hours = number(hours)?;
    let minutes = number(minutes)?;
    (minutes < 60 && hours * 60 + minutes <= 24 * 60).then_some(hours * 60 + minutes)
}

impl Term {
    /// Whether both could answer one call.
    pub(super) fn clashes(&self, other: &Self) -> bool {
        // Hours are not compared, so two grants that differ only in their hours clash.
        let purposes = self.purposes.is_empty() && other.purposes.is_empty()
            || self.purposes.iter().any(|purpose| other.purposes.contains(purpose));
        let days = || {
            self.days().is_some_and(|days| other.days().is_some_and(|other| days.overlap(&other).is_some()))
        };
        self.on_behalf_of == other.on_behalf_of && purposes && days()
    }
}

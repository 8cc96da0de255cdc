//! This module parses values that several tables have: ids, dates and known names. A wrong value is reported
//! and gives `None`.

use std::ops::Range;
use std::str::FromStr;
use std::sync::Arc;

use chapar_contract::is_inside_path;
use chapar_model::{GrantId, InvalidId, MemberId, Purpose, SubsystemId};
use jiff::civil::Date;
use toml::Spanned;
use toml::value::Datetime;

use super::{Loader, SourceSpan};
use crate::entry::MethodEntry;
use crate::finding::{Findings, Kind};
use crate::grant::Validity;
use crate::raw::{Text, Valid};
use crate::source::Source;

/// Parses an id by the rule of its type.
pub(super) fn parse<T: FromStr<Err = InvalidId>>(
    source: &Arc<Source>,
    text: &Text,
    findings: &mut Findings,
) -> Option<T> {
    let parsed = text.get_ref().parse::<T>();
    parsed.map_err(|error| findings.at(source, text.span(), Kind::Malformed, error.to_string())).ok()
}

/// Maximum number of candidates that a finding lists for an unknown name.
const MAX_LISTED_NAMES: usize = 12;

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut names: Vec<&str> = names.collect();
    let more = if names.len() > MAX_LISTED_NAMES { ", …" } else { "" };
    names.truncate(MAX_LISTED_NAMES);
    if names.is_empty() {
        "there is none".to_owned()
    } else {
        format!("not one of: {}{more}", names.join(", "))
    }
}

impl Loader<'_> {
    pub(super) fn parse<T: FromStr<Err = InvalidId>>(
        &mut self,
        source: &Arc<Source>,
        text: &Text,
    ) -> Option<T> {
        parse(source, text, &mut self.findings)
    }

    /// An id that no other grant or delegation has.
    pub(super) fn id(&mut self, source: &Arc<Source>, owner: &MemberId, text: &Text) -> Option<GrantId> {
        let id: GrantId = self.parse(source, text)?;
        let place = SourceSpan { source: Arc::clone(source), span: text.span() };
        let Some(first) = self.ids.get(&id) else {
            self.ids.insert(id.clone(), place);
            self.owners.insert(id.clone(), owner.clone());
            return Some(id);
        };
        let first = at(first);
        let finding =
            self.findings.at(source, text.span(), Kind::Duplicate, format!("the id `{id}` is taken"));
        finding.advise(format!("the first is at {first}; grants and delegations share one space of names"));
        None
    }

    /// A registered subsystem.
    pub(super) fn subsystem(&mut self, source: &Arc<Source>, text: &Text) -> Option<SubsystemId> {
        let id: SubsystemId = self.parse(source, text)?;
        // The registered id is returned, so that all grants share its text.
        if let Some((known, _)) = self.subsystems.get_key_value(&id) {
            return Some(known.clone());
        }
        if !self.broken.contains(id.member()) {
            let mut known: Vec<&str> = self.subsystems.keys().map(SubsystemId::as_str).collect();
            known.sort_unstable();
            let message = format!("the subsystem `{id}` is not registered");
            let finding = self.findings.at(source, text.span(), Kind::UnknownSubsystem, message);
            finding.suggest(id.as_str(), known.into_iter());
        }
        None
    }

    /// A registered member.
    pub(super) fn known_member(&mut self, source: &Arc<Source>, text: &Text) -> Option<MemberId> {
        let id: MemberId = self.parse(source, text)?;
        if !self.members.contains(&id) {
            let message = format!("the member `{id}` is not registered");
            let finding = self.findings.at(source, text.span(), Kind::UnknownMember, message);
            finding.suggest(id.as_str(), self.files.iter().map(|file| file.member.as_str()));
            return None;
        }
        Some(id)
    }

    /// A method of a registered service.
    pub(super) fn known_method(&mut self, source: &Arc<Source>, text: &Text) -> Option<Arc<MethodEntry>> {
        let path = text.get_ref().as_str();
        if let Some(entry) = self.methods.get(path) {
            return Some(Arc::clone(entry));
        }
        // While a file has errors its services are missing, and this finding might be false.
        if self.broken.is_empty() {
            let mut known: Vec<&str> = self.methods.keys().map(AsRef::as_ref).collect();
            known.sort_unstable();
            let message = format!("no registered service has the method `{path}`");
            self.findings
                .at(source, text.span(), Kind::UnknownMethod, message)
                .suggest(path, known.into_iter());
        }
        None
    }

    /// A purpose that the method's contract has.
    pub(super) fn purpose(
        &mut self,
        source: &Arc<Source>,
        text: &Text,
        entry: &MethodEntry,
    ) -> Option<Purpose> {
        let purpose: Purpose = self.parse(source, text)?;
        let known = entry.method.purposes();
        // The contract's copy is shared, because 100,000 grants may have it.
        if let Some(known) = known.iter().find(|known| **known == purpose) {
            return Some(known.clone());
        }
        let message = format!("`{purpose}` is no purpose of {}", entry.method.path());
        let finding = self.findings.at(source, text.span(), Kind::UnknownPurpose, message);
        finding.label(list(known.iter().map(Purpose::as_str)));
        finding.suggest(purpose.as_str(), known.iter().map(Purpose::as_str));
        None
    }

    /// A leaf of the method's response. A message is granted by naming its fields: a field that the contract
    /// adds to it later must not be granted by a line that was written before.
    pub(super) fn field(&mut self, source: &Arc<Source>, text: &Text, entry: &MethodEntry) -> Option<String> {
        let path = text.get_ref();
        let known = || entry.method.fields().iter().map(|field| field.path.as_str());
        if known().any(|known| known == path) {
            return Some(path.clone());
        }
        let message = format!("the response of {} has no field `{path}`", entry.method.path());
        let finding = self.findings.at(source, text.span(), Kind::UnknownField, message);
        let inside: Vec<&str> = known().filter(|known| is_inside_path(path.as_str(), known)).collect();
        if inside.is_empty() {
            finding.label(list(known())).suggest(path, known());
        } else {
            finding.advise(format!("name the fields in it: {}", inside.join(", ")));
        }
        None
    }

    /// A day without a time.
    pub(super) fn day(&mut self, source: &Arc<Source>, written: &Spanned<Datetime>) -> Option<Date> {
        // A time of day would be ignored, so a value that has one is refused.
        let day = match written.get_ref() {
            Datetime { date: Some(date), time: None, offset: None } => civil(*date),
            _ => None,
        };
        if day.is_none() {
            self.malformed(source, written.span(), "this must be a day, e.g. 2026-11-01, without a time");
        }
        self.is_of_our_calendar(source, written).then_some(day).flatten()
    }

    /// Whether a date is Gregorian. A date that looks Jalali is a finding, because read as Gregorian it would
    /// lie 621 years back.
    pub(super) fn is_of_our_calendar(&mut self, source: &Arc<Source>, written: &Spanned<Datetime>) -> bool {
        let Some(date) = written.get_ref().date else { return true };
        let gregorian = chapar_contract::gregorian_of_jalali(date.year.into(), date.month, date.day);
        if let Some(gregorian) = &gregorian {
            let text = format!(
                "this looks like a day of the Jalali calendar; a registry has Gregorian days: {gregorian}"
            );
            self.malformed(source, written.span(), text);
        }
        gregorian.is_none()
    }

    pub(super) fn validity(&mut self, source: &Arc<Source>, valid: &Spanned<Valid>) -> Option<Validity> {
        let from = self.day(source, &valid.get_ref().from);
        let until = self.day(source, &valid.get_ref().until);
        let from = from?;
        let until = until?;
        let valid_days = Validity::new(from, until);
        if valid_days.is_none() {
            // `Validity::new` fails for two causes, which need different corrections.
            let message = match from <= until {
                true => "the calendar ends with 9999-12-31: `until` is at most 9999-12-30",
                false => "`until` is before `from`",
            };
            self.malformed(source, valid.span(), message);
        }
        valid_days
    }

    pub(super) fn malformed(&mut self, source: &Arc<Source>, span: Range<usize>, message: impl Into<String>) {
        self.findings.at(source, span, Kind::Malformed, message);
    }
}

fn civil(date: toml::value::Date) -> Option<Date> {
    let year = date.year.try_into().ok()?;
    let month = date.month.try_into().ok()?;
    let day = date.day.try_into().ok()?;
    Date::new(year, month, day).ok()
}

/// `FILE:LINE`, for pointing at another file.
pub(super) fn at(place: &SourceSpan) -> String {
    format!("{}:{}", place.source.name(), place.source.position(&place.span).0)
}

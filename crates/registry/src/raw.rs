//! This module deserialises the TOML tables of a registry's files, with the positions that findings need. It
//! checks only their shape; `load` checks their meaning.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::ops::Range;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};
use toml::value::Datetime;

use crate::finding::{Findings, Kind};
use crate::source::Source;

pub(crate) type Text = Spanned<String>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Bus {
    pub(crate) trust_domain: Text,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Approver {
    pub(crate) id: Text,
    pub(crate) key: Text,
    pub(crate) roles: Spanned<Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Approval {
    pub(crate) of: Spanned<Vec<Text>>,
    pub(crate) needs: Spanned<Vec<Text>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Operator {
    pub(crate) id: Text,
    pub(crate) roles: Spanned<Vec<Text>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Member {
    pub(crate) name: Name,
    pub(crate) issuers: Spanned<Vec<Text>>,
    #[serde(default)]
    pub(crate) attributes: BTreeMap<Text, Text>,
    pub(crate) licence: Option<Spanned<Licence>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Licence {
    pub(crate) number: Text,
    pub(crate) valid: Spanned<Valid>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Group {
    pub(crate) id: Text,
    #[serde(default)]
    pub(crate) members: Vec<Text>,
    #[serde(default, rename = "where")]
    pub(crate) attributes: BTreeMap<Text, Spanned<Vec<String>>>,
    pub(crate) class: Option<Text>,
    pub(crate) subsystem: Option<Text>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Suspension {
    pub(crate) of: Text,
    pub(crate) from: Option<Spanned<Datetime>>,
    pub(crate) until: Option<Spanned<Datetime>>,
    pub(crate) reason: Text,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Name {
    pub(crate) fa: String,
    pub(crate) en: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Subsystem {
    pub(crate) id: Text,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Service {
    pub(crate) contract: Text,
    pub(crate) digest: Text,
    pub(crate) adapters: Spanned<Vec<Text>>,
    #[serde(default)]
    pub(crate) endpoints: Vec<Text>,
    pub(crate) server: Option<Text>,
    #[serde(default)]
    pub(crate) metadata: Metadata,
    #[serde(default)]
    pub(crate) limit: ServiceLimit,
    #[serde(default)]
    pub(crate) hidden: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Metadata {
    #[serde(default)]
    pub(crate) request: Vec<Text>,
    #[serde(default)]
    pub(crate) response: Vec<Text>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServiceLimit {
    pub(crate) concurrent: Option<NonZeroU32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Grant {
    pub(crate) id: Text,
    pub(crate) to: Text,
    pub(crate) method: Text,
    #[serde(default)]
    pub(crate) purposes: Vec<Text>,
    pub(crate) fields: Spanned<Vec<Text>>,
    #[serde(default)]
    pub(crate) rows: BTreeMap<Text, Spanned<Vec<String>>>,
    pub(crate) valid: Spanned<Valid>,
    pub(crate) hours: Option<Spanned<Hours>>,
    #[serde(default)]
    pub(crate) limit: GrantLimit,
    #[serde(default)]
    pub(crate) requires: Vec<Text>,
    pub(crate) case_pattern: Option<Text>,
    pub(crate) basis: Text,
    pub(crate) citizen: Option<Text>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Hours {
    pub(crate) days: Option<Text>,
    pub(crate) from: Text,
    pub(crate) until: Text,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Valid {
    pub(crate) from: Spanned<Datetime>,
    pub(crate) until: Spanned<Datetime>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GrantLimit {
    pub(crate) rate: Option<Text>,
    pub(crate) burst: Option<Spanned<NonZeroU32>>,
    pub(crate) daily: Option<NonZeroU32>,
    pub(crate) concurrent: Option<NonZeroU32>,
    pub(crate) subjects: Option<Spanned<SubjectLimit>>,
    pub(crate) clerk_subjects: Option<Spanned<SubjectLimit>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SubjectLimit {
    pub(crate) hour: Option<NonZeroU32>,
    pub(crate) day: Option<NonZeroU32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Delegation {
    pub(crate) id: Text,
    pub(crate) to: Text,
    pub(crate) methods: Spanned<Vec<Text>>,
    #[serde(default)]
    pub(crate) purposes: Vec<Text>,
    pub(crate) fields: Option<Spanned<Vec<Text>>>,
    pub(crate) valid: Spanned<Valid>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Test {
    #[serde(rename = "as")]
    pub(crate) caller: Text,
    pub(crate) call: Text,
    pub(crate) purpose: Option<Text>,
    pub(crate) case: Option<Text>,
    pub(crate) clerk: Option<Text>,
    pub(crate) on_behalf_of: Option<Text>,
    pub(crate) on: Option<Spanned<Datetime>>,
    #[serde(default)]
    pub(crate) allow: Vec<Text>,
    #[serde(default)]
    pub(crate) deny: Vec<Text>,
    pub(crate) expect: Option<Text>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Procedure {
    pub(crate) name: Name,
    pub(crate) purpose: Text,
    pub(crate) callers: Spanned<Vec<Text>>,
    pub(crate) on_behalf_of: Option<Text>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Input {
    pub(crate) id: Text,
    pub(crate) name: Name,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Part {
    pub(crate) id: Text,
    pub(crate) method: Text,
    #[serde(default)]
    pub(crate) request: BTreeMap<Text, Text>,
    pub(crate) replaces: Option<Name>,
}

/// The tables of one file. A malformed table is left out and reported as a finding.
#[derive(Debug, Default)]
pub(crate) struct Raw {
    pub(crate) bus: Option<Bus>,
    pub(crate) member: Option<Member>,
    pub(crate) subsystems: Vec<Subsystem>,
    pub(crate) services: Vec<Service>,
    pub(crate) grants: Vec<Grant>,
    pub(crate) delegations: Vec<Delegation>,
    pub(crate) groups: Vec<Group>,
    pub(crate) approvers: Vec<Approver>,
    pub(crate) approvals: Vec<Approval>,
    pub(crate) operators: Vec<Operator>,
    pub(crate) suspensions: Vec<Suspension>,
    pub(crate) tests: Vec<Test>,
    pub(crate) procedure: Option<Procedure>,
    pub(crate) inputs: Vec<Input>,
    pub(crate) parts: Vec<Part>,
}

/// The tables of a member's file.
pub(crate) const OF_A_MEMBER: &[&str] =
    &["member", "subsystem", "service", "group", "grant", "delegation", "suspension", "test"];
/// The tables of `bus.toml`.
pub(crate) const OF_THE_BUS: &[&str] = &["bus", "group", "operator", "approver", "approval"];
/// The tables of `suspensions.toml`.
pub(crate) const OF_SUSPENSIONS: &[&str] = &["suspension"];
/// The tables of a file in `procedures`.
pub(crate) const OF_A_PROCEDURE: &[&str] = &["procedure", "input", "part"];

/// Reads one file that may have the tables `known`.
pub(crate) fn parse(source: &Arc<Source>, known: &[&str], findings: &mut Findings) -> Raw {
    let mut reader = Reader { source, findings };
    let mut raw = Raw::default();
    let (document, errors) = DeTable::parse_recoverable(source.text());
    for error in &errors {
        // A finding is one line, and the parser writes several.
        let message = error.message().replace('\n', "; ");
        reader.findings.at(source, error.span().unwrap_or_default(), Kind::Syntax, message);
    }
    // Tables that the parser recovered from a broken file would give findings that only follow from the
    // syntax error.
    if !errors.is_empty() {
        return raw;
    }
    for (key, value) in document.into_inner() {
        let name: &str = key.get_ref();
        if !known.contains(&name) {
            let message = format!("`{name}` is no table of this file");
            let finding = reader.findings.at(source, key.span(), Kind::UnknownKey, message);
            finding.label(format!("not one of: {}", known.join(", "))).suggest(name, known.iter().copied());
            continue;
        }
        match name {
            "bus" => raw.bus = reader.one(value),
            "member" => raw.member = reader.one(value),
            "subsystem" => raw.subsystems = reader.many(name, value),
            "service" => raw.services = reader.many(name, value),
            "grant" => raw.grants = reader.many(name, value),
            "approver" => raw.approvers = reader.many(name, value),
            "approval" => raw.approvals = reader.many(name, value),
            "operator" => raw.operators = reader.many(name, value),
            "group" => raw.groups = reader.many(name, value),
            "suspension" => raw.suspensions = reader.many(name, value),
            "delegation" => raw.delegations = reader.many(name, value),
            "test" => raw.tests = reader.many(name, value),
            "procedure" => raw.procedure = reader.one(value),
            "input" => raw.inputs = reader.many(name, value),
            "part" => raw.parts = reader.many(name, value),
            // Not reached: `known` holds only the names above.
            _ => {}
        }
    }
    raw
}

struct Reader<'a> {
    source: &'a Arc<Source>,
    findings: &'a mut Findings,
}

impl Reader<'_> {
    fn one<T: DeserializeOwned>(&mut self, value: Spanned<DeValue<'_>>) -> Option<T> {
        let span = value.span();
        T::deserialize(ValueDeserializer::from(value)).map_err(|error| self.malformed(&error, span)).ok()
    }

    fn many<T: DeserializeOwned>(&mut self, name: &str, value: Spanned<DeValue<'_>>) -> Vec<T> {
        let span = value.span();
        match value.into_inner() {
            // A malformed item is left out and the others are read, so that one load reports all errors.
            DeValue::Array(items) => items.into_iter().filter_map(|item| self.one(item)).collect(),
            _ => {
                self.findings.at(
                    self.source,
                    span,
                    Kind::Malformed,
                    format!("write `[[{name}]]`: there may be several"),
                );
                Vec::new()
            }
        }
    }

    fn malformed(&mut self, error: &toml::de::Error, table: Range<usize>) {
        let message = error.message().trim_end().replace('\n', "; ");
        let unknown = message.starts_with("unknown field");
        let kind = if unknown { Kind::UnknownKey } else { Kind::Malformed };
        // serde's text: unknown field `purpose`, expected one of `id`, `to`, `purposes`
        let words: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
        let finding = self.findings.at(self.source, error.span().unwrap_or(table), kind, message.clone());
        if let (true, [word, candidates @ ..]) = (unknown, words.as_slice()) {
            finding.suggest(word, candidates.iter().copied());
        }
    }
}

//! `effects` compares who may see what before and after a change, by the same terms as decisions.

use std::collections::{BTreeMap, BTreeSet};

use chapar_contract::Class;
use chapar_model::{MemberId, MethodPath, SubsystemId};
use jiff::Timestamp;

use super::{Effect, Seen};
use crate::registry::Registry;

/// What one caller may see by one method, for itself or on a member's behalf.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Access {
    seen: BTreeSet<Seen>,
    rows: BTreeSet<String>,
}

type Of = (MethodPath, Option<MemberId>);

/// What callers gain and lose alike.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Difference {
    of: Of,
    gained: Vec<Seen>,
    lost: Vec<Seen>,
    rows: bool,
    access: (bool, bool),
}

pub(super) fn effects(before: &Registry, after: &Registry, now: Timestamp) -> Vec<Effect> {
    // Callers of both registries, since a change may remove or add a caller altogether.
    let callers: BTreeSet<&SubsystemId> =
        before.policy.terms.keys().chain(after.policy.terms.keys()).collect();
    let mut found: BTreeMap<Difference, Vec<String>> = BTreeMap::new();
    for caller in callers {
        let was = accesses(before, caller, now);
        let is = accesses(after, caller, now);
        let ways: BTreeSet<&Of> = was.keys().chain(is.keys()).collect();
        for of in ways {
            // A missing entry means no access on that side of the change.
            let was = was.get(of).cloned().unwrap_or_default();
            let is = is.get(of).cloned().unwrap_or_default();
            if was == is {
                continue;
            }
            let access = (!was.rows.is_empty(), !is.rows.is_empty());
            let difference = Difference {
                of: of.clone(),
                gained: is.seen.difference(&was.seen).cloned().collect(),
                lost: was.seen.difference(&is.seen).cloned().collect(),
                // A change of rows is told apart only where there is access before and after. Otherwise gain
                // or loss says it.
                rows: was.rows != is.rows && access == (true, true),
                access,
            };
            // Callers with the same difference are told in one effect, so that a plan for a thousand offices
            // stays readable.
            found.entry(difference).or_default().push(caller.to_string());
        }
    }
    let effect = |(difference, callers): (Difference, Vec<String>)| {
        let Difference { of: (method, on_behalf_of), gained, lost, rows, access } = difference;
        Effect { callers, method, on_behalf_of, gained, lost, rows, access }
    };
    found.into_iter().map(effect).collect()
}

/// What a caller may see by every term that is neither over nor suspended. Each entry has at least one kind
/// of rows, so an empty set means no access.
fn accesses(registry: &Registry, caller: &SubsystemId, now: Timestamp) -> BTreeMap<Of, Access> {
    let mut found: BTreeMap<Of, Access> = BTreeMap::new();
    // A suspended subsystem sees nothing, whatever its grants say.
    if registry.policy.suspensions.subsystem(caller, now) {
        return found;
    }
    for (path, terms) in registry.policy.terms.get(caller).into_iter().flatten() {
        let Some(entry) = registry.method(path.as_str()) else { continue };
        // Disclosed paths come from the contract, so the default class is never used.
        let class = |path: &str| {
            entry
                .method
                .fields()
                .iter()
                .find(|field| field.path == path)
                .map_or(Class::Public, |field| field.class)
        };
        // A term that begins later counts as well, because a plan shows what will be allowed.
        for term in
            terms.iter().filter(|term| term.has_not_expired(now) && !registry.policy.is_suspended(term, now))
        {
            let access = found.entry((path.clone(), term.on_behalf_of.clone())).or_default();
            access.rows.insert(term.permit.rows_header.to_string());
            let purposes: Vec<&str> = match term.purposes.as_slice() {
                // A method without purposes is one way to call it, and needs a key as well.
                [] => vec![""],
                purposes => purposes.iter().map(|purpose| purpose.as_str()).collect(),
            };
            for field in term.permit.disclosed.iter() {
                let seen = |purpose: &&str| Seen {
                    purpose: (*purpose).to_owned(),
                    field: field.clone(),
                    class: class(field),
                };
                access.seen.extend(purposes.iter().map(seen));
            }
        }
    }
    found
}

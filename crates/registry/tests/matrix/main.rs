//! This test is an exhaustive matrix: every caller × method × purpose × member on whose behalf × moment ×
//! case and clerk × field, over several registries with groups, delegations, hours, licences, suspensions and
//! a hidden service. Each cell of `decide` is compared with a short reference (`model`) that is written from
//! the reference page and shares no code with it.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod model;
mod world;

use chapar_contract::Contract;
use chapar_model::{CaseNumber, ClerkId, MemberId, Purpose, SubsystemId};
use chapar_registry::{Question, Registry};
use jiff::Timestamp;
use model::{Ask, FIELDS, METHODS, answer};
use world::World;

/// Registries that are made; each takes about a second in a debug build.
const WORLDS: u64 = 12;

fn contract(dir: &std::path::Path) -> Contract {
    let folder = dir.join("desk");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("desk.proto"), world::PROTO).unwrap();
    Contract::load(&folder).unwrap()
}

fn load(world: &World) -> Registry {
    let dir = tempfile::tempdir().unwrap();
    let contract = contract(dir.path());
    let root = dir.path().join("registry");
    for (path, text) in world.files(contract.digest()) {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    Registry::load(&root, &[contract]).unwrap_or_else(|errors| panic!("{errors}"))
}

/// How many cells one world has; asserts that each is as the model says.
fn compare(
    world: &World,
    registry: &Registry,
    reasons: &mut std::collections::BTreeMap<&'static str, u64>,
) -> u64 {
    let moments: Vec<Timestamp> = world::moments();
    let purposes: Vec<Option<Purpose>> = [None, Some("a.read"), Some("a.write"), Some("b"), Some("other")]
        .map(|p| p.map(|p| p.parse().unwrap()))
        .into();
    let members: Vec<Option<MemberId>> = [None, Some("com/bank"), Some("gov/tax"), Some("office/a")]
        .map(|m| m.map(|m| m.parse().unwrap()))
        .into();
    let cases: [(Option<CaseNumber>, Option<ClerkId>); 4] = [
        (None, None),
        (Some("1405/7".parse().unwrap()), None),
        (Some("x".parse().unwrap()), Some("k".parse().unwrap())),
        (Some("1405/7".parse().unwrap()), Some("k".parse().unwrap())),
    ];
    let mut cells = 0;
    for caller in world::CALLERS {
        let id: SubsystemId = caller.parse().unwrap();
        for name in METHODS {
            let method = registry.method(name).unwrap();
            for purpose in &purposes {
                for member in &members {
                    for now in &moments {
                        for (case, clerk) in &cases {
                            let question = Question {
                                caller: &id,
                                method,
                                purpose: purpose.as_ref(),
                                case: case.as_ref(),
                                clerk: clerk.as_ref(),
                                on_behalf_of: member.as_ref(),
                                now: *now,
                            };
                            let ask = Ask {
                                caller,
                                method: name,
                                purpose: purpose.as_ref().map(Purpose::as_str),
                                case: case.as_ref().map(CaseNumber::as_str),
                                clerk: clerk.is_some(),
                                on_behalf_of: member.as_ref().map(MemberId::as_str),
                                now: *now,
                            };
                            let expected = answer(world, &ask);
                            let decided = registry.decide(&question);
                            let outcome =
                                decided.as_ref().map_or_else(|refused| refused.reason.as_str(), |_| "OK");
                            *reasons.entry(outcome).or_default() += 1;
                            explains(registry, &question, outcome);
                            for field in FIELDS {
                                let discloses = decided
                                    .as_ref()
                                    .is_ok_and(|permit| permit.disclosed.iter().any(|f| f == field));
                                let model = expected.as_ref().is_ok_and(|fields| fields.contains(&field));
                                assert_eq!(
                                    (outcome, discloses),
                                    (expected.as_ref().err().copied().unwrap_or("OK"), model),
                                    "{ask:?} {field}\n{world:#?}"
                                );
                                cells += 1;
                            }
                        }
                    }
                }
            }
        }
    }
    cells
}

/// The checks that are told are those of the decision: the last one of an allowed call passes, and one of a
/// refused call refuses with the reason of the decision.
fn explains(registry: &Registry, question: &Question<'_>, outcome: &str) {
    let checks = registry.explain(question).checks;
    let told = |reason: &str| {
        checks.iter().any(|check| check.refused.as_ref().is_some_and(|r| r.reason.as_str() == reason))
    };
    let last = checks.last().unwrap();
    match outcome {
        "OK" => assert!(last.refused.is_none() && last.alone, "{question:?} {checks:?}"),
        reason => assert!(last.refused.is_some() && told(reason), "{question:?} {reason} {checks:?}"),
    }
}

#[test]
fn every_cell_of_the_matrix_is_as_the_reference_says() {
    let worlds: Vec<u64> = (0..WORLDS).collect();
    let mut cells = 0;
    let mut reasons = std::collections::BTreeMap::new();
    for seed in worlds {
        let world = World::new(seed);
        cells += compare(&world, &load(&world), &mut reasons);
    }
    assert!(cells >= 1_000_000, "{cells} cells");
    for reason in [
        "OK",
        "METHOD_UNKNOWN",
        "SUSPENDED",
        "PURPOSE_REQUIRED",
        "PURPOSE_UNKNOWN",
        "NOT_GRANTED",
        "DELEGATION_NOT_GRANTED",
        "GRANT_EXPIRED",
        "PURPOSE_NOT_GRANTED",
        "OUT_OF_HOURS",
        "CASE_REQUIRED",
        "CASE_INVALID",
        "CLERK_REQUIRED",
    ] {
        assert!(
            reasons.get(reason).is_some_and(|n| *n > 100),
            "{reason} is hardly in the matrix: {reasons:?}"
        );
    }
}

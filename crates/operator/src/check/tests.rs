//! Tests that each check tells good, warning and failure apart by what gateways answer. A gateway is a value
//! here; `tests/spec/check.rs` asks real ones.

use std::time::Duration;

use chapar_client::{
    CallError, Certificate, EvidenceLog, GrantStatus, LimitStatus, RegistryEnding, RevocationList,
    ServiceStatus, SharedLimits, Status, Witness, Witnesses,
};
use jiff::Timestamp;

use super::*;

const NOW_MS: i64 = 1_795_870_800_000;
const DAY_S: i64 = 86_400;

/// A gateway of which everything holds.
fn good() -> Status {
    let now_s = NOW_MS / 1000;
    Status {
        version: "0.1.0".into(),
        started_ms: NOW_MS - 3_600_000,
        now_ms: NOW_MS,
        is_ready: true,
        registry_digest: "sha256:aaaaaaaaaaaaaaaa".into(),
        certificate: Some(Certificate {
            identity: "spiffe://bus.example/bus/main/gateway".into(),
            not_after_s: now_s + 60 * DAY_S,
            is_usable: true,
            remarks: Vec::new(),
        }),
        revocation_lists: vec![RevocationList {
            sentence: "the list of CA".into(),
            is_sound: true,
            next_update_s: now_s + 7 * DAY_S,
        }],
        evidence: Some(EvidenceLog {
            origin: "log".into(),
            size: 10,
            checkpoint_size: 10,
            checkpoint_ms: NOW_MS - 500,
            unsigned_since_ms: 0,
            free_bytes: Some(100 << 30),
            low_water_bytes: 64 << 20,
            witnesses: Some(Witnesses {
                quorum: 1,
                cosigned_size: 10,
                witnesses: vec![Witness { name: "w".into(), cosigned_size: 10, ..Default::default() }],
                ..Default::default()
            }),
        }),
        services: vec![ServiceStatus {
            name: "a.v1.A".into(),
            provider: "gov/a".into(),
            up: 1,
            ..Default::default()
        }],
        grants: vec![GrantStatus {
            id: "g".into(),
            to: "gov/b/c".into(),
            limits: vec![
                LimitStatus {
                    kind: "daily".into(),
                    limit: "100 calls a day".into(),
                    most: 100,
                    used: 90,
                    left: 10,
                },
                LimitStatus { kind: "rate".into(), limit: "20/s".into(), most: 40, used: 40, left: 0 },
            ],
            ..Default::default()
        }],
        shared_limits: Some(SharedLimits { is_up: true, gateways: 2 }),
        ..Default::default()
    }
}

fn answer(gateway: &str, status: Status) -> Answer<Seen> {
    let at = Timestamp::from_millisecond(NOW_MS).unwrap();
    Answer { gateway: gateway.to_owned(), answer: Ok(Seen { status, at, took: Duration::from_millis(20) }) }
}

/// The checks of these gateways, but for the operator's own certificate, which is a file.
fn judged(answers: &[Answer<Seen>]) -> Vec<Check> {
    let mut checks = Checks::default();
    of_gateways(&mut checks, answers);
    checks.0
}

/// What does not hold of a gateway that differs from a good one.
fn found(edit: impl FnOnce(&mut Status)) -> Vec<(CheckId, Mark)> {
    let mut status = good();
    edit(&mut status);
    let checks = judged(&[answer("one", status)]);
    let found: Vec<_> = checks.into_iter().filter(|check| check.mark != Mark::Good).collect();
    assert!(found.iter().all(|check| check.fix.is_some()), "each says what to do: {found:?}");
    found.into_iter().map(|check| (check.id, check.mark)).collect()
}

fn log(status: &mut Status) -> &mut EvidenceLog {
    status.evidence.as_mut().unwrap()
}

fn witnesses(status: &mut Status) -> &mut Witnesses {
    log(status).witnesses.as_mut().unwrap()
}

fn certificate(status: &mut Status) -> &mut Certificate {
    status.certificate.as_mut().unwrap()
}

#[test]
fn of_a_good_gateway_every_check_holds_and_each_is_made() {
    let checks = judged(&[answer("one", good())]);
    assert_eq!(worst(&checks), Mark::Good, "{checks:?}");
    for id in CheckId::ALL.iter().filter(|id| **id != CheckId::OperatorCertificate) {
        assert!(checks.iter().any(|check| check.id == *id), "{id:?}");
    }
    assert!(checks.iter().all(|check| check.fix.is_none()));
}

#[test]
fn what_does_not_hold_is_told_by_its_own_check() {
    use CheckId::*;
    use Mark::{Failed, Warning};
    let now_s = NOW_MS / 1000;
    type Edit = Box<dyn FnOnce(&mut Status)>;
    let cases: Vec<(Vec<(CheckId, Mark)>, Edit)> = vec![
        (vec![(GatewayReady, Failed)], Box::new(|s| (s.is_ready, s.not_ready) = (false, "stopping".into()))),
        (vec![(GatewayClock, Warning)], Box::new(|s| s.now_ms += 2_500)),
        (vec![(GatewayClock, Failed)], Box::new(|s| s.now_ms -= 70_000)),
        (vec![(GatewayCertificate, Failed)], Box::new(|s| certificate(s).is_usable = false)),
        (vec![(GatewayCertificate, Failed)], Box::new(move |s| certificate(s).not_after_s = now_s)),
        (vec![(GatewayCertificate, Failed)], Box::new(|s| s.certificate = Some(Certificate::default()))),
        (
            vec![(GatewayCertificate, Warning)],
            Box::new(move |s| certificate(s).not_after_s = now_s + 13 * DAY_S),
        ),
        (vec![(GatewayCertificate, Warning)], Box::new(|s| certificate(s).remarks.push("odd".into()))),
        (vec![(RevocationList, Failed)], Box::new(|s| s.revocation_lists[0].is_sound = false)),
        (
            vec![(RevocationList, Warning)],
            Box::new(move |s| s.revocation_lists[0].next_update_s = now_s + 3600),
        ),
        (vec![(ServiceUp, Failed)], Box::new(|s| s.services[0].up = 0)),
        (vec![(ServiceBreaker, Warning)], Box::new(|s| s.services[0].ejected = 1)),
        (vec![(EvidenceDisk, Warning)], Box::new(|s| log(s).free_bytes = Some(600 << 20))),
        (vec![(EvidenceDisk, Failed)], Box::new(|s| log(s).free_bytes = Some(63 << 20))),
        (vec![(EvidenceDisk, Warning)], Box::new(|s| log(s).free_bytes = None)),
        (vec![(EvidenceWitnesses, Warning)], Box::new(|s| witnesses(s).witnesses[0].problem = "late".into())),
        (vec![], Box::new(|s| witnesses(s).uncosigned_since_ms = NOW_MS - 10_000)),
        (
            vec![(EvidenceWitnesses, Failed)],
            Box::new(|s| witnesses(s).uncosigned_since_ms = NOW_MS - 100_000),
        ),
        (
            vec![(LimitsShared, Warning)],
            Box::new(|s| s.shared_limits = Some(SharedLimits { is_up: false, gateways: 2 })),
        ),
        (vec![(LimitsLeft, Warning)], Box::new(|s| s.grants[0].limits[0].left = 9)),
    ];
    for (place, (wanted, edit)) in cases.into_iter().enumerate() {
        assert_eq!(found(edit), wanted, "case {place}");
    }
}

#[test]
fn entries_that_wait_for_a_checkpoint_are_found_by_how_long_the_first_has_waited() {
    let waiting = |for_ms: i64| {
        found(move |status| {
            log(status).size = 11;
            log(status).unsigned_since_ms = NOW_MS - for_ms;
            // The last checkpoint is old after every quiet hour, and says nothing.
            log(status).checkpoint_ms = NOW_MS - 86_400_000;
        })
    };
    assert_eq!(waiting(500), []);
    assert_eq!(waiting(90_000), [(CheckId::EvidenceCheckpoint, Mark::Warning)]);
    assert_eq!(waiting(3 * 3_600_000), [(CheckId::EvidenceCheckpoint, Mark::Failed)]);
    assert_eq!(found(|status| log(status).checkpoint_ms = 0), [], "none was needed since the start");
}

#[test]
fn what_ends_within_two_weeks_or_ended_within_one_is_told() {
    let ending = |days_left: i32| {
        let ending = RegistryEnding {
            what: "grant g".into(),
            whom: "gov/b".into(),
            until: "2026-12-01".into(),
            days_left,
        };
        found(move |status| status.endings.push(ending))
    };
    for days in [-8, 15, 60] {
        assert_eq!(ending(days), [], "{days}");
    }
    for days in [-7, -1, 0, 1, 14] {
        assert_eq!(ending(days), [(CheckId::RegistryEndings, Mark::Warning)], "{days}");
    }
}

#[test]
fn gateways_that_differ_or_do_not_answer_are_told() {
    let other = Status { registry_digest: "sha256:bbbb".into(), version: "0.2.0".into(), ..good() };
    let silent = CallError::Unreachable { gateway: "three".into(), problem: "refused".into() };
    let answers = [
        answer("one", good()),
        answer("two", other),
        Answer { gateway: "three".into(), answer: Err(silent) },
    ];
    assert!(policy::differ(&answers) && !policy::differ(&answers[..1]));
    let checks = judged(&answers);
    let mark = |id| checks.iter().filter(|check| check.id == id).map(|check| check.mark).max();
    assert_eq!(mark(CheckId::GatewayReachable), Some(Mark::Failed));
    assert_eq!(mark(CheckId::GatewayVersion), Some(Mark::Warning));
    assert_eq!(mark(CheckId::RegistryInForce), Some(Mark::Failed));
    let document = document(&checks);
    assert_eq!(document["status"], "failed");
    let first = &document["checks"][0];
    assert_eq!(first["doc"], "docs/reference/checks.md#gateway-reachable");
    assert!(first["fix"].is_null() && first["of"] == "one" && first["group"] == "gateways");
}

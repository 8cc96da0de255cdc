//! `document` is the state of a bus as one JSON document, the same numbers that the console shows.

use chapar_client::{
    Certificate, EvidenceLog, GrantStatus, LimitStatus, RegistryEnding, RevocationList, ServiceStatus,
    SharedLimits, Status, Witness, Witnesses,
};
use serde_json::{Value, json};

use crate::bus::{Answer, Seen};
use crate::moment::utc_ms;

/// The state of all gateways: `{"gateways": [{"gateway", "answered", …}]}`. Numbers that may pass 2^53 are
/// texts, as in protobuf's JSON.
pub fn document(answers: &[Answer<Seen>]) -> Value {
    let gateways: Vec<Value> = answers
        .iter()
        .map(|Answer { gateway, answer }| match answer {
            Ok(seen) => of_gateway(gateway, &seen.status),
            Err(error) => json!({ "gateway": gateway, "answered": false, "error": error.to_string() }),
        })
        .collect();
    json!({ "gateways": gateways })
}

fn of_gateway(gateway: &str, status: &Status) -> Value {
    json!({
        "gateway": gateway,
        "answered": true,
        "version": status.version,
        "started": utc_ms(status.started_ms),
        "now": utc_ms(status.now_ms),
        "ready": status.is_ready,
        "not_ready": status.not_ready,
        "registry": { "digest": status.registry_digest, "tests": status.registry_tests },
        "certificate": status.certificate.as_ref().map(certificate),
        "revocation_lists": status.revocation_lists.iter().map(list).collect::<Vec<_>>(),
        "evidence": status.evidence.as_ref().map(evidence),
        "services": status.services.iter().map(service).collect::<Vec<_>>(),
        "grants": status.grants.iter().map(grant).collect::<Vec<_>>(),
        "calls": status.calls.iter().map(|call| {
            json!({ "method": call.method, "outcome": call.outcome, "count": call.count.to_string() })
        }).collect::<Vec<_>>(),
        "calls_in_flight": status.calls_in_flight,
        "caller_connections": status.caller_connections,
        "adapter_connections": status.adapter_connections,
        "handshakes_failed": status.handshakes_failed.to_string(),
        "shared_limits": status.shared_limits.as_ref().map(shared),
        "endings": status.endings.iter().map(ending).collect::<Vec<_>>(),
    })
}

fn certificate(certificate: &Certificate) -> Value {
    json!({
        "identity": certificate.identity,
        "ends": utc_ms(certificate.not_after_s.saturating_mul(1000)),
        "usable": certificate.is_usable,
        "remarks": certificate.remarks,
    })
}

fn list(list: &RevocationList) -> Value {
    let next_update = (list.next_update_s != 0).then(|| utc_ms(list.next_update_s.saturating_mul(1000)));
    json!({ "state": list.sentence, "sound": list.is_sound, "next_update": next_update })
}

fn evidence(log: &EvidenceLog) -> Value {
    json!({
        "origin": log.origin,
        "size": log.size.to_string(),
        "checkpoint_size": log.checkpoint_size.to_string(),
        "unsigned_since": (log.unsigned_since_ms != 0).then(|| utc_ms(log.unsigned_since_ms)),
        "checkpoint": (log.checkpoint_ms != 0).then(|| utc_ms(log.checkpoint_ms)),
        "free_bytes": log.free_bytes.map(|free| free.to_string()),
        "low_water_bytes": log.low_water_bytes.to_string(),
        "witnesses": log.witnesses.as_ref().map(witnesses),
    })
}

fn witnesses(witnesses: &Witnesses) -> Value {
    let one = |witness: &Witness| {
        json!({
            "name": witness.name,
            "url": witness.url,
            "cosigned_size": witness.cosigned_size.to_string(),
            "cosigned": (witness.cosigned_ms != 0).then(|| utc_ms(witness.cosigned_ms)),
            "problem": (!witness.problem.is_empty()).then_some(&witness.problem),
        })
    };
    let since = witnesses.uncosigned_since_ms;
    json!({
        "quorum": witnesses.quorum,
        "grace_s": (witnesses.grace_s != 0).then_some(witnesses.grace_s),
        "cosigned_size": witnesses.cosigned_size.to_string(),
        "uncosigned_since": (since != 0).then(|| utc_ms(since)),
        "witnesses": witnesses.witnesses.iter().map(one).collect::<Vec<_>>(),
    })
}

fn service(service: &ServiceStatus) -> Value {
    json!({
        "name": service.name,
        "provider": service.provider,
        "provider_name": { "fa": service.provider_name_fa, "en": service.provider_name_en },
        "up": service.up,
        "ejected": service.ejected,
        "waiting": service.waiting,
    })
}

fn grant(grant: &GrantStatus) -> Value {
    let limit = |limit: &LimitStatus| {
        json!({
            "kind": limit.kind,
            "limit": limit.limit,
            "most": limit.most.to_string(),
            "used": limit.used.to_string(),
            "left": limit.left.to_string(),
        })
    };
    json!({
        "id": grant.id,
        "to": grant.to,
        "method": grant.method,
        "admitted": grant.admitted.to_string(),
        "refused": grant.refused.to_string(),
        "limits": grant.limits.iter().map(limit).collect::<Vec<_>>(),
    })
}

fn shared(shared: &SharedLimits) -> Value {
    json!({ "up": shared.is_up, "gateways": shared.gateways })
}

fn ending(ending: &RegistryEnding) -> Value {
    json!({ "what": ending.what, "whom": ending.whom, "until": ending.until, "days_left": ending.days_left })
}

//! The ids of all checks with their groups.

/// One kind of check. The order is that of the output.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[allow(missing_docs, reason = "each has a section in docs/reference/checks.md")]
pub enum CheckId {
    GatewayReachable,
    GatewayReady,
    GatewayVersion,
    GatewayClock,
    OperatorCertificate,
    GatewayCertificate,
    RevocationList,
    RegistryInForce,
    RegistryEndings,
    ServiceUp,
    ServiceBreaker,
    EvidenceCheckpoint,
    EvidenceDisk,
    EvidenceWitnesses,
    LimitsShared,
    LimitsLeft,
}

impl CheckId {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::GatewayReachable,
        Self::GatewayReady,
        Self::GatewayVersion,
        Self::GatewayClock,
        Self::OperatorCertificate,
        Self::GatewayCertificate,
        Self::RevocationList,
        Self::RegistryInForce,
        Self::RegistryEndings,
        Self::ServiceUp,
        Self::ServiceBreaker,
        Self::EvidenceCheckpoint,
        Self::EvidenceDisk,
        Self::EvidenceWitnesses,
        Self::LimitsShared,
        Self::LimitsLeft,
    ];

    /// Its word, e.g. `gateway-ready`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::GatewayReachable => "gateway-reachable",
            Self::GatewayReady => "gateway-ready",
            Self::GatewayVersion => "gateway-version",
            Self::GatewayClock => "gateway-clock",
            Self::OperatorCertificate => "operator-certificate",
            Self::GatewayCertificate => "gateway-certificate",
            Self::RevocationList => "revocation-list",
            Self::RegistryInForce => "registry-in-force",
            Self::RegistryEndings => "registry-endings",
            Self::ServiceUp => "service-up",
            Self::ServiceBreaker => "service-breaker",
            Self::EvidenceCheckpoint => "evidence-checkpoint",
            Self::EvidenceDisk => "evidence-disk",
            Self::EvidenceWitnesses => "evidence-witnesses",
            Self::LimitsShared => "limits-shared",
            Self::LimitsLeft => "limits-left",
        }
    }

    /// Its group, e.g. `identity`.
    pub fn group(self) -> &'static str {
        match self {
            Self::GatewayReachable | Self::GatewayReady | Self::GatewayVersion | Self::GatewayClock => {
                "gateways"
            }
            Self::OperatorCertificate | Self::GatewayCertificate | Self::RevocationList => "identity",
            Self::RegistryInForce | Self::RegistryEndings => "policy",
            Self::ServiceUp | Self::ServiceBreaker => "services",
            Self::EvidenceCheckpoint | Self::EvidenceDisk | Self::EvidenceWitnesses => "evidence",
            Self::LimitsShared | Self::LimitsLeft => "limits",
        }
    }
}

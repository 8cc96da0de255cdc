//! `chapar.meta.v1.Meta` tells a caller its identity, the methods that it may call or could ask for, the
//! usage of its limits, and the receipts of calls to which it is a party.

use std::collections::BTreeMap;
use std::sync::Arc;

use chapar_contract::Method;
use chapar_evidence::Log;
use chapar_limit::{GrantLimiter, LimitUsage, QuotaKeeper, Usage};
use chapar_model::{Clock, GrantId};
use chapar_registry::{Registry, Subsystem};
use tonic::{Request, Response, Status};

use super::caller::caller;
use super::reflection::visible_descriptors;
use crate::observed;

/// Generated from `proto/chapar/meta/v1/meta.proto`.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::allow_attributes_without_reason,
    reason = "generated"
)]
pub(crate) mod pb {
    tonic::include_proto!("chapar.meta.v1");
}

/// The descriptors of the service, for reflection.
pub(crate) const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/meta.binpb"));

/// Answers from the registry and the evidence log.
pub(crate) struct Meta {
    pub(crate) registry: Arc<Registry>,
    pub(crate) limiter: Arc<GrantLimiter>,
    pub(crate) quotas: Arc<QuotaKeeper>,
    pub(crate) log: Log,
    pub(crate) clock: Clock,
}

#[tonic::async_trait]
impl pb::meta_server::Meta for Meta {
    async fn who_am_i(
        &self,
        request: Request<pb::WhoAmIRequest>,
    ) -> Result<Response<pb::WhoAmIResponse>, Status> {
        let caller = caller(&request)?;
        Ok(Response::new(pb::WhoAmIResponse {
            identity: chapar_model::Identity::new(self.registry.trust_domain().clone(), caller.id.clone())
                .to_string(),
            member: caller.id.member().to_string(),
            trust_domain: self.registry.trust_domain().to_string(),
        }))
    }

    async fn allowed_methods(
        &self,
        request: Request<pb::AllowedMethodsRequest>,
    ) -> Result<Response<pb::AllowedMethodsResponse>, Status> {
        let caller = caller(&request)?;
        // Only rights that hold now: a grant that has ended is not one that may be called.
        let rights = self.registry.rights(&caller.id, self.clock.now());
        let methods = rights.map(|right| pb::AllowedMethod {
            method: right.method.to_string(),
            purposes: right.purposes.iter().map(ToString::to_string).collect(),
            fields: right.permit.disclosed.to_vec(),
            withheld: right.permit.withheld.to_vec(),
            grant: right.permit.grant.id.to_string(),
            on_behalf_of: right.on_behalf_of.map(ToString::to_string).unwrap_or_default(),
            requires: right.permit.grant.requires.names(),
            contract_digest: right.contract_digest.to_owned(),
        });
        Ok(Response::new(pb::AllowedMethodsResponse { methods: methods.collect() }))
    }

    async fn list_services(
        &self,
        request: Request<pb::ListServicesRequest>,
    ) -> Result<Response<pb::ListServicesResponse>, Status> {
        let caller = caller(&request)?;
        let services = self.registry.services_for(&caller.id).map(|service| pb::KnownService {
            name: service.name.clone(),
            provider: service.provider.to_string(),
            contract_digest: service.contract.digest().to_owned(),
            methods: service.methods().iter().map(|method| known(method)).collect(),
        });
        Ok(Response::new(pb::ListServicesResponse { services: services.collect() }))
    }

    async fn get_contract(
        &self,
        request: Request<pb::GetContractRequest>,
    ) -> Result<Response<pb::GetContractResponse>, Status> {
        let caller = caller(&request)?;
        let wanted = &request.get_ref().service;
        let service = self.registry.services_for(&caller.id).find(|service| service.name == *wanted);
        let contract = &service.ok_or_else(|| Status::not_found("no such service"))?.contract;
        // A contract may have services beside the one that was asked for, and some may be hidden from this
        // caller.
        let visible: Vec<&str> =
            self.registry.services_for(&caller.id).map(|service| service.name.as_str()).collect();
        let descriptors =
            visible_descriptors(contract.descriptor_bytes(), |service| visible.contains(&service));
        let descriptors =
            descriptors.ok_or_else(|| Status::internal("the contract's descriptors cannot be read"))?;
        Ok(Response::new(pb::GetContractResponse { digest: contract.digest().to_owned(), descriptors }))
    }

    async fn my_limits(
        &self,
        request: Request<pb::MyLimitsRequest>,
    ) -> Result<Response<pb::MyLimitsResponse>, Status> {
        let caller = caller(&request)?;
        let mut grants = BTreeMap::new();
        for right in self.registry.rights(&caller.id, self.clock.now()) {
            let grant = &right.permit.grant.id;
            let behalf = right.on_behalf_of.map(ToString::to_string).unwrap_or_default();
            // A grant is reached by several methods and purposes, and its limits are shared by them, so it is
            // listed once.
            grants.entry((grant, behalf.clone())).or_insert_with(|| self.grant_usage(grant, behalf));
        }
        Ok(Response::new(pb::MyLimitsResponse { grants: grants.into_values().flatten().collect() }))
    }

    async fn get_receipt(
        &self,
        request: Request<pb::GetReceiptRequest>,
    ) -> Result<Response<pb::GetReceiptResponse>, Status> {
        let caller = caller(&request)?;
        // One answer for both cases, because a caller must not learn which entries exist.
        let unknown = || Status::not_found("no such entry, or not yours");
        let entry = &request.get_ref().entry;
        let index = entry.strip_prefix(self.log.origin()).and_then(|rest| rest.strip_prefix('/'));
        let index: u64 = index.and_then(|index| index.parse().ok()).ok_or_else(unknown)?;
        let record = self.log.record(index).await.map_err(|_| unknown())?;
        // The record is read before the receipt: only the record tells who may see the receipt.
        if !self.is_party(&caller, &record) {
            return Err(unknown());
        }
        let receipt = self
            .log
            .receipt(index)
            .await
            .map_err(|_| Status::unavailable("the evidence log cannot answer"))?;
        Ok(Response::new(pb::GetReceiptResponse { receipt: receipt.to_bytes() }))
    }
}

fn known(method: &Method) -> pb::KnownMethod {
    let name = method.path().as_str().rsplit('/').next().unwrap_or_default().to_owned();
    pb::KnownMethod { name, purposes: method.purposes().iter().map(ToString::to_string).collect() }
}

impl Meta {
    fn grant_usage(&self, grant: &GrantId, on_behalf_of: String) -> Option<pb::GrantUsage> {
        let Usage { limits, admitted, since } =
            observed::usage(&self.limiter, &self.quotas, grant, self.clock.now())?;
        // The limiter keeps a monotonic instant, and callers want a date. A wall clock that was set back must
        // not fail here.
        let since = self.clock.now().checked_sub(since.elapsed()).unwrap_or(self.clock.now());
        let since = since.round(jiff::Unit::Second).unwrap_or(since).to_string();
        let refused = limits.iter().map(|limit| limit.refused).sum();
        let limits = limits.into_iter().map(|LimitUsage { kind, limit, most, used, left, refused }| {
            pb::LimitUsage { kind: kind.as_str().to_owned(), limit, most, used, left, refused }
        });
        let limits = limits.collect();
        Some(pb::GrantUsage { grant: grant.to_string(), on_behalf_of, limits, admitted, refused, since })
    }

    /// The two ends of a call, and the member whose right was used.
    fn is_party(&self, caller: &Subsystem, record: &chapar_evidence::Record) -> bool {
        let member = caller.id.member().as_str();
        let provider = self.registry.method(&record.method).map(|entry| entry.service.provider.as_str());
        record.caller == caller.id.as_str() || record.on_behalf_of == member || provider == Some(member)
    }
}

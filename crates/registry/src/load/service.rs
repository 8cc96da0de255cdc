//! This module loads `[[service]]`: a contract by its digest, who may answer for it, and where.

use std::sync::Arc;

use chapar_model::Identity;

use super::{File, Loader};
use crate::entry::{MethodEntry, ServiceEntry};
use crate::finding::Kind;
use crate::raw::{self, Text};

impl Loader<'_> {
    pub(super) fn service(&mut self, file: &File) {
        for service in &file.raw.services {
            self.one_service(file, service);
        }
    }

    fn one_service(&mut self, file: &File, service: &raw::Service) {
        let source = &file.source;
        let adapters: Vec<Identity> =
            service.adapters.get_ref().iter().filter_map(|text| self.adapter(file, text)).collect();
        if service.adapters.get_ref().is_empty() {
            self.malformed(
                source,
                service.adapters.span(),
                "no one may answer for the service: name at least one adapter",
            );
        }
        for endpoint in service.endpoints.iter().filter(|endpoint| !is_endpoint(endpoint.get_ref())) {
            self.malformed(source, endpoint.span(), "an endpoint is `https://HOST:PORT` and nothing more");
        }
        let written = &service.contract;
        let name = service.contract.get_ref();
        let contracts = self.contracts;
        let Some(contract) = contracts.iter().find(|contract| contract.service(name).is_some()) else {
            let message = format!("no loaded contract has the service `{name}`");
            let finding = self.findings.at(source, written.span(), Kind::UnknownContract, message);
            finding.suggest(
                name,
                contracts.iter().flat_map(|contract| contract.services()).map(|service| service.name()),
            );
            return;
        };
        // The digest pins the contract: a changed `.proto` takes effect only with a change of the registry.
        if service.digest.get_ref() != contract.digest() {
            let message = format!("the contract of {name} is not the one with this digest");
            let finding = self.findings.at(source, service.digest.span(), Kind::DigestMismatch, message);
            finding.advise(format!("if it was meant to change: digest = \"{}\"", contract.digest()));
        }
        // After a mismatch the loaded contract is used further, so that the same load checks its grants.
        if let Some(other) = self.services.iter().find(|other| other.name == *name) {
            let message = format!("the service `{name}` is registered already, by {}", other.provider);
            self.findings.at(source, written.span(), Kind::Duplicate, message);
            return;
        }
        let entry = Arc::new(ServiceEntry {
            name: name.clone(),
            contract: contract.clone(),
            provider: file.member.clone(),
            adapters,
            server: self.server(file, service),
            endpoints: service.endpoints.iter().map(|endpoint| endpoint.get_ref().clone()).collect(),
            concurrent: service.limit.concurrent.map(Into::into),
            hidden: service.hidden,
        });
        for method in entry.methods() {
            let of_service = MethodEntry { method: Arc::clone(method), service: Arc::clone(&entry) };
            self.methods.insert(method.path().as_str().into(), Arc::new(of_service));
        }
        self.services.push(entry);
    }

    fn adapter(&mut self, file: &File, text: &Text) -> Option<Identity> {
        let identity: Identity = self.parse(&file.source, text)?;
        if *identity.trust_domain() != self.trust_domain {
            let message = format!("an adapter's identity is of the trust domain {}", self.trust_domain);
            self.malformed(&file.source, text.span(), message);
            return None;
        }
        // A member's file with errors may define the adapter, so the adapter is not reported as unknown then.
        if !self.subsystems.contains_key(identity.subsystem()) && !self.broken.contains(identity.member()) {
            let message = format!("the adapter `{}` is not registered", identity.subsystem());
            let mut known: Vec<String> =
                self.subsystems.keys().map(|id| format!("spiffe://{}/{id}", self.trust_domain)).collect();
            known.sort_unstable();
            let finding = self.findings.at(&file.source, text.span(), Kind::UnknownSubsystem, message);
            finding.suggest(text.get_ref(), known.iter().map(String::as_str));
            return None;
        }
        Some(identity)
    }
}

/// `https://HOST:PORT` with a name, an IPv4 address or an IPv6 address in brackets, and a port that is not 0.
fn is_endpoint(text: &str) -> bool {
    let Some((host, port)) = text.strip_prefix("https://").and_then(|rest| rest.rsplit_once(':')) else {
        return false;
    };
    let host_is_valid = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'))
        }
    };
    // `parse` accepts a sign, so the digits are checked first.
    let port_is_valid =
        port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0);
    host_is_valid && port_is_valid
}

#[cfg(test)]
mod tests {
    use super::is_endpoint;

    #[test]
    fn an_endpoint_is_scheme_host_and_port() {
        for text in ["https://10.0.0.5:8443", "https://civil.example:443", "https://[::1]:8443"] {
            assert!(is_endpoint(text), "{text}");
        }
        for text in [
            "http://10.0.0.5:8443",
            "10.0.0.5:8443",
            "https://10.0.0.5",
            "https://10.0.0.5:0",
            "https://10.0.0.5:65536",
            "https://10.0.0.5:8443/",
            "https://a@b:1",
            "https://::1:8443",
            "https://:8443",
        ] {
            assert!(!is_endpoint(text), "{text}");
        }
    }
}

//! This module decides which gateway a command connects to, and under which identity: both come from a
//! running demo's `demo.json`, or from options.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use chapar_client::Config;
use chapar_model::Clock;
use chapar_operator::Bus;
use serde::Deserialize;

use crate::exit::{Exit, Failure};

/// How to reach the bus.
#[derive(Debug, clap::Args)]
pub(super) struct ConnectArgs {
    /// The folder of a running demo, which holds its addresses and keys
    #[arg(long, env = "CHAPAR_DEMO", value_name = "DIR", help_heading = "Connection")]
    demo: Option<PathBuf>,
    /// With --demo: the identity that calls, e.g. `gov/welfare/benefits`
    #[arg(
        long = "as",
        env = "CHAPAR_AS",
        value_name = "IDENTITY",
        requires = "demo",
        help_heading = "Connection"
    )]
    identity: Option<String>,
    /// The address of the gateway
    #[arg(
        long,
        env = "CHAPAR_GATEWAY",
        value_name = "HOST:PORT",
        conflicts_with = "demo",
        help_heading = "Connection"
    )]
    gateway: Option<String>,
    /// The DNS name in the gateway's certificate, if it differs from HOST
    #[arg(
        long,
        env = "CHAPAR_SERVER_NAME",
        value_name = "NAME",
        requires = "gateway",
        help_heading = "Connection"
    )]
    server_name: Option<String>,
    /// Your client certificate with its chain (PEM)
    #[arg(long, env = "CHAPAR_CERT", value_name = "FILE", requires = "gateway", help_heading = "Connection")]
    cert: Option<PathBuf>,
    /// The private key of your certificate (PEM)
    #[arg(long, env = "CHAPAR_KEY", value_name = "FILE", requires = "gateway", help_heading = "Connection")]
    key: Option<PathBuf>,
    /// The CA certificates that verify the gateway's certificate (PEM)
    #[arg(long, env = "CHAPAR_CA", value_name = "FILE", requires = "gateway", help_heading = "Connection")]
    ca: Option<PathBuf>,
    /// A FileDescriptorSet that describes methods which the gateway's reflection does not show you; default:
    /// that of the demo
    #[arg(long, env = "CHAPAR_DESCRIPTORS", value_name = "FILE", help_heading = "Connection")]
    descriptors: Option<PathBuf>,
}

/// A gateway and the identity to call it with.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Target {
    /// `HOST:PORT`.
    pub(super) gateway: String,
    /// The name in its certificate.
    pub(super) server_name: String,
    /// The caller's certificate.
    pub(super) cert: PathBuf,
    /// Its key.
    pub(super) key: PathBuf,
    /// The CAs to check the gateway with.
    pub(super) ca: PathBuf,
    /// Descriptors beside those that the gateway shows.
    pub(super) descriptors: Option<PathBuf>,
}

/// The part of `demo.json` that is read here. Other programs read it too, so it may hold more.
#[derive(Debug, Deserialize)]
struct Demo {
    ca: PathBuf,
    gateway: String,
    gateways: Vec<String>,
    server_name: String,
    operator: String,
    identities: BTreeMap<String, Files>,
    descriptors: PathBuf,
}

#[derive(Debug, Deserialize)]
struct Files {
    cert: PathBuf,
    key: PathBuf,
}

impl ConnectArgs {
    /// The gateway, and the identity to call it with.
    ///
    /// # Errors
    /// A usage failure that says which option is missing, or a demo that cannot be read.
    pub(super) fn target(&self) -> Result<Target, Failure> {
        match (&self.demo, &self.gateway) {
            (Some(folder), _) => self.demo_target(folder),
            (None, Some(gateway)) => self.explicit_target(gateway),
            (None, None) => Err(Failure::usage(
                "the gateway is missing: give `--demo DIR --as IDENTITY`, or \
                 `--gateway HOST:PORT --cert FILE --key FILE --ca FILE`",
            )),
        }
    }

    /// All gateways of a bus under the identity of an operator: those of the demo and its operator, if no
    /// other identity is named; or those of the addresses in `--gateway`, separated by commas.
    ///
    /// # Errors
    /// As [`ConnectArgs::target`], and a certificate, key or address that cannot be used.
    pub(super) fn bus(&self) -> Result<Bus, Failure> {
        let mut targets = self.every_target()?.into_iter().map(|target| {
            let Target { gateway, server_name, cert, key, ca, descriptors: _ } = target;
            Config { gateway, server_name, cert, key, ca }
        });
        let first = targets.next().ok_or_else(|| Failure::usage("no gateway is named"))?;
        Ok(Bus::new(first, targets.collect(), Clock::system())?)
    }

    fn every_target(&self) -> Result<Vec<Target>, Failure> {
        match (&self.demo, &self.gateway) {
            (Some(folder), _) => {
                let demo = read_demo(folder)?;
                let identity = self.identity.clone().unwrap_or_else(|| demo.operator.clone());
                let gateways = demo.gateways.clone();
                let one = target_of(folder, demo, &identity, None)?;
                Ok(gateways.into_iter().map(|gateway| Target { gateway, ..one.clone() }).collect())
            }
            (None, Some(gateways)) => {
                let mut targets: Vec<Target> = Vec::new();
                for gateway in gateways.split(',').map(str::trim) {
                    let target = self.explicit_target(gateway)?;
                    // Its calls would be counted twice.
                    if targets.iter().any(|known| known.gateway == target.gateway) {
                        return Err(Failure::usage(format_args!("`--gateway` names {gateway} twice")));
                    }
                    targets.push(target);
                }
                Ok(targets)
            }
            (None, None) => Ok(vec![self.target()?]),
        }
    }

    fn demo_target(&self, folder: &Path) -> Result<Target, Failure> {
        let demo = read_demo(folder)?;
        let Some(identity) = &self.identity else {
            return Err(Failure::usage(format_args!(
                "the identity is missing: give `--as` and one of: {}",
                known(&demo)
            )));
        };
        target_of(folder, demo, identity, self.descriptors.clone())
    }

    fn explicit_target(&self, gateway: &str) -> Result<Target, Failure> {
        let missing = |option: &str| Failure::usage(format_args!("`--gateway` also needs `{option}`"));
        if gateway.contains("://") {
            return Err(Failure::usage(format_args!(
                "`--gateway {gateway}`: write HOST:PORT, without `https://`"
            )));
        }
        // The port is checked here, so that the error names the option.
        let host =
            gateway.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok()).map(|(host, _)| host);
        let is_name = |name: &str| !name.is_empty() && !name.contains(char::is_whitespace);
        let Some(host) = host.filter(|host| is_name(host)) else {
            return Err(Failure::usage(format_args!("`--gateway {gateway}` is not HOST:PORT")));
        };
        // An IPv6 address stands in brackets, which are not part of the name.
        let server_name =
            self.server_name.clone().unwrap_or_else(|| host.trim_matches(['[', ']']).to_owned());
        if !is_name(&server_name) {
            return Err(Failure::usage(format_args!("`--server-name {server_name}` is no DNS name")));
        }
        Ok(Target {
            gateway: gateway.to_owned(),
            server_name,
            cert: self.cert.clone().ok_or_else(|| missing("--cert FILE"))?,
            key: self.key.clone().ok_or_else(|| missing("--key FILE"))?,
            ca: self.ca.clone().ok_or_else(|| missing("--ca FILE"))?,
            descriptors: self.descriptors.clone(),
        })
    }
}

/// The first gateway of a demo, and one of its identities.
fn target_of(
    folder: &Path,
    demo: Demo,
    identity: &str,
    descriptors: Option<PathBuf>,
) -> Result<Target, Failure> {
    let Some(files) = demo.identities.get(identity) else {
        return Err(Failure::usage(format_args!(
            "no identity `{identity}` in this demo; it has: {}",
            known(&demo)
        )));
    };
    Ok(Target {
        cert: folder.join(&files.cert),
        key: folder.join(&files.key),
        ca: folder.join(&demo.ca),
        descriptors: Some(descriptors.unwrap_or_else(|| folder.join(&demo.descriptors))),
        gateway: demo.gateway,
        server_name: demo.server_name,
    })
}

fn known(demo: &Demo) -> String {
    demo.identities.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
}

fn read_demo(folder: &Path) -> Result<Demo, Failure> {
    let file = folder.join("demo.json");
    // The demo writes this file last, so without it no demo is ready.
    let text = std::fs::read_to_string(&file).map_err(|error| {
        let sentence = format!("no running demo in {}: {}: {error}", folder.display(), file.display());
        Failure::new(Exit::Unreachable, sentence)
    })?;
    serde_json::from_str(&text)
        .map_err(|error| Failure::new(Exit::Finding, format_args!("{}: {error}", file.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEMO: &str = r#"{"trust_domain": "lorestan.example", "ca": "pki/ca.crt", "gateway": "127.0.0.1:7443",
        "gateways": ["127.0.0.1:7443"], "operator": "gov/welfare/benefits",
        "server_name": "gateway.lorestan.example", "descriptors": "contracts.binpb",
        "identities": {"gov/welfare/benefits": {"cert": "pki/w.crt", "key": "pki/w.key"}}, "sample": []}"#;

    fn args(folder: Option<&Path>, identity: Option<&str>, gateway: Option<&str>) -> ConnectArgs {
        ConnectArgs {
            demo: folder.map(Path::to_owned),
            identity: identity.map(str::to_owned),
            gateway: gateway.map(str::to_owned),
            server_name: None,
            cert: Some("c".into()),
            key: Some("k".into()),
            ca: Some("a".into()),
            descriptors: None,
        }
    }

    #[test]
    fn a_demo_names_the_gateway_and_its_paths_start_at_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("demo.json"), DEMO).unwrap();
        let target = args(Some(folder.path()), Some("gov/welfare/benefits"), None).target().unwrap();
        assert_eq!(target.gateway, "127.0.0.1:7443");
        assert_eq!(target.cert, folder.path().join("pki/w.crt"));
        assert_eq!(target.ca, folder.path().join("pki/ca.crt"));
    }

    #[test]
    fn an_identity_that_the_demo_lacks_is_answered_with_those_it_has() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("demo.json"), DEMO).unwrap();
        for identity in [None, Some("gov/welfare")] {
            let failure = args(Some(folder.path()), identity, None).target().err().unwrap();
            assert_eq!(failure.exit, Exit::Usage);
            assert!(failure.report.to_string().contains("gov/welfare/benefits"));
        }
    }

    #[test]
    fn a_folder_without_a_demo_is_unreachable() {
        let folder = tempfile::tempdir().unwrap();
        let failure = args(Some(folder.path()), Some("a/b/c"), None).target().err().unwrap();
        assert_eq!(failure.exit, Exit::Unreachable);
    }

    #[test]
    fn each_of_several_gateways_is_known_by_its_own_host() {
        let named = |gateways: &str| args(None, None, Some(gateways)).every_target();
        let names = |gateways: &str| -> Vec<(String, String)> {
            named(gateways).unwrap().into_iter().map(|target| (target.gateway, target.server_name)).collect()
        };
        let pair = |gateway: &str, name: &str| (gateway.to_owned(), name.to_owned());
        let wanted = [pair("gw1.example:7443", "gw1.example"), pair("gw2.example:1", "gw2.example")];
        assert_eq!(names("gw1.example:7443, gw2.example:1"), wanted);
        for wrong in
            ["gw1.example:7443,", ",", "gw1.example:7443,,gw2.example:1", "gw1.example:1,gw1.example:1"]
        {
            assert_eq!(named(wrong).err().unwrap().exit, Exit::Usage, "{wrong}");
        }
    }

    #[test]
    fn the_server_name_is_the_host_unless_said_otherwise() {
        assert_eq!(args(None, None, Some("gw.example:7443")).target().unwrap().server_name, "gw.example");
        assert_eq!(args(None, None, Some("[::1]:7443")).target().unwrap().server_name, "::1");
        for wrong in ["gw.example", ":7443", "gw.example:http", "7443", "https://gw.example:7443", " gw:7443"]
        {
            assert_eq!(args(None, None, Some(wrong)).target().err().unwrap().exit, Exit::Usage, "{wrong}");
        }
    }
}

//! `ConnectMode` is how gateways reach the adapter: it dials reverse connections, or it listens.

use std::net::SocketAddr;

use chapar_transport::tls::Shown;
use serde::Deserialize;
use toml::Spanned;

use super::{AdapterTable, ConfigReader};

/// How gateways and an adapter come together.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ConnectMode {
    /// The adapter connects to each gateway, `HOST:PORT`, with `connections` connections, and serves on
    /// those. It opens no port.
    Dial {
        /// At least one.
        gateways: Vec<String>,
        /// 1 to 16.
        connections: usize,
    },
    /// It listens; port 0 takes a free one.
    Listen(SocketAddr),
}

impl ConnectMode {
    /// How the adapter's certificate is shown to gateways.
    pub(crate) fn shown(&self) -> Shown {
        match self {
            Self::Dial { .. } => Shown::AsClient,
            Self::Listen(_) => Shown::AsServer,
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl ConfigReader<'_> {
    /// `dial` or `listen`, exactly one of them.
    pub(super) fn mode(&mut self, adapter: &AdapterTable) -> Option<ConnectMode> {
        if let (None, Some(connections)) = (&adapter.dial, &adapter.connections) {
            self.report(
                connections.span(),
                "goes with `dial`: who listens is told how many by those who connect",
            );
        }
        match (&adapter.dial, &adapter.listen) {
            (Some(dial), None) => self.dial(dial, adapter.connections.as_ref()),
            (None, Some(listen)) => {
                let address = self.parsed(listen, "an address with a port, e.g. `127.0.0.1:8443`");
                address.map(ConnectMode::Listen)
            }
            (Some(dial), Some(_)) => {
                self.report(dial.span(), "cannot stand beside `listen`: an adapter dials or listens");
                None
            }
            (None, None) => {
                self.report(adapter.gateways.span(), NO_MODE);
                None
            }
        }
    }

    fn dial(
        &mut self,
        dial: &Spanned<OneOrMore>,
        connections: Option<&Spanned<usize>>,
    ) -> Option<ConnectMode> {
        let gateways = match dial.get_ref() {
            OneOrMore::One(gateway) => vec![gateway.clone()],
            OneOrMore::More(gateways) => gateways.clone(),
        };
        if gateways.is_empty() || !gateways.iter().all(|gateway| is_host_and_port(gateway)) {
            self.report(dial.span(), "must be one or more of `HOST:PORT`, e.g. `gateway.example:7443`");
            return None;
        }
        let connections = connections.map_or(2, |number| {
            if !(1..=16).contains(number.get_ref()) {
                self.report(number.span(), "must be 1 to 16");
            }
            *number.get_ref()
        });
        Some(ConnectMode::Dial { gateways, connections })
    }
}

/// `HOST:PORT` with a name, an IPv4 address or an IPv6 address in brackets, and a port that is not 0.
fn is_host_and_port(text: &str) -> bool {
    let authority: Option<http::uri::Authority> = text.parse().ok();
    authority.is_some_and(|authority| {
        // User information in the text would be dropped silently when it is dialled.
        let plain = !authority.host().is_empty() && !text.contains('@');
        plain && authority.port_u16().is_some_and(|port| port > 0)
    })
}

pub(super) const NO_MODE: &str =
    "say how gateways reach it: `dial = \"GATEWAY:PORT\"`, or `listen = \"ADDRESS:PORT\"`";

#[cfg(test)]
mod tests {
    use super::super::tests::{GOOD, parse};
    use super::*;

    #[test]
    fn an_adapter_dials_one_or_more_gateways_or_listens() {
        let mode = |lines: &str| {
            parse(&GOOD.replace("listen    = \"127.0.0.1:0\"", lines)).map(|config| config.mode)
        };
        let dial = |gateways: &[&str], connections| ConnectMode::Dial {
            gateways: gateways.iter().map(ToString::to_string).collect(),
            connections,
        };
        assert_eq!(
            mode("listen = '[::1]:8443'").unwrap(),
            ConnectMode::Listen("[::1]:8443".parse().unwrap())
        );
        assert_eq!(mode("dial = 'gw.example:7443'").unwrap(), dial(&["gw.example:7443"], 2));
        let two = mode("dial = ['gw-1.example:7443', '[::1]:7443']\nconnections = 3").unwrap();
        assert_eq!(two, dial(&["gw-1.example:7443", "[::1]:7443"], 3));
    }

    #[test]
    fn who_does_neither_or_both_or_dials_nowhere_is_told_so() {
        let error = |lines: &str| parse(&GOOD.replace("listen    = \"127.0.0.1:0\"", lines)).unwrap_err();
        assert!(error("").contains("how gateways reach it"));
        assert!(
            error("listen = '127.0.0.1:0'\ndial = 'gw.example:7443'")
                .contains("cannot stand beside `listen`")
        );
        assert!(error("listen = '127.0.0.1:0'\nconnections = 2").contains("goes with `dial`"));
        assert!(error("dial = 'gw.example:7443'\nconnections = 17").contains("1 to 16"));
        for nowhere in
            ["'gw.example'", "[]", "''", "'https://gw.example:7443'", "'gw.example:0'", "'me@gw.example:1'"]
        {
            let told = error(&format!("dial = {nowhere}"));
            assert!(told.contains("HOST:PORT"), "{nowhere}: {told}");
        }
    }
}

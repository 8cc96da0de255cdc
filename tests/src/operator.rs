//! This module makes an operator of the harness's bus: an identity with the role `viewer`, and its client.

use chapar_client::{Client, Config};

use crate::{Builder, Bus, Certificate};

/// The operators' subsystem.
pub const OPERATIONS: &str = "bus/lorestan/operations";

impl Builder {
    /// The registry knows an operator.
    pub fn with_operator(self) -> Self {
        let subsystem = "\n[[subsystem]]\nid = \"operations\"\n";
        let role = format!("\n[[operator]]\nid = \"{OPERATIONS}\"\nroles = [\"viewer\"]\n");
        self.edit("bus/lorestan.toml", move |text| text + subsystem)
            .edit("bus.toml", move |text| text + &role)
    }
}

impl Bus {
    /// A client under the identity of a subsystem, as Rust programs outside of the harness have it.
    pub fn client(&self, subsystem: &str) -> Client {
        let name = subsystem.replace('/', "-");
        self.issue(&Certificate::of(subsystem), &name);
        let pki = self.folder().join("pki");
        let config = Config {
            gateway: self.address().to_string(),
            server_name: "gateway.lorestan.example".to_owned(),
            cert: pki.join(format!("{name}.crt")),
            key: pki.join(format!("{name}.key")),
            ca: pki.join("ca.crt"),
        };
        Client::new(config).expect("a client")
    }
}

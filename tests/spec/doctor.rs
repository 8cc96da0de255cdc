//! Tests of `chapar doctor connect`: each step of a call's way is told, and the first that fails ends it.

use std::process::{Command, Output};

use chapar_tests::binary::chapar;
use chapar_tests::{Bus, Certificate};

const WELFARE: &str = "gov/welfare/benefits";

/// What the command says, for files of the bus's `pki` folder.
struct Doctor {
    gateway: String,
    server_name: String,
    cert: String,
    ca: String,
}

impl Doctor {
    fn of(bus: &Bus, cert: &str) -> Self {
        Self {
            gateway: bus.address().to_string(),
            server_name: "gateway.lorestan.example".to_owned(),
            cert: cert.to_owned(),
            ca: "ca".to_owned(),
        }
    }

    fn run(&self, bus: &Bus, method: &[&str]) -> (i32, String, String) {
        let pki = bus.folder().join("pki");
        let Output { status, stdout, stderr } = Command::new(chapar())
            .args(["doctor", "connect", "--gateway", &self.gateway, "--server-name", &self.server_name])
            .arg("--cert")
            .arg(pki.join(format!("{}.crt", self.cert)))
            .arg("--key")
            .arg(pki.join(format!("{}.key", self.cert)))
            .arg("--ca")
            .arg(pki.join(format!("{}.crt", self.ca)))
            .args(method)
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (status.code().unwrap(), text(stdout), text(stderr))
    }
}

/// The steps of an output, with how each ended.
fn steps(said: &str) -> Vec<String> {
    let words = said.lines().map(|line| line.split_whitespace().take(2).collect::<Vec<_>>().join(" "));
    words.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_step_is_told_and_so_is_the_grant_of_a_method() {
    let bus = Bus::start().await;
    bus.issue(&Certificate::of(WELFARE), "welfare");
    let doctor = Doctor::of(&bus, "welfare");
    let (code, said, _) = doctor.run(&bus, &["GetPerson"]);
    assert_eq!(code, 0, "{said}");
    let expected = ["ok certificate", "ok name", "ok TCP", "ok TLS", "ok registry", "ok rights"];
    assert_eq!(steps(&said), expected, "{said}");
    assert!(said.contains("spiffe://lorestan.example/gov/welfare/benefits, for another "), "{said}");
    assert!(said.contains("civil.v1.CivilRegistry/GetPerson, by "), "{said}");

    let (code, said, help) = doctor.run(&bus, &["health.v1.Insurance/GetCoverage"]);
    assert_eq!(code, 1, "{said}");
    assert_eq!(steps(&said).last().unwrap(), "FAILED rights", "{said}");
    assert!(help.contains("its provider has to grant it"), "{help}");
    assert!(bus.records().await.is_empty(), "no agency was asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_step_that_fails_is_told_with_what_to_do() {
    let bus = Bus::start().await;
    bus.issue(&Certificate::of(WELFARE), "welfare");
    bus.issue(&Certificate::of("gov/stranger/system"), "stranger");
    let fails = |doctor: &Doctor, step: &str, exit: i32, help: &str| {
        let (code, said, told) = doctor.run(&bus, &[]);
        assert_eq!(steps(&said).last().unwrap(), &format!("FAILED {step}"), "{said}{told}");
        assert_eq!(code, exit, "{said}{told}");
        assert!(told.contains(help), "{told}");
    };
    let good = || Doctor::of(&bus, "welfare");
    fails(&Doctor { cert: "none".to_owned(), ..good() }, "certificate", 1, "is it there");
    fails(&Doctor { gateway: "no-such.invalid:7443".to_owned(), ..good() }, "name", 3, "does not resolve");
    // A port that was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    fails(&Doctor { gateway: free, ..good() }, "TCP", 3, "does the gateway run");
    fails(&Doctor { server_name: "other.example".to_owned(), ..good() }, "TLS", 3, "name `other.example`");
    fails(&Doctor { ca: "welfare".to_owned(), ..good() }, "certificate", 1, "cannot be used as it is");
    fails(&Doctor::of(&bus, "stranger"), "registry", 80, "IDENTITY_UNKNOWN");
}

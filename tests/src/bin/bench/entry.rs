//! This module has the entries of the table: how each proxy is set up for the same work. A proxy that is not
//! installed is left out with a message.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::Process;
use crate::{Error, pki};

/// The entries, in the table's order.
pub(crate) const NAMES: [&str; 8] =
    ["direct", "hyper", "hyper-durable", "haproxy", "nginx", "envoy", "chapar", "chapar-tmpfs"];

/// Grants in the gateway's registry: the caller's, and those of others.
const GRANTS: usize = 1000;

/// One entry that runs.
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    /// None: there is no proxy, and the generator's own time is told.
    pub(crate) process: Option<Process>,
    /// A folder outside the common one.
    _memory: Option<tempfile::TempDir>,
}

/// What the entries share.
pub(crate) struct Place<'a> {
    pub(crate) root: &'a Path,
    pub(crate) pki: PathBuf,
    pub(crate) issuer: String,
    pub(crate) upstream: SocketAddr,
    /// A command to start under.
    pub(crate) under: &'a [String],
}

impl Place<'_> {
    /// Starts an entry, or says why it is not there.
    pub(crate) fn start(&self, name: &'static str) -> Result<Result<Entry, String>, Error> {
        if name == "direct" {
            return Ok(Ok(Entry { name, address: self.upstream, process: None, _memory: None }));
        }
        // Free a moment ago; whoever takes it meanwhile shows as a proxy that does not answer.
        let address = std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?;
        let dir = self.root.join(name);
        std::fs::create_dir(&dir)?;
        let mut memory = None;
        let mut command = match name {
            "hyper" | "hyper-durable" => {
                let mut command = Command::new(std::env::current_exe()?);
                command.arg("proxy").args([
                    "--listen",
                    &address.to_string(),
                    "--upstream",
                    &self.upstream.to_string(),
                ]);
                command.arg("--pki").arg(&self.pki);
                if name == "hyper-durable" {
                    command.arg("--journal").arg(dir.join("journal"));
                }
                command
            }
            "haproxy" | "nginx" | "envoy" => {
                let variable = format!("BENCH_{}", name.to_uppercase());
                let Some(program) = std::env::var_os(&variable).filter(|path| !path.is_empty()) else {
                    return Ok(Err(format!("{variable} does not say where it is")));
                };
                let (template, file) = match name {
                    "haproxy" => (include_str!("../../../bench/haproxy.cfg"), "haproxy.cfg"),
                    "nginx" => (include_str!("../../../bench/nginx.conf"), "nginx.conf"),
                    _ => (include_str!("../../../bench/envoy.yaml"), "envoy.yaml"),
                };
                let config = dir.join(file);
                std::fs::write(&config, self.fill(template, address, &dir))?;
                let mut command = Command::new(program);
                match name {
                    "haproxy" => command.args(["-db", "-f"]).arg(config),
                    "nginx" => command.arg("-p").arg(&dir).args(["-e", "stderr", "-c"]).arg(config),
                    _ => command.arg("-c").arg(config).args([
                        "--concurrency",
                        "1",
                        "--disable-hot-restart",
                        "--log-level",
                        "warning",
                    ]),
                };
                command
            }
            _ => {
                let evidence = if name == "chapar-tmpfs" {
                    let folder = tempfile::tempdir_in("/dev/shm")?;
                    let path = folder.path().join("evidence");
                    memory = Some(folder);
                    path
                } else {
                    dir.join("evidence")
                };
                self.write_bus(&dir, address, &evidence)?;
                let mut command = match self.under {
                    [program, arguments @ ..] => {
                        let mut command = Command::new(program);
                        command.args(arguments).arg(chapar_tests::binary::chapar());
                        command
                    }
                    [] => Command::new(chapar_tests::binary::chapar()),
                };
                command.arg("gateway").arg("--config").arg(dir.join("gateway.toml")).args(["--log", "warn"]);
                command
            }
        };
        let log = std::fs::File::create(dir.join("output.log"))?;
        let process = Some(Process::start(&mut command, log)?);
        Ok(Ok(Entry { name, address, process, _memory: memory }))
    }

    fn fill(&self, template: &str, address: SocketAddr, dir: &Path) -> String {
        template
            .replace("{listen}", &address.to_string())
            .replace("{port}", &address.port().to_string())
            .replace("{upstream}", &self.upstream.to_string())
            .replace("{upstream_port}", &self.upstream.port().to_string())
            .replace("{pki}", &self.pki.display().to_string())
            .replace("{dir}", &dir.display().to_string())
            .replace("{caller}", &pki::uri(pki::CALLER))
            .replace("{caller_cn}", pki::CALLER_CN)
            .replace("{upstream_identity}", &pki::uri("gov/records/adapter"))
    }

    fn write_bus(&self, dir: &Path, address: SocketAddr, evidence: &Path) -> Result<(), Error> {
        let contract = chapar_tests::repository().join("tests/bench/contract/bench").canonicalize()?;
        let digest = chapar_contract::Contract::load(&contract)
            .map_err(|error| format!("the benchmark's contract: {error:?}"))?
            .digest()
            .to_owned();
        let member = |name: &str, subsystem: &str| {
            format!(
                "[member]\nname = {{ fa = \"{name}\", en = \"{name}\" }}\nissuers = [\"{}\"]\n\n[[subsystem]]\nid = \"{subsystem}\"\n",
                self.issuer
            )
        };
        let mut records = member("Records", "adapter");
        write!(
            records,
            r#"
[[service]]
contract  = "bench.v1.Records"
digest    = "{digest}"
adapters  = ["{}"]
endpoints = ["https://{}"]

[[grant]]
id       = "bench"
to       = "{}"
method   = "bench.v1.Records/Get"
purposes = ["benefit.eligibility"]
fields   = ["given_name", "family_name", "birth_place", "province", "county"]
valid    = {{ from = 2020-01-01, until = 2098-01-01 }}
limit    = {{ rate = "1000000/s", burst = 1000000, concurrent = 100000 }}
basis    = "Benchmark"
"#,
            pki::uri("gov/records/adapter"),
            self.upstream,
            pki::CALLER
        )?;
        let mut welfare = member("Welfare", "benefits");
        for number in 1..GRANTS {
            write!(welfare, "\n[[subsystem]]\nid = \"system-{number}\"\n")?;
            write!(
                records,
                r#"
[[grant]]
id       = "other-{number}"
to       = "gov/welfare/system-{number}"
method   = "bench.v1.Records/Get"
purposes = ["benefit.eligibility"]
fields   = ["given_name", "family_name", "province"]
valid    = {{ from = 2020-01-01, until = 2098-01-01 }}
limit    = {{ rate = "20/s", burst = 40 }}
basis    = "Benchmark"
"#
            )?;
        }
        for (file, text) in [
            ("bus.toml", "[bus]\ntrust_domain = \"lorestan.example\"\n".to_owned()),
            ("bus/lorestan.toml", member("Bus", "gateway")),
            ("gov/welfare.toml", welfare),
            ("gov/records.toml", records),
        ] {
            let path = dir.join("registry").join(file);
            std::fs::create_dir_all(path.parent().ok_or("a file has a folder")?)?;
            std::fs::write(path, text)?;
        }
        chapar_evidence::create_keys(
            "bench.example/evidence",
            &dir.join("evidence.key"),
            &dir.join("evidence.pub"),
            &dir.join("period.key"),
        )?;
        let pki = self.pki.display();
        let text = format!(
            r#"[gateway]
listen    = "{address}"
admin     = "127.0.0.1:0"
identity  = {{ cert = "{pki}/gateway.crt", key = "{pki}/gateway.key", trust = "{pki}/ca.crt" }}
registry  = "registry"
contracts = ["{}"]
drain     = "2s"

[evidence]
path        = "{}"
origin      = "bench.example/evidence"
signing_key = "evidence.key"
period_key  = "period.key"

[telemetry]
sample = 0.01
"#,
            contract.display(),
            evidence.display()
        );
        Ok(std::fs::write(dir.join("gateway.toml"), text)?)
    }
}

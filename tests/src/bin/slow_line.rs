//! `slow_line` measures what an inquiry costs on a village's line: bytes and seconds of the first and of later
//! calls, by gRPC and by JSON, one by one and as one inquiry. It runs the built binary's demo behind a line of
//! 60 kbit/s with 0.7 s there and back, in this process.
//!
//! `cargo run --release -p chapar-tests --bin slow_line -- [ROUNDS]` (default 3: two minutes)

#![allow(clippy::print_stdout, clippy::expect_used, reason = "a measurement's output is its purpose")]

use std::process::Command;
use std::time::{Duration, Instant};

use chapar_client::{AskProcedureRequest, CallMetadata, CallSpec, Client, Config, Procedure};
use chapar_tests::binary::Demo;
use chapar_tests::slow_line::{SECOND_GENERATION, SlowLine};
use futures_util::future::join_all;
use prost::Message;

const OFFICE: &str = "office/khorramabad-12/counter";

/// A request of any method of the farm loan.
#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(string, tag = "1")]
    national_id: String,
    #[prost(string, tag = "2")]
    iban: String,
}

/// What one way of asking took.
#[derive(Clone, Copy)]
struct Cost {
    up: u64,
    down: u64,
    took: Duration,
}

struct Office {
    demo: Demo,
    line: SlowLine,
    procedure: Procedure,
}

impl Office {
    async fn open() -> Self {
        let demo = Demo::start(&["--people", "500"]);
        let gateway = demo.json()["gateway"].as_str().expect("an address").to_owned();
        let line = SlowLine::before(gateway.parse().expect("an address"), SECOND_GENERATION).await;
        let near = Client::new(config(&demo, gateway)).expect("its files");
        let procedures = near.procedures().await.expect("the office's procedures");
        let procedure = procedures.into_iter().next().expect("the farm loan");
        Self { demo, line, procedure }
    }

    /// A client that has no connection yet.
    fn client(&self) -> Client {
        Client::new(config(&self.demo, self.line.address().to_string())).expect("its files")
    }

    fn farmer(&self, name: &str) -> String {
        self.demo.json()["sample"][0][name].as_str().expect("the farmer's").to_owned()
    }

    async fn measured<T>(&self, asking: impl Future<Output = T>) -> Cost {
        let [up, down] = self.line.bytes();
        let began = Instant::now();
        asking.await;
        let took = began.elapsed();
        let [up_after, down_after] = self.line.bytes();
        Cost { up: up_after - up, down: down_after - down, took }
    }

    async fn single(&self, client: &Client, part: usize) {
        let part = &self.procedure.parts[part];
        let metadata = CallMetadata {
            purpose: Some("loan.farm".parse().expect("a purpose")),
            on_behalf_of: Some("com/agri-bank".parse().expect("a member")),
            ..self.metadata()
        };
        let iban = if part.id == "account" { self.farmer("iban") } else { String::new() };
        let request = Request { national_id: self.farmer("national_id"), iban }.encode_to_vec();
        let method = part.method.parse().expect("a method");
        let answer = client.call(&CallSpec { method, metadata }, request.into()).await;
        answer.expect("an answer");
    }

    async fn inquiry(&self, client: &Client) {
        let request = AskProcedureRequest {
            procedure: self.procedure.id.clone(),
            subject: self.farmer("national_id"),
            inputs: [("iban".to_owned(), self.farmer("iban"))].into(),
            json: false,
        };
        let mut parts = client.ask_procedure(request, self.metadata()).await.expect("an answer");
        let mut ended = 0;
        while let Some(part) = parts.next().await.expect("a part") {
            ended += usize::from(part.end.is_some());
        }
        assert_eq!(ended, self.procedure.parts.len(), "every part has an end");
    }

    fn metadata(&self) -> CallMetadata {
        CallMetadata {
            case: Some("1404-771".parse().expect("a case")),
            clerk: Some("z.karimi".parse().expect("a clerk")),
            timeout: Some(Duration::from_secs(30)),
            ..CallMetadata::default()
        }
    }

    /// The same record by JSON, so often on one connection; curl's own.
    async fn json(&self, calls: usize) {
        let keys = &self.demo.json()["identities"][OFFICE];
        let file = |name: &str| self.demo.folder().join(keys[name].as_str().expect("a file"));
        let gateway = format!("https://{}", self.line.address());
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--fail", "--cacert"])
            .arg(self.demo.folder().join("pki/ca.crt"))
            .arg("--cert")
            .arg(file("cert"))
            .arg("--key")
            .arg(file("key"))
            .args(["-H", "chapar-purpose: loan.farm", "-H", "chapar-on-behalf-of: com/agri-bank"])
            .args(["-H", "chapar-case: 1404-771", "-H", "chapar-clerk: z.karimi", "--json"])
            .arg(format!("{{\"nationalId\":\"{}\"}}", self.farmer("national_id")))
            .args(vec![format!("{gateway}/civil.v1.CivilRegistry/GetPerson"); calls])
            .stdout(std::process::Stdio::null());
        let done = tokio::task::spawn_blocking(move || curl.status()).await;
        assert!(done.expect("a thread").expect("curl").success(), "curl has an answer");
    }
}

fn config(demo: &Demo, gateway: String) -> Config {
    let keys = &demo.json()["identities"][OFFICE];
    let file = |name: &str| demo.folder().join(keys[name].as_str().expect("a file"));
    let server_name = demo.json()["server_name"].as_str().expect("a name").to_owned();
    let ca = demo.folder().join("pki/ca.crt");
    Config { gateway, server_name, cert: file("cert"), key: file("key"), ca }
}

/// Every way of asking, once.
async fn round(office: &Office) -> Vec<(&'static str, Cost)> {
    let mut costs = Vec::new();
    let client = office.client();
    costs.push(("gRPC, one record, first", office.measured(office.single(&client, 0)).await));
    costs.push(("gRPC, one record, later", office.measured(office.single(&client, 0)).await));
    let in_turn = async {
        for part in 0..office.procedure.parts.len() {
            office.single(&client, part).await;
        }
    };
    costs.push(("gRPC, seven records in turn, later", office.measured(in_turn).await));
    let at_once = join_all((0..office.procedure.parts.len()).map(|part| office.single(&client, part)));
    costs.push(("gRPC, seven records at once, later", office.measured(at_once).await));
    let client = office.client();
    costs.push(("gRPC, one inquiry of seven, first", office.measured(office.inquiry(&client)).await));
    costs.push(("gRPC, one inquiry of seven, later", office.measured(office.inquiry(&client)).await));
    let first = office.measured(office.json(1)).await;
    let both = office.measured(office.json(2)).await;
    costs.push(("JSON by curl, one record, first", first));
    let later = Cost {
        up: both.up.saturating_sub(first.up),
        down: both.down.saturating_sub(first.down),
        took: both.took.saturating_sub(first.took),
    };
    costs.push(("JSON by curl, one record, later", later));
    costs
}

#[tokio::main]
async fn main() {
    let rounds = std::env::args().nth(1).map_or(3, |text| text.parse().expect("a number of rounds"));
    let office = Office::open().await;
    let mut all = Vec::new();
    for _ in 0..rounds {
        all.push(round(&office).await);
        // The office's grants have rates.
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    let median = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or_default()
    };
    println!("| | bytes up | bytes down | seconds |\n|---|--:|--:|--:|");
    let names: Vec<&str> =
        all.first().into_iter().flat_map(|round| round.iter().map(|(name, _)| *name)).collect();
    for (row, name) in names.into_iter().enumerate() {
        let of = |cost: fn(&Cost) -> f64| median(all.iter().map(|round| cost(&round[row].1)).collect());
        let (up, down) = (of(|cost| cost.up as f64), of(|cost| cost.down as f64));
        println!("| {name} | {up:.0} | {down:.0} | {:.2} |", of(|cost| cost.took.as_secs_f64()));
    }
}

//! Tests of `chapar console` without a browser: which pages there are, what they count, and whom they answer.
//! `tests/foreign/node/console.mjs` opens them in Chromium.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use chapar_tests::binary::{Demo, chapar};
use chapar_tests::until_some;

struct Console {
    child: Child,
    address: String,
}

impl Console {
    fn start(demo: &Demo) -> Self {
        let mut child = Command::new(chapar())
            .args(["console", "--listen", "127.0.0.1:0", "--demo"])
            .arg(demo.folder())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut url = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
        let address = url.trim().strip_prefix("http://").and_then(|url| url.strip_suffix('/'));
        Self { child, address: address.unwrap_or_else(|| panic!("{url}")).to_owned() }
    }

    fn ask(&self, method: &str, path: &str, headers: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(stream, "{method} {path} HTTP/1.1\r\nconnection: close\r\n{headers}\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        (answer[9..12].parse().unwrap(), answer)
    }

    fn get(&self, path: &str) -> (u16, String) {
        self.ask("GET", path, &format!("host: {}\r\n", self.address))
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn json(demo: &Demo, arguments: &[&str]) -> serde_json::Value {
    let output = Command::new(chapar())
        .args(arguments)
        .args(["--output", "json", "--demo"])
        .arg(demo.folder())
        .output();
    serde_json::from_slice(&output.unwrap().stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pages_show_the_demos_calls_and_the_numbers_of_status() {
    let demo = Demo::start(&["--people", "20"]);
    let console = Console::start(&demo);
    // The story's refused call for a purpose without a grant is among the last ones.
    let limit = Duration::from_secs(30);
    let page = until_some(
        "the story's calls",
        limit,
        async || {
            Some(console.get("/traces?outcome=PURPOSE_NOT_GRANTED").1)
                .filter(|page| page.contains("office/khorramabad-12/counter"))
        },
        String::new,
    );
    assert!(!page.await.contains(">OK<"), "only what was asked for is shown");
    let calls = json(&demo, &["traces", "--outcome", "OK", "--limit", "1"]);
    let (trace, call) = (&calls["calls"][0]["trace_id"], &calls["calls"][0]["call_id"]);
    for id in [trace, call] {
        let (code, page) = console.get(&format!("/traces/{}", id.as_str().unwrap()));
        assert!(code == 200 && page.contains("<svg") && page.contains("chapar.call.id"), "{page}");
    }
    assert_eq!(console.get("/traces/no-such-trace").0, 404);
    assert_eq!(console.get("/no-such-page").0, 404);

    // A grant that nobody uses any more: its numbers stand still.
    let status = json(&demo, &["status"]);
    let grants = status["gateways"][0]["grants"].as_array().unwrap();
    let (code, page) = console.get("/grants");
    assert_eq!(code, 200);
    for grant in grants {
        let row = page.split("<tr>").find(|row| row.contains(grant["id"].as_str().unwrap())).unwrap();
        let admitted = format!("<td>{}</td>", grant["admitted"].as_str().unwrap());
        assert!(row.contains(&admitted), "{grant} in {row}");
    }
    let (_, persian) = console.get("/?lang=fa");
    assert!(persian.contains("<html lang=\"fa\" dir=\"rtl\">") && persian.contains("ثبت احوال"), "{persian}");
    assert!(persian.contains("href=\"/traces?lang=fa\""), "links keep the language");
    assert!(console.get("/?live=1").1.contains("http-equiv=\"refresh\""));
    let national_id = demo.json()["sample"][0]["national_id"].as_str().unwrap();
    for path in ["/", "/traces", "/grants"] {
        assert!(!console.get(path).1.contains(national_id), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_but_this_machines_browser_is_answered_and_nothing_is_changed() {
    let demo = Demo::start(&["--people", "20"]);
    let console = Console::start(&demo);
    let own = format!("host: {}\r\n", console.address);
    for headers in [
        "host: evil.example\r\n".to_owned(),
        format!("{own}origin: http://evil.example\r\n"),
        own.clone() + &own,
    ] {
        assert_eq!(console.ask("GET", "/", &headers).0, 403, "{headers}");
    }
    assert_eq!(console.ask("POST", "/traces", &own).0, 405);
    let (code, page) = console.get("/traces?at_least=soon");
    assert!(code == 400 && page.contains("whole number of milliseconds"), "{page}");
    let (code, page) = console.get("/traces?caller=%3Cscript%3Ealert(1)%3C/script%3E");
    assert!(code == 200 && !page.contains("<script") && page.contains("default-src 'none'"), "{page}");

    let output = Command::new(chapar())
        .args(["console", "--listen", "0.0.0.0:0", "--demo"])
        .arg(demo.folder())
        .output();
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && said.contains("listens on loopback"), "{said}");
}

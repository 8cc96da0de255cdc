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
        let row = page
            .split("<tr>")
            .find(|row| row.contains(&format!(">{}<", grant["id"].as_str().unwrap())))
            .unwrap();
        let admitted = format!("<td>{}</td>", grant["admitted"].as_str().unwrap());
        assert!(row.contains(&admitted), "{grant} in {row}");
    }
    let (_, persian) = console.get("/?lang=fa");
    assert!(persian.contains("<html lang=\"fa\" dir=\"rtl\">") && persian.contains("ثبت احوال"), "{persian}");
    assert!(persian.contains("href=\"/traces?lang=fa\""), "links keep the language");
    assert!(console.get("/?live=1").1.contains("http-equiv=\"refresh\""));
    let national_id = demo.json()["sample"][0]["national_id"].as_str().unwrap();
    // Each call of the story about this citizen, with all that its spans hold.
    let traces = json(&demo, &["traces", "--limit", "40"]);
    let about: Vec<String> = traces["calls"]
        .as_array()
        .unwrap()
        .iter()
        .map(|call| format!("/traces/{}", call["call_id"].as_str().unwrap()))
        .collect();
    assert!(about.len() > 10, "{about:?}");
    for path in about.iter().map(String::as_str).chain(["/", "/traces", "/grants"]) {
        let (code, page) = console.get(path);
        assert!(code == 200 && !page.contains(national_id), "{path}");
    }
    let (_, page) = console.get(&format!("{}?lang=fa&live=1", about[0]));
    assert!(
        page.contains(&format!("href=\"{}?lang=en&amp;live=1\"", about[0])),
        "the other language of the same page: {page}"
    );
    let (_, page) = console.get("/traces?outcome=refused&lang=en");
    assert!(page.contains("href=\"/traces?outcome=refused&amp;lang=fa\""), "the filter stays: {page}");
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
    let of_page = |site: &str, mode: &str, to: &str| {
        let fetch =
            format!("{own}sec-fetch-site: {site}\r\nsec-fetch-mode: {mode}\r\nsec-fetch-dest: {to}\r\n");
        console.ask("GET", "/grants", &fetch).0
    };
    assert_eq!(of_page("cross-site", "no-cors", "image"), 403);
    assert_eq!(of_page("same-site", "navigate", "iframe"), 403);
    assert_eq!(of_page("cross-site", "navigate", "document"), 200, "a link to it is followed");
    assert_eq!(of_page("same-origin", "no-cors", "style"), 200);
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

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_followed_as_they_end_and_each_is_shown_once() {
    let demo = Demo::start(&["--people", "20"]);
    let mut following = Command::new(chapar())
        .args([
            "traces",
            "--follow",
            "--for",
            "1",
            "--outcome",
            "PURPOSE_NOT_GRANTED",
            "--output",
            "json",
            "--demo",
        ])
        .arg(demo.folder())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(following.stdout.take().unwrap()).lines();
    let (send, mut shown) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| drop(send.send(line))));

    // Calls go on until the first is shown: what has ended before the command's first look is not.
    let mut made = Vec::new();
    let first = loop {
        let output = Command::new(chapar())
            .args([
                "call",
                "civil.v1.CivilRegistry/GetPerson",
                "national_id=0499370899",
                "--purpose",
                "loan.farm",
            ])
            .args(["--case", "1404-771", "--clerk", "z.karimi", "--as", "gov/welfare/benefits", "--demo"])
            .arg(demo.folder())
            .output()
            .unwrap();
        made.push(String::from_utf8_lossy(&output.stderr).into_owned());
        assert!(made.len() < 20, "nothing is shown: {made:?}");
        if let Ok(line) = tokio::time::timeout(Duration::from_millis(1500), shown.recv()).await {
            break line.unwrap();
        }
    };
    let call: serde_json::Value = serde_json::from_str(&first).unwrap();
    assert_eq!(
        (call["caller"].as_str(), call["outcome"].as_str()),
        (Some("gov/welfare/benefits"), Some("PURPOSE_NOT_GRANTED"))
    );
    let id = call["call_id"].as_str().unwrap();
    assert!(made.iter().any(|said| said.contains(id)), "{id} in {made:?}");
    tokio::time::sleep(Duration::from_millis(2500)).await;
    while let Ok(line) = shown.try_recv() {
        assert!(!line.contains(id), "shown twice");
    }
    Command::new("kill").args(["-TERM", &following.id().to_string()]).status().unwrap();
    assert_eq!(following.wait().unwrap().code(), Some(0));
}

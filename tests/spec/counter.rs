//! Tests of the counter office's page, by browsers without scripts: sign-in, the form, the answer, and what
//! the page refuses. The list of attacks is OWASP's (Session Management, CSRF Prevention and Authentication
//! Cheat Sheets).

use std::process::{Command, Stdio};
use std::time::Duration;

use chapar_tests::binary::{Demo, chapar};
use chapar_tests::curl::CurlAnswer;
use chapar_tests::office::{Office, PASSWORD, hidden};
use chapar_tests::people::{NOBODY, ZAHRA};
use chapar_tests::procedure::LOANS;
use chapar_tests::{Agency, Bus};
use serde_json::json;

/// Zahra's day of birth, in the three boxes of a form.
const BIRTH: [(&str, &str); 3] =
    [("input-birth_date-year", "1361"), ("input-birth_date-month", "6"), ("input-birth_date-day", "15")];

async fn office() -> (Bus, Office) {
    let bus = Bus::start().await;
    bus.add_procedure().await;
    let office = Office::beside(&bus, LOANS).await;
    (bus, office)
}

fn about<'a>(subject: &'a str, case: &'a str) -> Vec<(&'a str, &'a str)> {
    [&[("subject", subject), ("case", case)], &BIRTH[..]].concat()
}

/// Where a redirect leads.
fn location(answer: &CurlAnswer) -> &str {
    assert_eq!(answer.status, 303, "{}", answer.text());
    &answer.headers["location"]
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inquiry_is_asked_once_by_the_clerk_who_signed_in() {
    let (bus, office) = office().await;
    let browser = office.signed_in("z.karimi");
    assert!(browser.get("/fa/").text().contains("وام کشاورزی"));

    let asked =
        browser.ask("farm-loan", &[about(ZAHRA, "1404-771"), vec![("clerk", "someone.else")]].concat());
    let path = location(&asked).to_owned();
    for _reload in 0..3 {
        let page = browser.get(&path).text();
        assert!(page.contains("<bdi>زهرا</bdi>") && page.contains("ثبت احوال"), "{page}");
        assert!(page.contains("همخوان است</dt><dd><bdi>بله</bdi>"), "{page}");
        // The grant gives two fields of a person; what it withholds is named in the contract's words.
        assert!(page.contains("داده نمی‌شود") && page.contains("نام پدر"), "{page}");
        // Both parts have their receipt.
        assert_eq!(page.matches("رسید: ").count(), 2, "{page}");
    }
    let records = bus.records().await;
    assert_eq!(records.len(), 2, "three views asked nothing again");
    assert!(records.iter().all(|record| record.purpose == "loan.farm"), "{records:?}");
    let clerks: Vec<_> = records.iter().map(|record| record.clerk.to_string()).collect();
    assert_eq!(clerks, ["z.karimi", "z.karimi"], "from the session, and not from the form");

    let today = browser.get("/fa/today").text();
    assert!(today.contains(&path) && today.contains("۱۴۰۴-۷۷۱") && today.contains("۲/۲"), "{today}");
    assert!(
        !today.contains("<bdi>زهرا</bdi>") && !today.contains("۴۰۶۱۲۳۴۵۶۰"),
        "no citizen is in the list: {today}"
    );
    let english = browser.get(&path.replace("/fa/", "/en/")).text();
    assert!(
        english.contains("<html lang=\"en\" dir=\"ltr\">") && english.contains("Withheld from this office"),
        "{english}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_that_is_sent_twice_counts_once() {
    let (bus, office) = office().await;
    let browser = office.signed_in("z.karimi");
    let form = browser.get("/fa/procedures/farm-loan").text();
    let hidden_fields = [("form", hidden(&form, "form")), ("inquiry", hidden(&form, "inquiry"))];
    let fields = [&hidden_fields, &about(ZAHRA, "")[..]].concat();
    let path = "/fa/procedures/farm-loan";
    // A double click: the second is sent while the first is on its way.
    let both: Vec<CurlAnswer> = std::thread::scope(|scope| {
        let clicks = [(); 2].map(|()| scope.spawn(|| browser.post(path, &fields, &[])));
        clicks.into_iter().map(|click| click.join().unwrap()).collect()
    });
    assert_eq!(location(&both[0]), location(&both[1]));
    assert_eq!(bus.records().await.len(), 2, "one call for each part");
    // A form that was opened anew, since its line was cut.
    for spelling in [ZAHRA, "406 123 4560", "406-123456-0"] {
        let again = browser.ask("farm-loan", &about(spelling, ""));
        assert_eq!(location(&again), location(&both[0]), "{spelling}");
    }
    assert_eq!(bus.records().await.len(), 2);
    // "Back", another citizen, and "send": another inquiry.
    let other = [&hidden_fields, &about(NOBODY, "")[..]].concat();
    let other = browser.post(path, &other, &[]);
    assert_ne!(location(&other), location(&both[0]));
    let page = browser.get(location(&other)).text();
    assert!(page.contains("این دستگاه پرونده‌ای با این شماره ملی ندارد"), "{page}");
    assert!(page.contains("RECORD_NOT_FOUND") && page.contains("پرسیده نشد"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_is_cut_loses_no_answer_and_asks_nothing_twice() {
    let person = json!({"nationalId": ZAHRA, "givenName": "زهرا", "familyName": "کریمی"});
    let (agency, gate) = Agency::answering(person).gated();
    let seen = agency.seen();
    let bus = Bus::builder().agency(agency).start().await;
    bus.add_procedure().await;
    let office = Office::beside(&bus, LOANS).await;
    let browser = office.signed_in("z.karimi");
    let form = browser.get("/fa/procedures/farm-loan").text();
    let hidden_fields = [("form", hidden(&form, "form")), ("inquiry", hidden(&form, "inquiry"))];
    let fields = [&hidden_fields, &about(ZAHRA, "")[..]].concat();
    let mut sent = browser.begin_post("/fa/procedures/farm-loan", &fields);
    gate.call_has_come().await;
    sent.kill().unwrap();
    sent.wait().unwrap();
    // The page learns that its browser is gone.
    tokio::time::sleep(Duration::from_millis(100)).await;
    gate.open();
    let page = browser.get(location(&browser.post("/fa/procedures/farm-loan", &fields, &[]))).text();
    assert!(page.contains("<bdi>کریمی</bdi>"), "{page}");
    assert_eq!(seen.count_of("/civil.v1.CivilRegistry/GetPerson"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn digits_of_every_script_are_read_and_a_fault_is_told_beside_its_field() {
    let (bus, office) = office().await;
    let browser = office.signed_in("z.karimi");
    for (subject, case) in [("۴۰۶۱۲۳۴۵۶۰", "1"), ("٤٠٦١٢٣٤٥٦٠", "2"), (" 4061234560 ", "3")]
    {
        location(&browser.ask("farm-loan", &about(subject, case)));
    }
    assert_eq!(bus.records().await.len(), 6);
    for (subject, case, fault) in [
        ("4061234561", "", "subject"),
        ("406123456", "", "subject"),
        ("", "", "subject"),
        (ZAHRA, "پرونده", "case"),
        ("1111111111", "a b", "subject"),
    ] {
        let answer = browser.ask("farm-loan", &about(subject, case));
        let page = answer.text();
        assert_eq!(answer.status, 422, "{subject}");
        assert!(page.contains("<title>خطا: "), "{page}");
        assert!(page.contains(&format!("href=\"#{fault}\"")), "{page}");
        assert!(page.contains(&format!("id=\"{fault}-fault\"")), "{page}");
    }
    let mut no_day = about(ZAHRA, "");
    no_day.retain(|(name, _)| !name.ends_with("-day"));
    let answer = browser.ask("farm-loan", &no_day);
    assert!(answer.status == 422 && answer.text().contains("href=\"#input-birth_date\""));
    assert_eq!(bus.records().await.len(), 6, "a form with a fault asks nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_typed_is_shown_as_text() {
    let (_bus, office) = office().await;
    let browser = office.signed_in("z.karimi");
    assert!(browser.get("/fa/").text().contains("زهرا &lt;b&gt;کریمی"), "a clerk's name is text");
    let answer = browser.ask("farm-loan", &about("\"><script>alert(1)</script>", "\u{202e}1"));
    let page = answer.text();
    assert!(page.contains("&quot;&gt;&lt;script&gt;") && !page.contains("<script"), "{page}");
    let page = office.browser().post("/fa/sign-in", &[("id", "\"><img>"), ("password", "x")], &[]).text();
    assert!(!page.contains("<img"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_sees_a_page_without_a_session_or_another_clerks_answer() {
    let (bus, office) = office().await;
    let browser = office.signed_in("z.karimi");
    let path = location(&browser.ask("farm-loan", &about(ZAHRA, ""))).to_owned();
    for page in ["/fa/", "/fa/today", "/fa/procedures/farm-loan", &path] {
        assert_eq!(location(&office.browser().get(page)), "/fa/sign-in", "{page}");
    }
    let other = office.signed_in("a.ahmadi");
    let answer = other.get(&path);
    assert!(answer.status == 404 && !answer.text().contains("<bdi>زهرا</bdi>"), "{}", answer.text());
    assert!(!other.get("/fa/today").text().contains(&path));
    // Whoever has signed out is out, with the old cookie too.
    let session = browser.session_cookie();
    let form = hidden(&browser.get("/fa/").text(), "form").to_owned();
    assert_eq!(location(&browser.post("/fa/sign-out", &[("form", &form)], &[])), "/fa/sign-in");
    let fields = [&[("form", form.as_str())], &about(ZAHRA, "")[..]].concat();
    let cookie = format!("Cookie: {session}");
    let old = office.browser().post("/fa/procedures/farm-loan", &fields, &["-H", &cookie]);
    assert_eq!(location(&old), "/fa/sign-in");
    assert_eq!(location(&browser.get(&path)), "/fa/sign-in");
    assert_eq!(bus.records().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_of_another_page_is_refused() {
    let (bus, office) = office().await;
    let browser = office.signed_in("z.karimi");
    let form = browser.get("/fa/procedures/farm-loan").text();
    let token = hidden(&form, "form").to_owned();
    let others = office.signed_in("a.ahmadi").get("/fa/").text();
    let path = "/fa/procedures/farm-loan";
    let with_token = |token: &str, more: &[&str]| {
        browser.post(path, &[&[("form", token)], &about(ZAHRA, "")[..]].concat(), more)
    };
    assert_eq!(with_token("", &[]).status, 403);
    assert_eq!(with_token(hidden(&others, "form"), &[]).status, 403, "another session's");
    assert_eq!(browser.post(path, &about(ZAHRA, ""), &[]).status, 403);
    assert_eq!(with_token(&token, &["-H", "Origin: https://evil.example"]).status, 403);
    assert_eq!(with_token(&token, &["-H", "Sec-Fetch-Site: cross-site"]).status, 403);
    // Two values of one name are two forms to two readers.
    let twice = [("form", token.as_str()), ("subject", ZAHRA), ("subject", NOBODY)];
    assert_eq!(browser.post(path, &twice, &[]).status, 403);
    let long = "1".repeat(20_000);
    let long = browser.post("/en/procedures/farm-loan", &[("form", &token), ("subject", &long)], &[]);
    assert!(long.status == 413 && long.text().contains("A form has 16 KiB at most"), "{}", long.text());
    assert!(bus.records().await.is_empty());
    // What a browser sends of a page that hides where it comes from, and so may any other page.
    assert_eq!(with_token(&token, &["-H", "Origin: null"]).status, 403);
    let own = ["-H", "Sec-Fetch-Site: same-origin"];
    assert_eq!(with_token(&token, &own).status, 303);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_forbids_frames_scripts_and_caches() {
    let (_bus, office) = office().await;
    let browser = office.signed_in("z.karimi");
    let answer = location(&browser.ask("farm-loan", &about(ZAHRA, ""))).to_owned();
    let mut pages = vec![("/en/sign-in", office.browser().get("/en/sign-in"))];
    for path in ["/fa/", &answer, "/fa/no-such", "/fa/today", "/fa/procedures/farm-loan", "/fa/sign-out"] {
        pages.push((path, browser.get(path)));
    }
    for (path, page) in pages {
        assert!(page.text().starts_with("<!DOCTYPE html>"), "{path}: {}", page.status);
        let policy = &page.headers["content-security-policy"];
        assert!(policy.starts_with("default-src 'none'"), "{path}");
        assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{path}");
        assert_eq!(page.headers["cache-control"], "no-store", "{path}");
        assert_eq!(page.headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(page.headers["referrer-policy"], "same-origin", "{path}");
        assert!(!page.text().contains("<script") && !page.text().contains(" style="), "{path}");
    }
    let sign_in = office.browser();
    let answer = sign_in.post("/fa/sign-in", &[("id", "z.karimi"), ("password", PASSWORD)], &[]);
    let cookie = &answer.headers["set-cookie"];
    for attribute in ["__Host-", "Secure", "HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_guesses_passwords_waits_and_learns_no_clerk() {
    let (_bus, office) = office().await;
    let browser = office.browser();
    let guess =
        |id: &str, password: &str| browser.post("/fa/sign-in", &[("id", id), ("password", password)], &[]);
    let [known, unknown] = ["z.karimi", "x.karimi"].map(|id| guess(id, "wrong password"));
    assert_eq!((known.status, unknown.status), (422, 422));
    assert_eq!(known.text().replace("z.karimi", ""), unknown.text().replace("x.karimi", ""));
    assert_eq!(known.headers.len(), unknown.headers.len());
    for id in ["z.karimi", "x.karimi"] {
        assert_eq!((guess(id, "wrong").status, guess(id, "wrong").status), (422, 422), "{id}");
        // In any case of letters: it is one clerk.
        let refused = guess(&id.to_uppercase(), PASSWORD);
        assert_eq!(refused.status, 429, "{id}");
        let wait: u64 = refused.headers["retry-after"].parse().unwrap();
        assert!((1..=5).contains(&wait), "{wait}");
    }
    assert_eq!(guess("z.karimi", PASSWORD).status, 429, "the right password waits too");
    assert_eq!(guess("a.ahmadi", PASSWORD).status, 303, "nobody else waits");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clerk_who_is_taken_out_of_the_file_cannot_sign_in() {
    let (_bus, office) = office().await;
    let file = office.folder().join("clerks.toml");
    let clerks = std::fs::read_to_string(&file).unwrap();
    let (first, _second) = clerks.rsplit_once("[[clerk]]").unwrap();
    std::fs::write(&file, first).unwrap();
    let sign_in =
        |id: &str| office.browser().post("/fa/sign-in", &[("id", id), ("password", PASSWORD)], &[]).status;
    assert_eq!((sign_in("z.karimi"), sign_in("a.ahmadi")), (303, 422));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_false_is_told_and_not_left_out() {
    let (_bus, office) = office().await;
    let mut other_day = about(ZAHRA, "");
    other_day.retain(|(name, _)| !name.ends_with("-day"));
    other_day.push(("input-birth_date-day", "16"));
    let browser = office.signed_in("z.karimi");
    let page = browser.get(location(&browser.ask("farm-loan", &other_day))).text();
    assert!(page.contains("همخوان است</dt><dd><bdi>خیر</bdi>"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_gateway_the_page_says_that_nothing_was_asked_and_shows_what_was_answered() {
    let (bus, office) = office().await;
    let browser = office.signed_in("z.karimi");
    let answer = location(&browser.ask("farm-loan", &about(ZAHRA, "1404-771"))).to_owned();
    let other = office.signed_in("a.ahmadi");
    drop(bus);
    let page = browser.get(&answer);
    assert!(page.status == 200 && page.text().contains("<bdi>زهرا</bdi>"), "{}", page.text());
    let today = browser.get("/fa/today").text();
    assert!(today.contains(&answer) && today.contains("وام کشاورزی"), "{today}");
    // Other pages have asked the gateway within a minute; what is asked of it now fails.
    let failed = other.ask("farm-loan", &about(ZAHRA, ""));
    let text = failed.text();
    assert!(failed.status == 503 && text.contains("دو بار شمرده نمی‌شود"), "{text}");
    assert!(text.contains(&format!("value=\"{ZAHRA}\"")), "the form comes back as it was typed: {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_never_reached_its_gateway_says_so() {
    let bus = Bus::start().await;
    let office = Office::beside(&bus, LOANS).await;
    drop(bus);
    let page = office.signed_in("z.karimi").get("/fa/");
    assert!(page.status == 503 && page.text().contains("گذرگاه پاسخ نمی‌دهد"), "{}", page.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inquiry_that_the_gateway_refuses_is_told_in_its_words() {
    let (bus, office) = office().await;
    let browser = office.signed_in("z.karimi");
    let form = browser.get("/fa/procedures/farm-loan").text();
    let hidden_fields = [("form", hidden(&form, "form")), ("inquiry", hidden(&form, "inquiry"))];
    std::fs::remove_file(bus.folder().join("registry/procedures/farm-loan.toml")).unwrap();
    bus.reload().await;
    let fields = [&hidden_fields, &about(ZAHRA, "")[..]].concat();
    let refused = browser.post("/fa/procedures/farm-loan", &fields, &[]);
    let page = refused.text();
    assert_eq!(refused.status, 404, "{page}");
    assert!(
        page.contains("PROCEDURE_UNKNOWN")
            && page.contains("دیگر در فهرست دفتر نیست")
            && !page.contains("گذرگاه پاسخ نداد"),
        "{page}"
    );
    assert!(bus.records().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn tries_at_once_guess_no_more_than_tries_in_a_row() {
    let (_bus, office) = office().await;
    let guesses = [("id", "z.karimi"), ("password", "wrong password")];
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let tries = [(); 12].map(|()| scope.spawn(|| office.browser().post("/fa/sign-in", &guesses, &[])));
        tries.into_iter().map(|tried| tried.join().unwrap().status).collect()
    });
    assert_eq!(statuses.iter().filter(|&&status| status == 422).count(), 3, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|&&status| status == 429).count(), 9, "{statuses:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn clerks_that_cannot_be_read_are_told_as_such() {
    let (_bus, office) = office().await;
    std::fs::write(office.folder().join("clerks.toml"), "[[clerk]]\nid = 1\n").unwrap();
    let fields = [("id", "z.karimi"), ("password", PASSWORD)];
    let answer = office.browser().post("/en/sign-in", &fields, &[]);
    assert!(answer.status == 500 && answer.text().contains("Nobody can sign in"), "{}", answer.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clerk_who_signs_in_ends_the_session_that_the_browser_had() {
    let (_bus, office) = office().await;
    let browser = office.signed_in("z.karimi");
    let old = browser.session_cookie();
    let again = [("id", "a.ahmadi"), ("password", PASSWORD)];
    assert_eq!(browser.post("/fa/sign-in", &again, &[]).status, 303);
    let answer = office.browser().get_with("/fa/", &["-H", &format!("Cookie: {old}")]);
    assert_eq!(location(&answer), "/fa/sign-in");
    assert_eq!(browser.get("/fa/").status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tutorial_for_clerks_quotes_the_page() {
    let (_bus, office) = office().await;
    let browser = office.browser();
    let mut pages = browser.get("/fa/sign-in").text();
    let guess = [("id", "a.ahmadi"), ("password", "wrong password")];
    (0..5).for_each(|_| pages += &browser.post("/fa/sign-in", &guess, &[]).text());
    let browser = office.signed_in("z.karimi");
    ["/fa/", "/fa/procedures/farm-loan"].iter().for_each(|path| pages += &browser.get(path).text());
    pages += &browser.ask("farm-loan", &about("1", "")).text();
    for subject in [ZAHRA, NOBODY] {
        pages += &browser.get(location(&browser.ask("farm-loan", &about(subject, "")))).text();
    }
    let tutorial = chapar_tests::repository().join("docs/tutorial/a-day-at-the-counter.md");
    let tutorial = std::fs::read_to_string(tutorial).unwrap();
    let quoted = tutorial.split('`').skip(1).step_by(2);
    let quoted: Vec<&str> = quoted.filter(|text| !text.starts_with("chapar") && *text != "قاب").collect();
    assert!(quoted.len() >= 25, "{quoted:?}");
    for text in quoted {
        assert!(pages.contains(text), "the page does not say `{text}`");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_small_enough_for_a_poor_line() {
    let (_bus, office) = office().await;
    let browser = office.signed_in("z.karimi");
    let form = browser.get("/fa/procedures/farm-loan");
    let style = form.text().split("href=\"/style").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let style = browser.get(&format!("/style{style}"));
    assert!(style.headers["cache-control"].contains("immutable"));
    let first = form.body.len() + style.body.len() + office.browser().get("/fa/sign-in").body.len();
    assert!(first <= 40 << 10, "the first visit has {first} bytes");
    let answer = location(&browser.ask("farm-loan", &about(ZAHRA, ""))).to_owned();
    let plain = browser.get(&answer);
    assert!(plain.body.len() <= 6 << 10, "an answer has {} bytes", plain.body.len());
    let packed = browser.get_with(&answer, &["-H", "Accept-Encoding: gzip"]);
    assert_eq!(packed.headers["content-encoding"], "gzip");
    assert!(packed.body.len() <= 3 << 10, "packed it has {} bytes", packed.body.len());
}

#[test]
fn the_demo_has_a_page_and_a_clerk_who_can_sign_in() {
    let demo = Demo::start(&["--people", "100"]);
    let page = &demo.json()["counter"];
    let text = |name: &str| page[name].as_str().unwrap();
    let password = std::fs::read_to_string(demo.folder().join(text("password_file"))).unwrap();
    let answer = Command::new("curl")
        .args(["-sS", "-i", "--cacert"])
        .arg(demo.folder().join(text("ca")))
        .args(["--data-urlencode", &format!("id={}", text("clerk"))])
        .args(["--data-urlencode", &format!("password={}", password.trim_end())])
        .arg(format!("{}fa/sign-in", text("url")))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&answer.stdout);
    assert!(said.contains(" 303") && said.contains("__Host-chapar-counter="), "{said}");
    let checked = Command::new(chapar())
        .args(["counter", "--check", "-c"])
        .arg(demo.folder().join("counter.toml"))
        .output();
    assert_eq!(checked.unwrap().status.code(), Some(0));
}

#[test]
fn the_command_hashes_a_password_and_names_what_is_wrong_with_a_file() {
    let hash = |password: &str| {
        let mut child = Command::new(chapar())
            .args(["counter", "hash"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), password.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (code, one, _) = hash("correct horse battery\n");
    let (_, other, _) = hash("correct horse battery\n");
    assert!(code == Some(0) && one.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{one}");
    assert_ne!(one, other, "each has a salt of its own");
    let (code, _, said) = hash("short\n");
    assert!(code == Some(1) && said.contains("12 characters to 1024 bytes"), "{said}");
    assert!(!said.contains("short"), "{said}");

    let check = |arguments: &[&str]| {
        let output = Command::new(chapar()).arg("counter").args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(check(&[]).0, Some(2));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("counter.toml");
    std::fs::write(&file, "[counter]\nlisten = \"here\"\n").unwrap();
    let (code, said) = check(&["--check", "-c", file.to_str().unwrap()]);
    assert!(
        code == Some(1) && said.contains("counter.toml") && said.contains("invalid socket address"),
        "{said}"
    );
}

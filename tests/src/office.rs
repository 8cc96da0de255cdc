//! `Office` is a counter office: its web page beside a bus, and browsers of its clerks. A browser is the
//! program `curl` with a jar of cookies; it runs no script, and the page needs none.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use chapar_counter::{Config, Counter};
use chapar_model::Clock;
use tempfile::{NamedTempFile, TempDir};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::curl::CurlAnswer;
use crate::{Bus, Certificate};

/// The password of every clerk.
pub const PASSWORD: &str = "correct horse battery";

/// A page that runs until it is dropped.
pub struct Office {
    folder: TempDir,
    ca: PathBuf,
    address: SocketAddr,
    _stop: DropGuard,
}

impl Office {
    /// The page of a subsystem, with two clerks: `z.karimi` and `a.ahmadi`.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn beside(bus: &Bus, subsystem: &str) -> Self {
        bus.issue(&Certificate::of(subsystem), "office");
        let pki = bus.folder().join("pki");
        let folder = tempfile::tempdir().expect("a folder");
        let hash = chapar_counter::hash_password(PASSWORD).expect("a hash");
        let clerk = |id: &str, name: &str| {
            format!("[[clerk]]\nid = \"{id}\"\nname = \"{name}\"\npassword = \"{hash}\"\n")
        };
        let clerks = folder.path().join("clerks.toml");
        let both = clerk("z.karimi", "زهرا <b>کریمی") + &clerk("a.ahmadi", "A. Ahmadi");
        std::fs::write(&clerks, both).expect("a file");
        std::fs::set_permissions(&clerks, std::fs::Permissions::from_mode(0o600)).expect("its permissions");
        let settings = format!(
            "[counter]\nlisten = \"127.0.0.1:0\"\ncert = \"{pki}/office.crt\"\nkey = \"{pki}/office.key\"\n\
             clerks = \"clerks.toml\"\n\n[gateway]\naddress = \"{gateway}\"\n\
             server_name = \"gateway.lorestan.example\"\ncert = \"{pki}/office.crt\"\n\
             key = \"{pki}/office.key\"\nca = \"{pki}/ca.crt\"\n",
            pki = pki.display(),
            gateway = bus.address(),
        );
        let file = folder.path().join("counter.toml");
        std::fs::write(&file, settings).expect("a file");
        let config = Config::load(&file).expect("good settings");
        let counter = Counter::bind(config, Clock::system()).await.expect("the page starts");
        // A copy, since a test may end the bus before the page.
        let ca = folder.path().join("ca.crt");
        std::fs::copy(pki.join("ca.crt"), &ca).expect("a file");
        let address = counter.local_addr();
        let stop = CancellationToken::new();
        tokio::spawn(counter.run(stop.clone()));
        Self { folder, ca, address, _stop: stop.drop_guard() }
    }

    /// Its settings, clerks and nothing else.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A browser without cookies.
    ///
    /// # Panics
    /// If it has no file for them.
    pub fn browser(&self) -> Browser {
        let jar = NamedTempFile::new().expect("a file");
        Browser { ca: self.ca.clone(), address: self.address, jar }
    }

    /// A browser whose clerk has signed in.
    ///
    /// # Panics
    /// If they cannot.
    pub fn signed_in(&self, clerk: &str) -> Browser {
        let browser = self.browser();
        let answer = browser.post("/fa/sign-in", &[("id", clerk), ("password", PASSWORD)], &[]);
        assert_eq!((answer.status, answer.headers["location"].as_str()), (303, "/fa/"));
        browser
    }
}

/// A browser with its cookies. It follows no redirect by itself.
pub struct Browser {
    ca: PathBuf,
    address: SocketAddr,
    jar: NamedTempFile,
}

impl Browser {
    /// Opens a page.
    pub fn get(&self, path: &str) -> CurlAnswer {
        self.curl(path, &[])
    }

    /// Opens a page, with more arguments for curl.
    pub fn get_with(&self, path: &str, more: &[&str]) -> CurlAnswer {
        self.curl(path, &more.iter().map(|&more| more.to_owned()).collect::<Vec<_>>())
    }

    /// Sends a form as browsers do, with more arguments for curl; a header among them stands in place of the
    /// browser's own.
    pub fn post(&self, path: &str, fields: &[(&str, &str)], more: &[&str]) -> CurlAnswer {
        let mut arguments = form(fields);
        if !more.iter().any(|more| more.starts_with("Origin:")) {
            arguments.extend(["-H", "Origin: https://localhost"].map(str::to_owned));
        }
        arguments.extend(more.iter().map(|&more| more.to_owned()));
        self.curl(path, &arguments)
    }

    /// Sends a form, and does not wait for the answer.
    ///
    /// # Panics
    /// If curl cannot be run.
    pub fn begin_post(&self, path: &str, fields: &[(&str, &str)]) -> Child {
        self.command(path, &form(fields)).stdout(Stdio::null()).spawn().expect("curl runs")
    }

    /// Opens the form of a procedure, fills it in and sends it.
    pub fn ask(&self, procedure: &str, fields: &[(&str, &str)]) -> CurlAnswer {
        let path = format!("/fa/procedures/{procedure}");
        let form = self.get(&path).text();
        let (token, inquiry) = (hidden(&form, "form"), hidden(&form, "inquiry"));
        self.post(&path, &[&[("form", token), ("inquiry", inquiry)], fields].concat(), &[])
    }

    /// The session's cookie, `NAME=ID`.
    ///
    /// # Panics
    /// If there is none.
    pub fn session_cookie(&self) -> String {
        const NAME: &str = "__Host-chapar-counter";
        let jar = std::fs::read_to_string(self.jar.path()).expect("a jar");
        let line = jar.lines().find(|line| line.contains(NAME)).expect("a session");
        format!("{NAME}={}", line.rsplit('\t').next().expect("its id"))
    }

    fn curl(&self, path: &str, arguments: &[String]) -> CurlAnswer {
        let output = self.command(path, arguments).output().expect("curl runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "curl {path}: {said}");
        CurlAnswer::parse(&output.stdout)
    }

    fn command(&self, path: &str, arguments: &[String]) -> Command {
        let mut command = Command::new("curl");
        command
            .args(["-sS", "-i", "--max-time", "30", "--connect-to", &format!("::{}", self.address)])
            .arg("--cacert")
            .arg(&self.ca)
            .arg("-b")
            .arg(self.jar.path())
            .arg("-c")
            .arg(self.jar.path())
            .args(arguments)
            .arg(format!("https://localhost{path}"))
            .stdin(Stdio::null());
        command
    }
}

/// The arguments of a form that is posted.
fn form(fields: &[(&str, &str)]) -> Vec<String> {
    let mut arguments = vec!["-X".to_owned(), "POST".to_owned()];
    for (name, value) in fields {
        arguments.extend(["--data-urlencode".to_owned(), format!("{name}={value}")]);
    }
    arguments
}

/// The value of a hidden field in a page.
///
/// # Panics
/// If the page has no such field.
pub fn hidden<'a>(page: &'a str, name: &str) -> &'a str {
    let before = format!("<input type=\"hidden\" name=\"{name}\" value=\"");
    let (_, rest) = page.rsplit_once(&before).unwrap_or_else(|| panic!("no field `{name}` in {page}"));
    rest.split_once('"').expect("its end").0
}

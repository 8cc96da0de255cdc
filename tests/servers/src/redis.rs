//! This module owns Redis: its settings, and its one server per test process.

use std::process::Command;
use std::sync::OnceLock;

use crate::supervised::Supervised;
use crate::{client, installed};

/// What the server logs once it accepts connections.
const READY: &str = "Ready to accept connections";

/// A Redis server that keeps nothing on disk: one that is killed or restarted begins empty.
#[derive(Debug)]
pub struct Redis {
    server: Supervised,
    options: Vec<String>,
    port: u16,
    password: Option<String>,
    ca: Option<String>,
}

impl Redis {
    /// The server that all tests of this process share, started at its first use. Each test has keys of its
    /// own.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Redis> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// Starts a server without TLS and without a password.
    pub fn start() -> Self {
        Self::of(Supervised::new(), Vec::new(), None, None)
    }

    /// Starts a server that wants this password of its default user.
    pub fn with_password(password: &str) -> Self {
        let options = vec!["--requirepass".to_owned(), password.to_owned()];
        Self::of(Supervised::new(), options, Some(password.to_owned()), None)
    }

    /// Starts a server with TLS alone: its certificate and key, and the authority that signs its clients'.
    pub fn with_tls(cert_pem: &str, key_pem: &str, ca_pem: &str) -> Self {
        let server = Supervised::new();
        let file = |name, pem| server.write(name, pem).display().to_string();
        let (cert, key) = (file("server.crt", cert_pem), file("server.key", key_pem));
        let ca = file("ca.crt", ca_pem);
        let options = ["--tls-cert-file", &cert, "--tls-key-file", &key, "--tls-ca-cert-file", &ca];
        let options = options.map(str::to_owned).to_vec();
        Self::of(server, options, None, Some(ca))
    }

    fn of(server: Supervised, options: Vec<String>, password: Option<String>, ca: Option<String>) -> Self {
        let port = server.launch(|port| command(&server, &options, ca.is_some(), port), READY);
        Self { server, options, port, password, ca }
    }

    /// The TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The server's process.
    pub fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// What the server answers to this line of `redis-cli`.
    #[track_caller]
    pub fn ask(&self, line: &str) -> String {
        let mut redis = Command::new(installed("/usr/bin/redis-cli"));
        redis.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "--no-auth-warning"]);
        if let Some(password) = &self.password {
            redis.args(["-a", password]);
        }
        if let Some(ca) = &self.ca {
            let at = |name: &str| self.server.folder().join(name).display().to_string();
            redis.args(["--tls", "--cacert", ca, "--cert", &at("server.crt"), "--key", &at("server.key")]);
        }
        client::answer(&mut redis, line)
    }

    /// Stops the server's process where it is, until [`Redis::go_on`]. Its connections stay open.
    pub fn stop_the_world(&self) {
        self.server.signal("STOP");
    }

    /// Lets the server's process go on.
    pub fn go_on(&self) {
        self.server.signal("CONT");
    }

    /// Kills the server's process.
    pub fn kill(&self) {
        self.server.signal("KILL");
    }

    /// Kills the server if it still runs and starts it again, empty, on the same port.
    pub fn restart(&self) {
        self.server.relaunch(&command(&self.server, &self.options, self.ca.is_some(), self.port), READY);
    }

    /// The server's log, from its first start.
    pub fn log(&self) -> String {
        self.server.log()
    }
}

fn command(server: &Supervised, options: &[String], is_tls: bool, port: u16) -> Vec<String> {
    let (plain, tls) = if is_tls { (0, port) } else { (port, 0) };
    let mut command = vec![installed("/usr/bin/redis-server").display().to_string()];
    let dir = server.folder().display().to_string();
    let (plain, tls) = (plain.to_string(), tls.to_string());
    let own = [
        "--bind",
        "127.0.0.1",
        "--port",
        &plain,
        "--tls-port",
        &tls,
        "--dir",
        &dir,
        "--save",
        "",
        "--appendonly",
        "no",
    ];
    command.extend(own.map(str::to_owned));
    command.extend(options.iter().cloned());
    command
}

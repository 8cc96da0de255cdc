//! This module owns MariaDB: its data folder, its settings and its one server per test process.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::supervised::Supervised;
use crate::{client, fresh, installed};

/// What the server logs once it accepts connections.
const READY: &str = "ready for connections";

/// Settings of every server, also while it makes its data folder. A crash of the machine may lose the data:
/// no one needs them then. A killed server has what it committed: the kernel gets it at each commit (2), and
/// not once a second (0).
const SETTINGS: [&str; 8] = [
    "debug-no-sync",
    "innodb-flush-method=nosync",
    "innodb-flush-log-at-trx-commit=2",
    "innodb-buffer-pool-size=32M",
    "innodb-log-file-size=8M",
    "innodb-use-native-aio=0",
    "skip-log-bin",
    "skip-name-resolve",
];

/// A MariaDB server.
///
/// `root` connects by the Unix socket alone, without a password. The server knows clients over TCP by their
/// address and not by a name: make users as `'name'@'127.0.0.1'` or `'name'@'%'`, with `REQUIRE SSL` or
/// `REQUIRE X509` for those who must use TLS or show a certificate.
#[derive(Debug)]
pub struct Mariadb {
    server: Supervised,
    options: Vec<String>,
    socket: PathBuf,
    port: u16,
}

impl Mariadb {
    /// The server that all tests of this process share, started at its first use.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Mariadb> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// Starts a server without TLS.
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// Starts a server without TLS and with these settings (`name=value`), which win over the harness's.
    pub fn with(options: &[&str]) -> Self {
        Self::of(Supervised::new(), options.iter().map(|&option| option.to_owned()).collect())
    }

    /// Starts a server with TLS: its certificate and key, the authority of its clients' certificates, and
    /// settings as in [`Mariadb::with`].
    pub fn with_tls(cert_pem: &str, key_pem: &str, client_ca_pem: &str, options: &[&str]) -> Self {
        let server = Supervised::new();
        let file = |name, pem| server.write(name, pem).display().to_string();
        let mut all = vec![
            format!("ssl-cert={}", file("server.crt", cert_pem)),
            format!("ssl-key={}", file("server.key", key_pem)),
            format!("ssl-ca={}", file("clients.crt", client_ca_pem)),
        ];
        all.extend(options.iter().map(|&option| option.to_owned()));
        Self::of(server, all)
    }

    fn of(server: Supervised, options: Vec<String>) -> Self {
        let socket = server.folder().join("socket");
        server.run(&install(server.folder()));
        let port = server.launch(|port| command(server.folder(), &options, port), READY);
        let mariadb = Self { server, options, socket, port };
        mariadb.sql("mysql", "DELETE FROM global_priv WHERE Host <> 'localhost'; FLUSH PRIVILEGES;");
        mariadb
    }

    /// The TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The Unix socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The server's folder.
    pub fn folder(&self) -> &Path {
        self.server.folder()
    }

    /// The server's process.
    pub fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// Runs statements as `root`. A statement that fails ends the test.
    #[track_caller]
    pub fn sql(&self, database: &str, text: &str) {
        self.client(database, text);
    }

    /// The rows that a query returns to `root`: one per line, with a tab between the columns.
    #[track_caller]
    pub fn ask(&self, database: &str, query: &str) -> String {
        self.client(database, query)
    }

    /// Makes an empty database with a name of its own that begins with this prefix, and returns the name.
    #[track_caller]
    pub fn create_database(&self, prefix: &str) -> String {
        let name = fresh::name(prefix);
        self.sql("mysql", &format!("CREATE DATABASE `{name}` CHARACTER SET utf8mb4"));
        name
    }

    /// Stops the server's process where it is, until [`Mariadb::go_on`]. Its connections stay open.
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

    /// Kills the server if it still runs and starts it again with its data, on the same port.
    pub fn restart(&self) {
        self.server.relaunch(&command(self.folder(), &self.options, self.port), READY);
    }

    /// The server's log, from its first start.
    pub fn log(&self) -> String {
        self.server.log()
    }

    #[track_caller]
    fn client(&self, database: &str, text: &str) -> String {
        let mut mariadb = Command::new(installed("/usr/bin/mariadb"));
        mariadb.args(["--no-defaults", "--user=root", "--default-character-set=utf8mb4"]);
        mariadb.args(["--batch", "--raw", "--skip-column-names", "--socket"]).arg(&self.socket).arg(database);
        client::answer(&mut mariadb, text)
    }
}

/// The command that makes the data folder.
fn install(folder: &Path) -> Vec<String> {
    let own = ["auth-root-authentication-method=normal".to_owned(), "skip-test-db".to_owned()];
    arguments("/usr/bin/mariadb-install-db", folder, own)
}

fn command(folder: &Path, options: &[String], port: u16) -> Vec<String> {
    let own = [
        "bind-address=127.0.0.1".to_owned(),
        format!("port={port}"),
        format!("socket={}", folder.join("socket").display()),
        "character-set-server=utf8mb4".to_owned(),
    ];
    arguments("/usr/sbin/mariadbd", folder, own.into_iter().chain(options.iter().cloned()))
}

/// A command with the settings of every server and these of its own.
fn arguments(program: &str, folder: &Path, own: impl IntoIterator<Item = String>) -> Vec<String> {
    let data = format!("datadir={}", folder.join("data").display());
    // The system's files of settings are for the system's server.
    let first = [installed(program).display().to_string(), "--no-defaults".to_owned()];
    let settings = SETTINGS.map(str::to_owned).into_iter().chain([data]).chain(own);
    first.into_iter().chain(settings.map(|setting| format!("--{setting}"))).collect()
}

//! This module owns PostgreSQL: its cluster, who may connect to it and how, and its one server per test
//! process.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::{fs, iter};

use crate::supervised::Supervised;
use crate::{client, fresh, installed};

/// What the server logs once it accepts connections.
const READY: &str = "database system is ready to accept connections";

/// Settings of every server. A crash of the machine may lose the data: no one needs them then. A killed
/// server has what it committed, so `synchronous_commit` stays on. Shared memory is in the folder, because a
/// killed server would leave it behind elsewhere.
const SETTINGS: [&str; 6] = [
    "listen_addresses=127.0.0.1",
    "fsync=off",
    "full_page_writes=off",
    "shared_buffers=32MB",
    "dynamic_shared_memory_type=mmap",
    "lc_messages=C",
];

/// A PostgreSQL server.
///
/// The superuser `postgres` connects by the Unix socket alone, without a password. Other roles give their
/// password (SCRAM). Over TCP they may use TLS if the server has it, members of `tls_only` must, and members
/// of `cert_only` must show a certificate with their name instead of a password. For these, say `CREATE ROLE
/// … LOGIN IN ROLE tls_only PASSWORD …`.
#[derive(Debug)]
pub struct Postgres {
    server: Supervised,
    programs: PathBuf,
    options: Vec<String>,
    port: u16,
}

impl Postgres {
    /// The server that all tests of this process share, started at its first use.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// Starts a server without TLS.
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// Starts a server without TLS and with these settings (`name=value`), which win over the harness's.
    pub fn with(options: &[&str]) -> Self {
        let server = Supervised::new();
        let options = options.iter().map(|&option| option.to_owned()).collect();
        Self::of(server, options, false)
    }

    /// Starts a server with TLS: its certificate and key, the authority of its clients' certificates, and
    /// settings as in [`Postgres::with`].
    pub fn with_tls(cert_pem: &str, key_pem: &str, client_ca_pem: &str, options: &[&str]) -> Self {
        let server = Supervised::new();
        let file = |name, pem| server.write(name, pem).display().to_string();
        let mut all = vec![
            "ssl=on".to_owned(),
            format!("ssl_cert_file={}", file("server.crt", cert_pem)),
            format!("ssl_key_file={}", file("server.key", key_pem)),
            format!("ssl_ca_file={}", file("clients.crt", client_ca_pem)),
        ];
        all.extend(options.iter().map(|&option| option.to_owned()));
        Self::of(server, all, true)
    }

    fn of(server: Supervised, mut options: Vec<String>, tls: bool) -> Self {
        let programs = programs();
        let data = server.folder().join("data").display().to_string();
        let initdb = programs.join("initdb").display().to_string();
        let arguments =
            ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"];
        let arguments = arguments.into_iter().chain(["--no-instructions", &data]).map(str::to_owned);
        server.run(&iter::once(initdb).chain(arguments).collect::<Vec<_>>());
        options.insert(0, format!("hba_file={}", server.write("hba", &access(tls)).display()));
        options.insert(0, format!("unix_socket_directories={}", server.folder().display()));
        let port = server.launch(|port| command(&programs, &data, &options, port), READY);
        let postgres = Self { server, programs, options, port };
        postgres.sql("postgres", "CREATE ROLE tls_only; CREATE ROLE cert_only;");
        postgres
    }

    /// The TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder with the Unix socket, which PostgreSQL's clients take as a host.
    pub fn socket_folder(&self) -> &Path {
        self.folder()
    }

    /// The server's folder.
    pub fn folder(&self) -> &Path {
        self.server.folder()
    }

    /// The server's first process, the postmaster.
    pub fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// Runs statements as the superuser. A statement that fails ends the test.
    #[track_caller]
    pub fn sql(&self, database: &str, text: &str) {
        self.psql(database, &[], text);
    }

    /// The rows that a query returns to the superuser: one per line, with `|` between the columns.
    #[track_caller]
    pub fn ask(&self, database: &str, query: &str) -> String {
        self.psql(database, &["-A", "-t"], query)
    }

    /// Makes an empty database with a name of its own that begins with this prefix, and returns the name.
    #[track_caller]
    pub fn create_database(&self, prefix: &str) -> String {
        let name = fresh::name(prefix);
        let how = "TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C.UTF-8'";
        self.sql("postgres", &format!("CREATE DATABASE \"{name}\" {how}"));
        name
    }

    /// Stops all of the server's processes where they are, until [`Postgres::go_on`]. Their connections stay
    /// open.
    pub fn stop_the_world(&self) {
        self.server.signal("STOP");
    }

    /// Lets all of the server's processes go on.
    pub fn go_on(&self) {
        self.server.signal("CONT");
    }

    /// Kills all of the server's processes.
    pub fn kill(&self) {
        self.server.signal("KILL");
    }

    /// Kills what is left of the server and starts it again with its data, on the same port.
    pub fn restart(&self) {
        let data = self.folder().join("data").display().to_string();
        self.server.relaunch(&command(&self.programs, &data, &self.options, self.port), READY);
    }

    /// The server's log, from its first start.
    pub fn log(&self) -> String {
        self.server.log()
    }

    #[track_caller]
    fn psql(&self, database: &str, options: &[&str], text: &str) -> String {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", database, "-h"]);
        psql.arg(self.socket_folder()).arg("-p").arg(self.port.to_string()).args(options);
        client::answer(&mut psql, text)
    }
}

/// The folder with the newest installed version's programs.
fn programs() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()).max();
    let folder = PathBuf::from(format!("/usr/lib/postgresql/{}/bin", newest.unwrap_or_default()));
    installed(folder.join("postgres"));
    folder
}

fn command(programs: &Path, data: &str, options: &[String], port: u16) -> Vec<String> {
    let program = [programs.join("postgres").display().to_string(), "-D".to_owned(), data.to_owned()];
    let port = format!("port={port}");
    let settings = SETTINGS.into_iter().chain([port.as_str()]).chain(options.iter().map(String::as_str));
    program.into_iter().chain(settings.flat_map(|setting| ["-c".to_owned(), setting.to_owned()])).collect()
}

/// The rules of who may connect and how. The first rule that fits a connection decides.
fn access(tls: bool) -> String {
    let mut rules = vec!["local all postgres trust", "local all all scram-sha-256"];
    if tls {
        rules.push("hostssl all +cert_only 127.0.0.1/32 cert clientcert=verify-full");
        rules.push("hostssl all +tls_only 127.0.0.1/32 scram-sha-256");
    }
    rules.push("host all postgres,+cert_only,+tls_only 127.0.0.1/32 reject");
    rules.push("host all all 127.0.0.1/32 scram-sha-256\n");
    rules.join("\n")
}

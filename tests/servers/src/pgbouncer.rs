//! This module owns PgBouncer, which shares PostgreSQL's connections between clients by the transaction.

use std::path::Path;

use crate::supervised::Supervised;
use crate::{Postgres, installed};

/// What PgBouncer logs once it accepts connections.
const READY: &str = "process up";

/// A PgBouncer in front of a PostgreSQL, with pooling by the transaction.
#[derive(Debug)]
pub struct Pgbouncer {
    server: Supervised,
    port: u16,
}

impl Pgbouncer {
    /// Starts one that leads to all databases of this server, for these users with their passwords. The
    /// server must know the users by the same passwords.
    pub fn in_front_of(postgres: &Postgres, users: &[(&str, &str)]) -> Self {
        let program = installed("/usr/sbin/pgbouncer").display().to_string();
        let server = Supervised::new();
        let users: String = users.iter().map(|(name, password)| user(name, password)).collect();
        server.write("users", &users);
        let port = server.launch(
            |port| {
                let settings = settings(server.folder(), postgres.port(), port);
                // The port is part of the name, because a second try is a second file.
                let file = server.write(&format!("settings-{port}"), &settings);
                vec![program.clone(), file.display().to_string()]
            },
            READY,
        );
        Self { server, port }
    }

    /// The TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder with the Unix socket, which PostgreSQL's clients take as a host.
    pub fn socket_folder(&self) -> &Path {
        self.server.folder()
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// The log.
    pub fn log(&self) -> String {
        self.server.log()
    }
}

/// A user's line. The password is plain: PgBouncer needs it to log in to the server by SCRAM.
fn user(name: &str, password: &str) -> String {
    let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    format!("{} {}\n", quoted(name), quoted(password))
}

fn settings(folder: &Path, postgres: u16, port: u16) -> String {
    let folder = folder.display();
    format!(
        "[databases]\n\
         * = host=127.0.0.1 port={postgres}\n\
         [pgbouncer]\n\
         listen_addr = 127.0.0.1\n\
         listen_port = {port}\n\
         unix_socket_dir = {folder}\n\
         auth_type = scram-sha-256\n\
         auth_file = {folder}/users\n\
         pool_mode = transaction\n\
         max_client_conn = 500\n\
         ignore_startup_parameters = extra_float_digits\n"
    )
}

//! How an adapter signs in to a database server: password file, Unix socket, TLS both ways, search path,
//! pooler; and which roles it refuses because they can do more than read.

use std::path::PathBuf;

use chapar_telemetry::SourceFigures;
use chapar_test_servers::{Mariadb, Pgbouncer, Postgres};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;

use super::engines::{
    Database, Engine, Host, LIMITS, PASSWORD, create, open, shared_servers, signed_in, write_secret,
};
use crate::config::{Endpoint, Server, ServerTls};

const PROTO: &str = r#"
syntax = "proto3";
package reg.v1;
import "chapar/contract/v1/options.proto";
service Register {
  rpc Get(Ask) returns (Told) { option (chapar.contract.v1.method) = { purposes: ["test"] }; }
}
message Ask { int64 id = 1; }
message Told { string name = 1 [(chapar.contract.v1.field).class = CLASS_PUBLIC]; }
"#;
const SCHEMA: &str =
    "CREATE TABLE t (id BIGINT PRIMARY KEY, name VARCHAR(30) NOT NULL); INSERT INTO t VALUES (1, 'one');";
const GET: &str = "SELECT name FROM t WHERE id = :id";

/// Signs in and makes a call.
async fn call(engine: Engine, folder: TempDir, server: &Server) -> Result<String, String> {
    let source = open(engine, server, LIMITS).await?;
    let database = Database { folder, source, name: String::new(), figures: SourceFigures::default() };
    let bench = database.bench(PROTO, &[("Get", GET)]).await.map_err(|findings| findings.to_string())?;
    let mut reasons: Vec<String> = Vec::new();
    // More calls than one, so that connections are used again.
    for _ in 0..5 {
        reasons.push(bench.call("Get", "name", "", r#"{"id": "1"}"#).await.reason().to_owned());
    }
    reasons.dedup();
    Ok(reasons.join(" "))
}

#[tokio::test]
async fn the_password_is_in_a_file_and_a_wrong_one_is_told_without_it() {
    for host in shared_servers() {
        let folder = tempfile::tempdir().unwrap();
        let server = signed_in(host, &folder, &create(host, SCHEMA));
        let file = server.password_file.clone().unwrap();
        write_secret(&file, &format!("{PASSWORD}\n"));
        assert_eq!(call(host.engine(), folder, &server).await.as_deref(), Ok("OK"));

        let folder = tempfile::tempdir().unwrap();
        let server = Server { password_file: Some(folder.path().join("password")), ..server };
        write_secret(server.password_file.as_ref().unwrap(), "another secret");
        let error = open(host.engine(), &server, LIMITS).await.err().unwrap();
        assert!(error.contains(&server.user) && !error.contains("another secret"), "{error}");
        std::fs::remove_file(server.password_file.as_ref().unwrap()).unwrap();
        let error = open(host.engine(), &server, LIMITS).await.err().unwrap();
        assert!(error.contains("password`: No such file"), "{error}");
    }
}

#[tokio::test]
async fn mariadbs_own_way_of_proving_a_password_will_do() {
    let host = Mariadb::shared();
    let folder = tempfile::tempdir().unwrap();
    let name = create(host, SCHEMA);
    host.sql("mysql", "INSTALL SONAME 'auth_ed25519'");
    host.sql(
        "mysql",
        &format!("ALTER USER '{name}'@'%' IDENTIFIED VIA ed25519 USING PASSWORD('{PASSWORD}')"),
    );
    let server = signed_in(host, &folder, &name);
    assert_eq!(call(Engine::Mariadb, tempfile::tempdir().unwrap(), &server).await.as_deref(), Ok("OK"));
}

#[tokio::test]
async fn a_unix_socket_will_do() {
    let sockets = [
        Endpoint::Socket(Postgres::shared().socket_folder().to_owned(), Postgres::shared().port()),
        Endpoint::Socket(Mariadb::shared().socket().to_owned(), 3306),
    ];
    for (host, endpoint) in shared_servers().into_iter().zip(sockets) {
        let folder = tempfile::tempdir().unwrap();
        let server = Server { endpoint, ..signed_in(host, &folder, &create(host, SCHEMA)) };
        let reasons = call(host.engine(), folder, &server).await;
        assert_eq!(reasons.as_deref(), Ok("OK"), "{:?}", host.engine());
    }
}

/// A CA with a server's and a client's certificate, and another CA.
struct Pki {
    folder: TempDir,
    server: (String, String),
    ca: String,
}

impl Pki {
    fn new(client: &str) -> Self {
        let authority = || {
            let mut params = CertificateParams::default();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
        };
        let (ca, other) = (authority(), authority());
        let leaf = |names: Vec<String>, common: &str| {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::new(names).unwrap();
            params.distinguished_name.push(rcgen::DnType::CommonName, common);
            (params.signed_by(&key, &ca).unwrap().pem(), key.serialize_pem())
        };
        let folder = tempfile::tempdir().unwrap();
        let (cert, key) = leaf(Vec::new(), client);
        for (name, text) in [("ca", ca.pem()), ("other", other.pem()), ("cert", cert), ("key", key)] {
            write_secret(&folder.path().join(name), &text);
        }
        let server = leaf(vec!["127.0.0.1".to_owned()], "server");
        Self { folder, server, ca: ca.pem() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn tls(&self, ca: &str, with_certificate: bool) -> Option<ServerTls> {
        let client = with_certificate.then(|| (self.path("cert"), self.path("key")));
        Some(ServerTls { ca: self.path(ca), client })
    }
}

#[tokio::test]
async fn tls_checks_the_server_and_shows_the_adapters_certificate() {
    let pki = Pki::new("cert_reader");
    let (cert, key) = &pki.server;
    let postgres = Postgres::with_tls(cert, key, &pki.ca, &[]);
    let mariadb = Mariadb::with_tls(cert, key, &pki.ca, &[]);
    let servers: [&dyn Host; 2] = [&postgres, &mariadb];
    for host in servers {
        let engine = host.engine();
        let folder = || tempfile::tempdir().unwrap();
        let name = create(host, SCHEMA);
        let plain = signed_in(host, &pki.folder, &name);
        // The role must use TLS.
        let require = match engine {
            Engine::Postgres => format!("GRANT tls_only TO {name};"),
            _ => format!("ALTER USER '{name}'@'%' REQUIRE SSL;"),
        };
        host.sql(&name, &require);
        assert!(call(engine, folder(), &plain).await.is_err(), "{engine:?} in clear");
        let server = Server { tls: pki.tls("ca", false), ..plain.clone() };
        assert_eq!(call(engine, folder(), &server).await.as_deref(), Ok("OK"), "{engine:?}");
        let server = Server { tls: pki.tls("other", false), ..plain.clone() };
        let error = call(engine, folder(), &server).await.unwrap_err();
        assert!(error.contains("certificate"), "{engine:?} with another CA: {error}");

        // A role that is known by its certificate.
        let certified = match engine {
            Engine::Postgres => {
                "CREATE ROLE cert_reader LOGIN IN ROLE cert_only; GRANT SELECT ON t TO cert_reader;"
                    .to_string()
            }
            _ => format!(
                "CREATE USER 'cert_reader'@'%' REQUIRE SUBJECT '/CN=cert_reader'; GRANT SELECT ON {name}.t TO 'cert_reader'@'%';"
            ),
        };
        host.sql(&name, &certified);
        let server = |with_certificate| Server {
            user: "cert_reader".to_owned(),
            password_file: None,
            tls: pki.tls("ca", with_certificate),
            ..plain.clone()
        };
        assert_eq!(call(engine, folder(), &server(true)).await.as_deref(), Ok("OK"), "{engine:?}");
        assert!(call(engine, folder(), &server(false)).await.is_err(), "{engine:?} without a certificate");
    }
}

#[tokio::test]
async fn the_search_path_names_the_schema_of_unqualified_tables() {
    let host = Postgres::shared();
    let secrets = tempfile::tempdir().unwrap();
    let name = create(host, "");
    host.sql(
        &name,
        &format!(
            "CREATE SCHEMA \"Old data\"; SET search_path TO \"Old data\"; {SCHEMA}
             GRANT USAGE ON SCHEMA \"Old data\" TO {name}; GRANT SELECT ON t TO {name};"
        ),
    );
    let folder = || tempfile::tempdir().unwrap();
    let server = signed_in(host, &secrets, &name);
    let named = Server { search_path: Some("public, Old data".to_owned()), ..server.clone() };
    assert_eq!(call(Engine::Postgres, folder(), &named).await.as_deref(), Ok("OK"));
    let error = call(Engine::Postgres, folder(), &server).await.unwrap_err();
    assert!(error.contains("relation \"t\" does not exist"), "{error}");
}

#[tokio::test]
async fn a_pooler_in_transaction_mode_keeps_every_promise() {
    let host = Postgres::shared();
    let secrets = tempfile::tempdir().unwrap();
    let folder = || tempfile::tempdir().unwrap();
    let name = create(host, "");
    // A table of the same name in `public` must not be taken.
    host.sql(
        &name,
        &format!(
            "CREATE TABLE t (id TEXT); CREATE TYPE mood AS ENUM ('good');
             CREATE SCHEMA own; SET search_path TO own, public; {SCHEMA} ALTER TABLE t ADD m mood DEFAULT 'good';
             GRANT USAGE ON SCHEMA own TO {name}; GRANT SELECT ON t TO {name};"
        ),
    );
    let pooler = Pgbouncer::in_front_of(host, &[(&name, PASSWORD)]);
    let server = Server {
        endpoint: Endpoint::Tcp("127.0.0.1".to_owned(), pooler.port()),
        pooler: true,
        search_path: Some("own".to_owned()),
        ..signed_in(host, &secrets, &name)
    };
    assert_eq!(call(Engine::Postgres, folder(), &server).await.as_deref(), Ok("OK"));
    // Without `pooler`, session settings would be lost; the pooler refuses them.
    let source = open(Engine::Postgres, &server, LIMITS).await.unwrap();
    let database =
        Database { folder: folder(), source, name: String::new(), figures: SourceFigures::default() };
    let own_type = "SELECT m AS name FROM t WHERE id = :id";
    let findings = database.bench(PROTO, &[("Get", own_type)]).await.err().unwrap().to_string();
    assert!(
        findings.contains("no type of the database's own can be used: cast `mood` to text"),
        "{findings}"
    );
    let direct = Server { pooler: false, ..server };
    let error = call(Engine::Postgres, folder(), &direct).await.unwrap_err();
    assert!(error.contains("unsupported startup parameter"), "{error}");
}

#[tokio::test]
async fn a_role_that_can_do_more_than_read_is_refused_with_what_to_revoke() {
    for host in shared_servers() {
        let folder = tempfile::tempdir().unwrap();
        let name = create(host, SCHEMA);
        let server = signed_in(host, &folder, &name);
        let more: Vec<(String, String)> = match host.engine() {
            Engine::Postgres => vec![
                (format!("GRANT UPDATE (name) ON t TO {name}"), format!("REVOKE UPDATE ON t FROM {name};")),
                (
                    format!("REVOKE ALL ON t FROM {name}; GRANT CREATE ON SCHEMA public TO {name}"),
                    format!("REVOKE CREATE ON SCHEMA public FROM {name};"),
                ),
                (
                    format!("REVOKE CREATE ON SCHEMA public FROM {name}; ALTER ROLE {name} CREATEROLE"),
                    "it may create roles".to_owned(),
                ),
                (
                    format!("ALTER ROLE {name} NOCREATEROLE; GRANT pg_read_server_files TO {name}"),
                    "it may read files of the server".to_owned(),
                ),
            ],
            _ => vec![
                (format!("GRANT EXECUTE ON {name}.* TO '{name}'@'%'"), "REVOKE EXECUTE".to_owned()),
                (
                    format!(
                        "REVOKE EXECUTE ON {name}.* FROM '{name}'@'%'; GRANT INSERT ON {name}.t TO '{name}'@'%'"
                    ),
                    format!("REVOKE INSERT ON `{name}`.`t` FROM `{name}`@`%`;"),
                ),
                (
                    format!("REVOKE INSERT ON {name}.t FROM '{name}'@'%'; GRANT FILE ON *.* TO '{name}'@'%'"),
                    "REVOKE FILE ON *.*".to_owned(),
                ),
                (
                    format!(
                        "REVOKE FILE ON *.* FROM '{name}'@'%'; GRANT SELECT ON {name}.* TO '{name}'@'%' WITH GRANT OPTION"
                    ),
                    "REVOKE GRANT OPTION".to_owned(),
                ),
                (
                    format!(
                        "REVOKE GRANT OPTION ON {name}.* FROM '{name}'@'%'; CREATE ROLE w_{name}; GRANT w_{name} TO '{name}'@'%'"
                    ),
                    format!("REVOKE `w_{name}` FROM `{name}`@`%`;"),
                ),
            ],
        };
        for (grant, told) in more {
            host.sql(&name, &grant);
            let error = open(host.engine(), &server, LIMITS).await.err();
            let error = error.unwrap_or_else(|| panic!("{:?}: {grant}", host.engine()));
            assert!(error.contains(told.as_str()), "{:?}: {grant}: {error}", host.engine());
        }
    }
}

#[tokio::test]
async fn a_statement_that_does_more_than_read_is_found_at_the_start() {
    for host in shared_servers() {
        let statements: &[(&str, &str)] = match host.engine() {
            Engine::Postgres => &[
                ("SELECT name FROM t WHERE id = :id FOR UPDATE", "only a SELECT"),
                (
                    "WITH x AS (DELETE FROM t RETURNING name) SELECT name FROM x WHERE :id > 0",
                    "only a SELECT",
                ),
                ("SELECT CAST(pg_sleep(1) AS text) AS name FROM t WHERE id = :id", "`pg_sleep`"),
                (
                    "SELECT set_config('transaction_read_only', 'off', false) AS name FROM t WHERE id = :id",
                    "`set_config`",
                ),
                ("SELECT CAST(lastval() AS text) AS name FROM t WHERE id = :id", "`lastval`"),
                (
                    "SELECT CAST(pg_advisory_lock(1) AS text) AS name FROM t WHERE id = :id",
                    "`pg_advisory_lock`",
                ),
                ("SELECT pg_read_file('/etc/passwd') AS name FROM t WHERE id = :id", "`pg_read_file`"),
                (
                    "SELECT CAST(\"pg_terminate_backend\"(1) AS text) AS name FROM t WHERE id = :id",
                    "`pg_terminate_backend`",
                ),
                ("SELECT name INTO other FROM t WHERE id = :id", "only a SELECT"),
                ("SELECT name FROM t WHERE id = :id; DROP TABLE t", "a second statement"),
                ("COPY t TO PROGRAM 'id'", "only a SELECT"),
                (
                    "SELECT CAST(table_to_xml('t', true, false, '') AS text) AS name FROM t WHERE id = :id",
                    "`table_to_xml`",
                ),
                (
                    "SELECT CAST(U&\"pg\\005fsleep\"(1) AS text) AS name FROM t WHERE id = :id",
                    "Unicode escapes",
                ),
            ],
            _ => &[
                ("SELECT name FROM t WHERE id = :id FOR UPDATE", "only a SELECT"),
                ("SELECT CAST(SLEEP(1) AS CHAR) AS name FROM t WHERE id = :id", "`sleep`"),
                ("SELECT LOAD_FILE('/etc/passwd') AS name FROM t WHERE id = :id", "`load_file`"),
                ("SELECT CAST(GET_LOCK('a', 1) AS CHAR) AS name FROM t WHERE id = :id", "`get_lock`"),
                ("SELECT name FROM t WHERE id = :id INTO OUTFILE '/tmp/x'", ""),
                ("SELECT name FROM t WHERE id = :id; DROP TABLE t", "a second statement"),
                ("SELECT CAST(LAST_INSERT_ID(7) AS CHAR) AS name FROM t WHERE id = :id", "`last_insert_id`"),
                ("SELECT @a := name AS name FROM t WHERE id = :id", "`@a`"),
                ("SELECT name /*! INTO OUTFILE '/tmp/x' */ FROM t WHERE id = :id", "in such a comment"),
                (
                    "SELECT name /*M! FROM t WHERE id = :id UNION SELECT 1 */ FROM t WHERE id = :id",
                    "in such a comment",
                ),
            ],
        };
        for (statement, said) in statements {
            let database = Database::on(host, SCHEMA, LIMITS).await;
            let findings = database.bench(PROTO, &[("Get", statement)]).await.err();
            let findings = findings.unwrap_or_else(|| panic!("{:?}: {statement}", host.engine())).to_string();
            assert!(findings.contains(said), "{:?}: {statement}: {findings}", host.engine());
        }
    }
}

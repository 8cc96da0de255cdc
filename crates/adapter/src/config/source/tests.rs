//! Tests of sources: which are read, and what is refused with its place.

use super::*;
use crate::config::tests::{GOOD, parse};

fn source(keys: &str) -> Result<SourceKind, String> {
    let text = GOOD.replace("url = \"sqlite:databases/civil.db\"", keys);
    parse(&text).map(|config| config.sources["civil"].kind.clone())
}

#[test]
fn a_server_is_named_by_a_url_and_its_files() {
    let keys = "url = \"postgres://civil_ro@db.example:5433/civil\"\npassword_file = \"secret\"\nca = \"ca.crt\"\n\
                cert = \"a.crt\"\nkey = \"a.key\"\nsearch_path = \"civil\"\npooler = true";
    let expected = Server {
        endpoint: Endpoint::Tcp("db.example".to_owned(), 5433),
        user: "civil_ro".to_owned(),
        password_file: Some("/srv/secret".into()),
        database: "civil".to_owned(),
        search_path: Some("civil".to_owned()),
        pooler: true,
        tls: Some(ServerTls {
            ca: "/srv/ca.crt".into(),
            client: Some(("/srv/a.crt".into(), "/srv/a.key".into())),
        }),
    };
    assert_eq!(source(keys), Ok(SourceKind::Postgres(expected)));
    for (url, endpoint) in [
        ("mysql://r@127.0.0.1/civil", Endpoint::Tcp("127.0.0.1".to_owned(), 3306)),
        ("mariadb://r@[::1]:1/civil", Endpoint::Tcp("::1".to_owned(), 1)),
        ("mysql://r@%2Frun%2Fmysqld.sock/civil", Endpoint::Socket("/run/mysqld.sock".into(), 3306)),
    ] {
        let Ok(SourceKind::Mysql(server)) = source(&format!("url = \"{url}\"")) else { panic!("{url}") };
        assert_eq!(server.endpoint, endpoint, "{url}");
    }
}

#[test]
fn an_api_is_named_by_its_url_and_its_secrets() {
    let keys = "url = \"https://api.example:8443/v1\"\nca = \"ca.crt\"\nsecrets = { token = \"api-token\" }";
    let expected = ApiServer {
        url: "https://api.example:8443/v1".to_owned(),
        tls: Some(ServerTls { ca: "/srv/ca.crt".into(), client: None }),
        secrets: [("token".to_owned(), "/srv/api-token".into())].into(),
    };
    assert_eq!(source(keys), Ok(SourceKind::Api(expected)));
    for near in ["http://127.0.0.1:81/", "http://localhost"] {
        assert!(source(&format!("url = \"{near}\"")).is_ok(), "{near}");
    }
    assert!(source("url = \"http://api.example/\"\nplaintext = true").is_ok());
}

#[test]
fn what_would_weaken_or_confuse_a_source_is_refused_with_its_place() {
    for (keys, said) in [
        ("url = \"postgres://r:secret@localhost/civil\"", "holds a password"),
        ("url = \"postgres://r@localhost/civil?sslmode=disable\"", "takes no parameters"),
        ("url = \"postgres://r@localhost\"", "must be `sqlite:PATH`"),
        ("url = \"postgres://localhost/civil\"", "must be `sqlite:PATH`"),
        ("url = \"oracle://r@localhost/civil\"", "must be `sqlite:PATH`"),
        ("url = \"http://api.example/\"", "the server is on another machine"),
        ("url = \"https://api.example/\"", "name the CA of the server's certificate"),
        ("url = \"https://api.example/\"\nca = \"a\"\nplaintext = true", "contradict each other"),
        ("url = \"http://localhost/\"\nca = \"a\"", "is for `https`"),
        ("url = \"https://u:p@api.example/\"\nca = \"a\"", "holds a user or password"),
        ("url = \"https://api.example/?key=1\"\nca = \"a\"", "ends before `?` and `#`"),
        ("url = \"http://localhost/\"\npassword_file = \"a\"", "an API takes `secrets`"),
        ("url = \"http://localhost/\"\nsecrets = { \"a b\" = \"x\" }", "letters, digits, `-` and `_`"),
        ("url = \"postgres://r@localhost/civil\"\nsecrets = { a = \"x\" }", "this source is a database"),
        ("url = \"sqlite:x\"\nsecrets = { a = \"x\" }", "this source is a database"),
        ("url = \"postgres://r@db.example/civil\"", "the server is on another machine"),
        ("url = \"postgres://r@localhost/civil\"\ncert = \"a\"\nca = \"b\"", "`cert` and `key` go together"),
        ("url = \"postgres://r@localhost/civil\"\ncert = \"a\"\nkey = \"b\"", "also needs the server's `ca`"),
        ("url = \"postgres://r@db/civil\"\nca = \"a\"\nplaintext = true", "contradict each other"),
        ("url = \"mysql://r@localhost/civil\"\nsearch_path = \"a\"", "only PostgreSQL has a search path"),
        ("url = \"mysql://r@localhost/civil\"\npooler = true", "only PostgreSQL is reached through a pooler"),
        ("url = \"sqlite:a.db\"\nca = \"a\"", "this source is a file"),
        ("url = \"sqlite:a.db\"\npassword_file = \"a\"", "this source is a file"),
    ] {
        let error = source(keys).unwrap_err();
        assert!(error.contains(said) && !error.contains("secret@"), "{keys}: {error}");
    }
    assert!(source("url = \"postgres://r@db.example/civil\"\nplaintext = true").is_ok());
}

//! Tests of `.http` files, of secrets and of TLS: what is found at the start, and in which words.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chapar_telemetry::SourceFigures;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

use super::server::{Answer, ApiServer, LIMITS, opened};
use super::{ALL, FILES, PERSON, with};
use crate::api::Api;
use crate::tests::bench::{Bench, PROTO};

/// What a start finds when `file` stands in for the request of `GetPerson`.
async fn found(file: &str) -> Vec<String> {
    let server = ApiServer::start(Answer::status(404)).await;
    let mut files = FILES;
    files[0].1 = file;
    // The others are let off.
    files[2].1 =
        "# rows:\n# no record: 404\n# field title: /t\n# field mark: /m\nGET /degrees?of={id}&kind=all";
    files[3].1 = "# rows: /n\n# no record: 404\n# field number: /v\nGET /count?most={most}";
    match with(&server, &files).await {
        Ok(_) => Vec::new(),
        Err(findings) => findings
            .iter()
            .map(|finding| finding.to_string().rsplit_once("Register/").unwrap().1.to_owned())
            .collect(),
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_file_is_found_at_its_place() {
    let good = FILES[0].1;
    assert!(found(good).await.is_empty());
    for (file, said) in [
        (String::new(), "GetPerson.http:1:1: holds no request"),
        (good.replace("GET ", "DELETE "), "GetPerson.http:14:1: `DELETE` is none of GET and POST"),
        (good.replace("GET /people", "GET people"), "GetPerson.http:14:5: the target begins with `/`"),
        (good.replace("GET /people", "GET /../people"), "GetPerson.http:14:6: `.` and `..` are no parts"),
        (good.replace("GET /people", "GET /%2e%2E/people"), "GetPerson.http:14:6: `.` and `..` are no parts"),
        (good.replace("/{id}", "/%{id}"), "GetPerson.http:14:13: `%` stands before two hexadecimal digits"),
        (format!("{good}User-Agent: x\n"), "GetPerson.http:15:1: `user-agent` is set by the adapter"),
        (
            good.replace("# no record: 404", "# no records: 404"),
            "GetPerson.http:3:1: this comment declares nothing: write `# no record: 404`",
        ),
        (
            good.replace("# field id:", "# fields id:"),
            "GetPerson.http:4:1: this comment declares nothing: write `# field id: /id`",
        ),
        (good.replace("view=full", "view=fu ll"), "GetPerson.http:14:5: ' ' cannot stand in a target"),
        (good.replace("?view=full", "?full"), "GetPerson.http:14:18: a part of the query is `name=value`"),
        (good.replace("{id}", "{idd}"), "GetPerson.http:14:13: `{idd}` is no field of reg.v1.Ask"),
        (good.replace("{id}", "1"), "GetPerson.http:14:1: the request field `id` is not used"),
        (good.replace("{id}", "{id"), "GetPerson.http:14:13: `{` and `}` stand around"),
        (good.replace("{id}", "{secret:x}"), "GetPerson.http:14:13: `{secret:x}` is no placeholder"),
        (format!("{good}Host: elsewhere\n"), "GetPerson.http:15:1: `host` is set by the adapter"),
        (format!("{good}Accept\n"), "GetPerson.http:15:1: is no header"),
        (format!("{good}A: {{id}}\n"), "GetPerson.http:15:4: `{id}`: a header takes no request field"),
        (
            format!("{good}A: {{secret:tokn}}\n"),
            "GetPerson.http:15:4: `{secret:tokn}`: the source has no such secret",
        ),
        (format!("{good}A: 1\nA: 2\n"), "GetPerson.http:16:1: a second header `a`"),
        (format!("{good}\n{{}}\n"), "GetPerson.http:14:1: a GET has no body"),
        (good.replace("GET", "POST") + "\n{\"a\": }\n", "GetPerson.http:16:1: the body is no JSON"),
        (
            good.replace("GET", "POST") + "\n{\"a\": \"x{id}\"}\n",
            "GetPerson.http:16:8: in the body a request field is a whole value",
        ),
        (good.replace("GET", "POST") + "\n{\"{id}\": 1}\n", "GetPerson.http:16:1: `{id}`: a member's name"),
        (
            good.replace("# row: /person\n", ""),
            "GetPerson.http:13:1: the file does not say where in the answer the rows are",
        ),
        (
            good.replace("# row: /person", "# row: person"),
            "GetPerson.http:2:1: a JSON Pointer begins with `/`",
        ),
        (
            good.replace("# no record: 404", "# no record: 500"),
            "GetPerson.http:3:1: `no record` takes the statuses 204, 404 and 410",
        ),
        (
            good.replace("# no record: 404\n", ""),
            "GetPerson.http:13:1: the API does not answer this request: the API answered 404: if that says",
        ),
        (
            good.replace("# field photo: /photo\n", ""),
            "GetPerson.http:13:1: no column is named `photo`, so the field `photo` has no source",
        ),
        (
            good.replace("# field photo:", "# field foto:"),
            "GetPerson.http:12:1: column `foto` is no field of reg.v1.Person",
        ),
        (
            good.replace("# field photo:", "# field id:"),
            "GetPerson.http:12:1: a second declaration about `id`",
        ),
        (
            good.replace("# field province: /address/province\n", ""),
            "GetPerson.http:13:1: the row scope `province` has no place in the answer",
        ),
        (good.replace("# row:", "# column children: integr\n# row:"), "GetPerson.http:2:1: `integr`"),
        (
            good.replace("# row:", "# colum children: integer\n# row:"),
            "GetPerson.http:2:1: this comment declares nothing: write `# column children: integer`",
        ),
    ] {
        let found = found(&file).await;
        assert!(found.iter().any(|found| found.starts_with(said)), "{said}\n{found:#?}");
    }
}

#[tokio::test]
async fn a_statement_for_an_api_and_a_request_of_no_method_are_findings() {
    let server = ApiServer::start(Answer::status(422)).await;
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("reg/v1/Register");
    std::fs::create_dir_all(&own).unwrap();
    std::fs::write(own.join("GetPerson.sql"), "SELECT 1").unwrap();
    std::fs::write(own.join("GetPersn.http"), "GET /").unwrap();
    let findings = Bench::opened(folder, PROTO, &FILES, &opened(&server.settings())).await.err().unwrap();
    let text = findings.to_string();
    assert!(
        text.contains("GetPerson.sql:1:1: this contract's source takes `.http` files, and no `.sql`"),
        "{text}"
    );
    assert!(text.contains("has no method `GetPersn` (did you mean `GetPerson`?)"), "{text}");
}

#[tokio::test]
async fn a_start_asks_by_get_only() {
    let server = ApiServer::start(Answer::status(422)).await;
    with(&server, &FILES).await.unwrap();
    let asked = server.asked();
    let asked: Vec<String> = asked
        .iter()
        .map(|asked| format!("{} {}", asked.method, asked.target.split('?').next().unwrap()))
        .collect();
    // Once for each GET, whatever row scopes there are.
    assert_eq!(asked, ["GET /v1/people/chapar0check", "GET /v1/degrees", "GET /v1/count"]);
}

#[tokio::test]
async fn an_api_that_refuses_the_secret_is_found_at_the_start() {
    let server = ApiServer::start(Answer::status(401)).await;
    let findings = with(&server, &FILES).await.err().unwrap().to_string();
    assert!(findings.contains("the API answered 401: look at the secrets of the source"), "{findings}");
    assert!(!findings.contains("citizen"), "{findings}");
}

#[tokio::test]
async fn an_api_that_cannot_be_asked_now_says_nothing_about_the_files() {
    for answer in [
        Answer::status(503),
        Answer::status(504),
        Answer { after: Duration::from_secs(9), ..Answer::status(404) },
    ] {
        let server = ApiServer::start(answer).await;
        let findings = with(&server, &FILES).await.err().unwrap().to_string();
        assert!(findings.contains("the API could not be asked"), "{findings}");
    }
    // What fails for a made-up value may not for a real one.
    let server = ApiServer::start(Answer::status(500)).await;
    assert!(with(&server, &FILES).await.is_ok());
}

#[tokio::test]
async fn a_secret_is_sent_and_is_in_no_message() {
    let server = ApiServer::start(Answer::status(422)).await;
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("token");
    let write = |text: &str, mode: u32| {
        std::fs::write(&secret, text).unwrap();
        std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let mut settings = server.settings();
    settings.secrets.insert("token".to_owned(), secret.clone());
    let open = |settings| Api::open(settings, LIMITS, SourceFigures::default());
    for (text, mode, said) in [
        ("s3cret\n", 0o644, "token"),
        ("", 0o600, "is empty"),
        ("two\nlines", 0o600, "is no single line of visible ASCII"),
        ("رمز", 0o600, "is no single line of visible ASCII"),
    ] {
        write(text, mode);
        let error = open(&settings).err().unwrap();
        assert!(error.contains(said) && (text.is_empty() || !error.contains(text.trim())), "{error}");
    }
    write("s3cret\n", 0o600);
    let file = FILES[0].1.to_owned() + "Authorization: Bearer {secret:token}\n";
    let mut files = FILES;
    files[0].1 = &file;
    let bench = Bench::opened(tempfile::tempdir().unwrap(), PROTO, &files, &opened(&settings)).await.unwrap();
    server.answers(Answer::json(PERSON));
    server.asked();
    assert_eq!(bench.call("GetPerson", ALL, "", r#"{"id": "1"}"#).await.reason(), "OK");
    assert_eq!(server.asked()[0].headers["authorization"], "Bearer s3cret");
}

/// A CA, and the PEM of a certificate with key that it signs for `localhost`.
fn signed(folder: &Path) -> (String, rustls::ServerConfig) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let leaf = || {
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &ca).unwrap();
        (certificate.pem(), key.serialize_pem())
    };
    let (certificate, key) = leaf();
    std::fs::write(folder.join("client.crt"), certificate).unwrap();
    std::fs::write(folder.join("client.key"), key).unwrap();
    std::fs::set_permissions(folder.join("client.key"), std::fs::Permissions::from_mode(0o600)).unwrap();
    let (certificate, key) = leaf();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.pem().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier =
        rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .unwrap();
    let server = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()],
            PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
        )
        .unwrap();
    (ca.pem(), server)
}

#[tokio::test]
async fn tls_checks_the_api_and_shows_the_adapters_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let (ca, tls) = signed(folder.path());
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("ca.crt"), ca).unwrap();
    let (other, _) = signed(tempfile::tempdir().unwrap().path());
    std::fs::write(path("other.crt"), other).unwrap();
    let server = ApiServer::start_tls(Answer::json(PERSON), tls).await;
    let client = Some((path("client.crt"), path("client.key")));
    let ask = async |settings: &crate::config::ApiServer| {
        let opened = opened(settings);
        let files = FILES.map(|(method, file)| {
            (method, if method == "GetPerson" { file.to_owned() } else { file.replace("GET /", "POST /") })
        });
        let files: Vec<(&str, &str)> = files.iter().map(|(method, file)| (*method, file.as_str())).collect();
        match Bench::opened(tempfile::tempdir().unwrap(), PROTO, &files, &opened).await {
            Ok(bench) => bench.call("GetPerson", ALL, "", r#"{"id": "1"}"#).await.reason().to_owned(),
            Err(findings) => findings.to_string(),
        }
    };
    assert_eq!(ask(&server.settings_tls(path("ca.crt"), client.clone())).await, "OK");
    let found = ask(&server.settings_tls(path("other.crt"), client.clone())).await;
    assert!(
        found.contains("the API could not be asked") && found.contains("invalid peer certificate"),
        "{found}"
    );
    let found = ask(&server.settings_tls(path("ca.crt"), None)).await;
    assert!(found.contains("the API could not be asked"), "{found}");
    let mut elsewhere = server.settings_tls(path("ca.crt"), client);
    elsewhere.url = elsewhere.url.replace("localhost", "127.0.0.1");
    let found = ask(&elsewhere).await;
    assert!(
        found.contains("the API could not be asked") && found.contains("certificate not valid for name"),
        "{found}"
    );
}

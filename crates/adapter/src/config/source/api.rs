//! An agency's HTTP API as a source: its address, TLS, and the files of its secrets.

use std::path::Path;

use toml::Spanned;
use url::Url;

use super::{ApiServer, Endpoint, SourceTable};
use crate::config::ConfigReader;
use crate::finding::Finding;

impl ConfigReader<'_> {
    pub(super) fn api(&mut self, folder: &Path, table: &SourceTable, url: &Url) -> Option<ApiServer> {
        let span = table.url.span();
        let files = &table.password_file;
        let path = &table.search_path;
        let keys = files.iter().map(Spanned::span).chain(path.iter().map(Spanned::span));
        for key in keys.chain(table.pooler.iter().map(Spanned::span)).collect::<Vec<_>>() {
            self.report(key, "is for a database server; an API takes `secrets`");
        }
        let names = table.secrets.keys();
        let is_name = |name: &str| {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
        };
        for name in names.filter(|name| !is_name(name.get_ref())).map(Spanned::span).collect::<Vec<_>>() {
            self.report(name, "a secret's name is letters, digits, `-` and `_`");
        }
        if url.password().is_some() || !url.username().is_empty() {
            // Without the line, which would show the password.
            let text = "`url` holds a user or password: put the header's value into a file, and name that in `secrets`";
            self.findings.push(Finding::of_file(self.file, text));
            return None;
        }
        if url.query().is_some() || url.fragment().is_some() {
            self.report(span, "ends before `?` and `#`: a query is written in the `.http` files");
            return None;
        }
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let endpoint = Endpoint::Tcp(host, url.port_or_known_default().unwrap_or_default());
        let is_https = url.scheme() == "https";
        let plaintext = table.plaintext.as_ref().is_some_and(|plaintext| *plaintext.get_ref());
        let tls = match (is_https, &table.ca) {
            (true, None) => {
                let text = "name the CA of the server's certificate in `ca`; for a public one the system's list, such as \
                            `/etc/ssl/certs/ca-certificates.crt`";
                self.report(span, text);
                return None;
            }
            (true, Some(_)) if plaintext => {
                self.report(span, "`https` and `plaintext` contradict each other");
                return None;
            }
            (false, Some(ca)) => {
                self.report(ca.span(), "is for `https`, and this `url` begins with `http`");
                return None;
            }
            _ => self.server_tls(folder, table, &endpoint),
        };
        let secrets = table.secrets.iter();
        let secrets = secrets.map(|(name, file)| (name.get_ref().clone(), folder.join(file))).collect();
        Some(ApiServer { url: url.to_string(), tls, secrets })
    }

    pub(super) fn only_for_apis(&mut self, table: &SourceTable) {
        for name in table.secrets.keys() {
            self.report(
                name.span(),
                "`secrets` are for the headers of an API, and this source is a database",
            );
        }
    }
}

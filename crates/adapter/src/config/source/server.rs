//! A database server as a source: its address, user, database and TLS.

use std::path::{Path, PathBuf};

use toml::Spanned;
use url::Url;

use super::{Endpoint, Server, ServerTls, SourceTable, URLS};
use crate::config::ConfigReader;
use crate::finding::Finding;

impl ConfigReader<'_> {
    pub(super) fn server(
        &mut self,
        folder: &Path,
        table: &SourceTable,
        url: &Url,
        port: u16,
    ) -> Option<Server> {
        let span = table.url.span();
        let user = percent_decoded(url.username());
        let database = percent_decoded(url.path().trim_start_matches('/'));
        let mut faults = Vec::new();
        // A settings file is copied, mailed and committed; a password file is not.
        if url.password().is_some() {
            // Without the line, which would show the password.
            let text = "`url` holds a password: put it in a file, and name that in `password_file`";
            self.findings.push(Finding::of_file(self.file, text));
            return None;
        }
        if user.as_deref().is_none_or(str::is_empty) || database.as_deref().is_none_or(str::is_empty) {
            faults.push(URLS);
        }
        if url.query().is_some() || url.fragment().is_some() {
            faults
                .push("takes no parameters: TLS is `ca`, `cert` and `key`, and the schema is `search_path`");
        }
        let host = url.host_str().and_then(percent_decoded).unwrap_or_default();
        let port = url.port().unwrap_or(port);
        let endpoint = match host.as_str() {
            "" => {
                faults.push(URLS);
                return self.all(span, faults);
            }
            path if path.starts_with('/') => Endpoint::Socket(path.into(), port),
            host => Endpoint::Tcp(host.trim_matches(['[', ']']).to_owned(), port),
        };
        let tls = self.server_tls(folder, table, &endpoint);
        if !faults.is_empty() {
            return self.all(span, faults);
        }
        Some(Server {
            endpoint,
            user: user?,
            password_file: table.password_file.as_ref().map(|file| folder.join(file.get_ref())),
            database: database?,
            search_path: table.search_path.as_ref().map(|path| path.get_ref().clone()),
            pooler: table.pooler.as_ref().is_some_and(|pooler| *pooler.get_ref()),
            tls,
        })
    }

    fn all(&mut self, span: std::ops::Range<usize>, faults: Vec<&'static str>) -> Option<Server> {
        for fault in faults {
            self.report(span.clone(), fault);
        }
        None
    }

    /// Citizens' records do not cross a network in clear unless someone has written that they do.
    pub(super) fn server_tls(
        &mut self,
        folder: &Path,
        table: &SourceTable,
        endpoint: &Endpoint,
    ) -> Option<ServerTls> {
        let plaintext = table.plaintext.as_ref().is_some_and(|plaintext| *plaintext.get_ref());
        // What stays on this machine is read by nobody on the way.
        let is_near = match endpoint {
            Endpoint::Socket(..) => true,
            Endpoint::Tcp(host, _) => {
                host == "localhost"
                    || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
            }
        };
        let path = |file: &Spanned<PathBuf>| folder.join(file.get_ref());
        let client = match (&table.cert, &table.key) {
            (Some(cert), Some(key)) => Some((path(cert), path(key))),
            (None, None) => None,
            (Some(one), None) | (None, Some(one)) => {
                self.report(one.span(), "`cert` and `key` go together");
                None
            }
        };
        match &table.ca {
            Some(ca) if plaintext => {
                self.report(ca.span(), "`ca` and `plaintext` contradict each other");
                None
            }
            Some(ca) if matches!(endpoint, Endpoint::Socket(..)) => {
                self.report(ca.span(), "a Unix socket has no TLS");
                None
            }
            Some(ca) => Some(ServerTls { ca: path(ca), client }),
            None => {
                if let Some(cert) = &table.cert {
                    self.report(cert.span(), "`cert` is for TLS, which also needs the server's `ca`");
                } else if !is_near && !plaintext {
                    let text = "the server is on another machine: name the CA of its certificate in `ca`, or, if the network \
                                protects records otherwise, write `plaintext = true`";
                    self.report(table.url.span(), text);
                }
                None
            }
        }
    }

    /// A file has no network: keys about one would only seem to protect something.
    pub(super) fn only_for_servers(&mut self, table: &SourceTable) {
        let files = [&table.password_file, &table.ca, &table.cert, &table.key]
            .into_iter()
            .flatten()
            .map(Spanned::span);
        let flags = [&table.plaintext, &table.pooler].into_iter().flatten().map(Spanned::span);
        let spans: Vec<_> = files.chain(flags).chain(table.search_path.iter().map(Spanned::span)).collect();
        for span in spans {
            self.report(span, "is for a database server, and this source is a file");
        }
    }
}

/// A part of an URL without its `%` escapes (RFC 3986 §2.1); `None` if the result is not UTF-8.
fn percent_decoded(text: &str) -> Option<String> {
    percent_encoding::percent_decode_str(text).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

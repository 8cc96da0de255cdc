//! `RedisServer` is a checked address of a Redis server, with what signing in to it takes.

use redis::{
    Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, TlsCertificates,
};

/// One Redis server.
#[derive(Clone)]
pub struct RedisServer {
    pub(super) client: Client,
}

impl std::fmt::Debug for RedisServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("RedisServer").field(self.client.get_connection_info().addr()).finish()
    }
}

/// Why an address or what belongs to it cannot be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ServerError {
    /// The text is no address.
    #[error("`url` is `redis://[USER@]HOST:PORT[/DATABASE]`, `rediss://…` with TLS, or `redis+unix:///PATH`")]
    Url,
    /// A password in the address would be seen wherever the address is.
    #[error("`url` holds a password: write it into a file of its own and name that by `password_file`")]
    PasswordInUrl,
    /// The connection to another machine would not be encrypted.
    #[error(
        "`url` is without TLS and not on this machine: whoever is on the way can read and change limits. Use `rediss://`, or \
         write `plaintext = true` if that is meant"
    )]
    Plaintext,
    /// A user without a password, whom Redis would not hear of.
    #[error("`url` names a user: its password belongs into a file that `password_file` names")]
    NoPassword,
    /// Certificates without TLS.
    #[error("`ca`, `cert` and `key` are for `rediss://`")]
    NoTls,
    /// A certificate or key is none.
    #[error("`ca`, `cert` or `key` is no PEM of that kind")]
    Pem,
}

impl RedisServer {
    /// The server at `url`.
    ///
    /// # Errors
    /// [`ServerError`] if the address is none, or would send limits or a password in clear to another machine
    /// without `plaintext`.
    pub fn new(
        url: &str,
        password: Option<&str>,
        ca: Option<Vec<u8>>,
        identity: Option<(Vec<u8>, Vec<u8>)>,
        plaintext: bool,
    ) -> Result<Self, ServerError> {
        let info: ConnectionInfo = url.into_connection_info().map_err(|_| ServerError::Url)?;
        let settings = info.redis_settings().clone();
        if settings.password().is_some() {
            return Err(ServerError::PasswordInUrl);
        }
        if settings.username().is_some() && password.is_none() {
            return Err(ServerError::NoPassword);
        }
        // What an address may switch on besides, an unverified server among it, is not offered.
        if url.contains(['?', '#']) {
            return Err(ServerError::Url);
        }
        let is_local = |host: &str| {
            host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        };
        let is_tls = matches!(info.addr(), ConnectionAddr::TcpTls { .. });
        match info.addr() {
            ConnectionAddr::Tcp(host, _) if !is_local(host) && !plaintext => {
                return Err(ServerError::Plaintext);
            }
            _ if !is_tls && (ca.is_some() || identity.is_some()) => return Err(ServerError::NoTls),
            _ => {}
        }
        // A file without any certificate would be taken, and no server be trusted.
        let has_certificate =
            |pem: &Vec<u8>| String::from_utf8_lossy(pem).contains("-----BEGIN CERTIFICATE-----");
        if !ca.as_ref().is_none_or(has_certificate) {
            return Err(ServerError::Pem);
        }
        // Small commands go out at once.
        let tcp = info.tcp_settings().clone().set_nodelay(true);
        let settings = match password {
            Some(password) => settings.set_password(password),
            None => settings,
        };
        let info = info.set_redis_settings(settings).set_tcp_settings(tcp);
        let client = if is_tls {
            // The library takes the provider of the process. An error says that there is one.
            rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
            let client_tls =
                identity.map(|(client_cert, client_key)| ClientTlsConfig { client_cert, client_key });
            Client::build_with_tls(info, TlsCertificates { client_tls, root_cert: ca })
        } else {
            Client::open(info)
        };
        client.map(|client| Self { client }).map_err(|_| ServerError::Pem)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(url: &str) -> ServerError {
        RedisServer::new(url, None, None, None, false).unwrap_err()
    }

    #[test]
    fn an_address_that_would_show_a_password_or_the_limits_is_refused() {
        assert_eq!(refused("http://127.0.0.1:6379"), ServerError::Url);
        assert_eq!(refused(""), ServerError::Url);
        assert_eq!(refused("redis://:secret@127.0.0.1:6379"), ServerError::PasswordInUrl);
        assert_eq!(refused("redis://redis.example:6379"), ServerError::Plaintext);
        assert_eq!(refused("redis://gateway@127.0.0.1"), ServerError::NoPassword);
        assert_eq!(refused("rediss://redis.example/#insecure"), ServerError::Url);
        assert_eq!(refused("redis://127.0.0.1/?protocol=resp3"), ServerError::Url);
        for url in [
            "redis://127.0.0.1:6379/3",
            "redis://[::1]:6379",
            "redis://gateway@localhost",
            "redis+unix:///run/redis.sock",
        ] {
            RedisServer::new(url, Some("secret"), None, None, false).unwrap();
        }
        RedisServer::new("redis://redis.example:6379", None, None, None, true).unwrap();
        let ca = Some(b"no PEM".to_vec());
        assert_eq!(
            RedisServer::new("redis://127.0.0.1", None, ca.clone(), None, false).unwrap_err(),
            ServerError::NoTls
        );
        assert_eq!(
            RedisServer::new("rediss://redis.example", None, ca, None, false).unwrap_err(),
            ServerError::Pem
        );
    }

    #[test]
    fn a_password_is_not_shown() {
        let server = RedisServer::new("redis://127.0.0.1:6379", Some("secret"), None, None, false).unwrap();
        assert!(!format!("{server:?}").contains("secret"));
    }
}

//! Where the server is, and whom to believe that it is the one.

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use url::Url;

/// The address of a server. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Server {
    pub(crate) url: Url,
    /// Absent where the connection is not encrypted.
    pub(crate) tls: Option<Arc<ClientConfig>>,
}

/// Why an address is none.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// It is no URL.
    #[error("{given:?} is not an address such as wss://ambo.example.org/ws: {source}")]
    NotAUrl {
        /// What was given.
        given: String,
        /// What is wrong with it.
        source: url::ParseError,
    },
    /// It is a URL of something else.
    #[error("{0:?} is not an address such as ws://127.0.0.1:8080/ws or wss://ambo.example.org/ws")]
    NotAWebSocket(String),
    /// No certificate is trusted.
    #[error("no trusted root certificates: {0}")]
    NoRoots(String),
    /// A root that was given is not one.
    #[error("a root certificate is not usable")]
    BadRoot(#[source] rustls::Error),
}

impl Server {
    /// Reads an address. `wss://` is checked with the roots that the system trusts.
    pub fn parse(address: &str) -> Result<Self, ServerError> {
        Self::with_roots(address, None)
    }

    /// The same, trusting only certificates that these roots stand for.
    pub fn trusting(
        address: &str,
        roots: impl IntoIterator<Item = CertificateDer<'static>>,
    ) -> Result<Self, ServerError> {
        let mut store = rustls::RootCertStore::empty();
        for root in roots {
            store.add(root).map_err(ServerError::BadRoot)?;
        }
        Self::with_roots(address, Some(store))
    }

    /// The address.
    pub fn url(&self) -> &Url {
        &self.url
    }

    fn with_roots(
        address: &str,
        roots: Option<rustls::RootCertStore>,
    ) -> Result<Self, ServerError> {
        let url = Url::parse(address)
            .map_err(|source| ServerError::NotAUrl { given: address.into(), source })?;
        let tls = match (url.scheme(), url.host()) {
            ("ws", Some(_)) => None,
            ("wss", Some(_)) => Some(Arc::new(trust(roots.map_or_else(system_roots, Ok)?)?)),
            _ => return Err(ServerError::NotAWebSocket(address.into())),
        };
        Ok(Self { url, tls })
    }
}

fn trust(roots: rustls::RootCertStore) -> Result<ClientConfig, ServerError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(ServerError::BadRoot)?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

fn system_roots() -> Result<rustls::RootCertStore, ServerError> {
    let found = rustls_native_certs::load_native_certs();
    let mut store = rustls::RootCertStore::empty();
    let (added, _) = store.add_parsable_certificates(found.certs);
    if added == 0 {
        let errors: Vec<_> = found.errors.iter().map(ToString::to_string).collect();
        return Err(ServerError::NoRoots(format!(
            "install the package ca-certificates or set SSL_CERT_FILE {}",
            errors.join("; ")
        )));
    }
    Ok(store)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_that_of_a_websocket() {
        for good in ["ws://127.0.0.1:8080/ws", "ws://[::1]:8080", "ws://host/prod?x=1"] {
            assert!(Server::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "host", "http://host/", "https://host/", "127.0.0.1:8080", "ws://"] {
            assert!(Server::parse(bad).is_err(), "{bad}");
        }
    }
}

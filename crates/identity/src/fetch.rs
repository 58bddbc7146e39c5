//! Asking an issuer for its keys.

use std::net::IpAddr;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use serde::Deserialize;

use crate::key_set::KeySet;

/// How long a connection to the issuer may take. A speaker is waiting.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);

/// How long everything may take, from the first lookup to the last byte of the last document.
const TOTAL_LIMIT: Duration = Duration::from_secs(5);

/// The largest document read, in bytes. Key sets are 1 to 20 KiB, with certificates 100.
pub(crate) const MAX_DOCUMENT: usize = 256 * 1024;

/// Knows where an issuer's keys are, and fetches them.
pub(crate) struct Fetcher {
    client: Client,
    place: Place,
}

/// Where the keys are.
enum Place {
    /// At this address.
    Keys(Url),
    /// Where the issuer's discovery document says. It is read each time, as keys may move.
    Discovery { document: Url, issuer: String },
}

/// Why an issuer's keys could not be had.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Nobody has asked yet.
    #[error("the issuer's keys were never asked for")]
    NeverAsked,
    /// It took too long.
    #[error("the issuer took longer than {} s", TOTAL_LIMIT.as_secs())]
    TooSlow,
    /// No connection, no TLS, or it broke.
    #[error("the issuer cannot be reached")]
    Http(#[source] reqwest::Error),
    /// It answered, but not with a document.
    #[error("{url} answered with status {status}")]
    Status {
        /// What was asked for.
        url: String,
        /// The HTTP status; redirections are not followed.
        status: u16,
    },
    /// The document is too large.
    #[error("{url} is larger than {MAX_DOCUMENT} bytes")]
    TooLarge {
        /// What was asked for.
        url: String,
    },
    /// The document is not one.
    #[error("{url} is not the document it should be")]
    Malformed {
        /// What was asked for.
        url: String,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// The discovery document is somebody else's.
    #[error("{url} speaks for another issuer than the configured one")]
    OtherIssuer {
        /// What was asked for.
        url: String,
    },
    /// The discovery document names an address that is not safe to use.
    #[error("{url} names a jwks_uri that is not allowed")]
    BadAddress {
        /// What was asked for.
        url: String,
        /// Why not.
        source: AddressError,
    },
    /// There is not one key that we could use.
    #[error("{url} holds no key for RS256, ES256 or EdDSA with a kid")]
    NoKeys {
        /// What was asked for.
        url: String,
    },
}

/// Why an address is not used.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// It is no address.
    #[error("{0:?} is no web address")]
    Malformed(String),
    /// Keys fetched in the clear can be changed on the way.
    #[error("{0:?} must be https (http is for this very machine only), without user or password")]
    Unsafe(String),
}

impl Fetcher {
    /// Fetches keys from `jwks`.
    pub(crate) fn of_keys(jwks: &str) -> Result<Self, OidcError> {
        Self::new(Place::Keys(address(jwks)?))
    }

    /// Fetches keys from where the issuer says.
    pub(crate) fn of_issuer(issuer: &str) -> Result<Self, OidcError> {
        // OpenID Connect Discovery 1.0 §4: a slash at the end goes before the path is added.
        let document = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        Self::new(Place::Discovery { document: address(&document)?, issuer: issuer.to_owned() })
    }

    fn new(place: Place) -> Result<Self, OidcError> {
        let (Place::Keys(first) | Place::Discovery { document: first, .. }) = &place;
        let mut client = Client::builder()
            .user_agent(concat!("ambo/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_LIMIT)
            .timeout(TOTAL_LIMIT)
            // An issuer's documents do not move about, and a redirection could leave TLS.
            .redirect(Policy::none())
            // One request in an hour: a connection kept open would be dead by then.
            .pool_max_idle_per_host(0);
        if is_this_machine(first) {
            // A proxy's idea of "localhost" is another one.
            client = client.no_proxy();
        }
        let client = client.build().map_err(OidcError::Client)?;
        Ok(Self { client, place })
    }

    /// The issuer's keys as they are now.
    pub(crate) async fn keys(&self) -> Result<KeySet, FetchError> {
        let keys = async {
            match &self.place {
                Place::Keys(url) => self.keys_at(url).await,
                Place::Discovery { document, issuer } => {
                    self.keys_at(&self.discover(document, issuer).await?).await
                }
            }
        };
        tokio::time::timeout(TOTAL_LIMIT, keys).await.unwrap_or(Err(FetchError::TooSlow))
    }

    async fn keys_at(&self, url: &Url) -> Result<KeySet, FetchError> {
        let document = self.document(url).await?;
        let keys = KeySet::parse(&document)
            .map_err(|source| FetchError::Malformed { url: url.to_string(), source })?;
        // An issuer that has no key at all is rather broken than without keys.
        if keys.is_empty() {
            return Err(FetchError::NoKeys { url: url.to_string() });
        }
        Ok(keys)
    }

    async fn discover(&self, url: &Url, issuer: &str) -> Result<Url, FetchError> {
        let document = self.document(url).await?;
        let discovered: Discovered = serde_json::from_slice(&document)
            .map_err(|source| FetchError::Malformed { url: url.to_string(), source })?;
        // OpenID Connect Discovery 1.0 §4.3: they must be the same to the letter.
        if discovered.issuer != issuer {
            return Err(FetchError::OtherIssuer { url: url.to_string() });
        }
        address(&discovered.jwks_uri)
            .map_err(|source| FetchError::BadAddress { url: url.to_string(), source })
    }

    async fn document(&self, url: &Url) -> Result<Vec<u8>, FetchError> {
        let request = self.client.get(url.clone()).header("accept", "application/json");
        let mut response = request.send().await.map_err(FetchError::Http)?;
        if response.status() != 200 {
            let status = response.status().as_u16();
            return Err(FetchError::Status { url: url.to_string(), status });
        }
        let mut document = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(FetchError::Http)? {
            if document.len() + chunk.len() > MAX_DOCUMENT {
                return Err(FetchError::TooLarge { url: url.to_string() });
            }
            document.extend_from_slice(&chunk);
        }
        Ok(document)
    }
}

/// Why an issuer cannot be used at all.
#[derive(Debug, thiserror::Error)]
pub enum OidcError {
    /// Without an audience, every token the issuer ever made for anybody would do.
    #[error("an issuer needs at least one audience")]
    NoAudience,
    /// The issuer's address, or that of its keys.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// For example because this machine knows no certificate authorities.
    #[error("cannot make an HTTPS client")]
    Client(#[source] reqwest::Error),
}

#[derive(Deserialize)]
struct Discovered {
    issuer: String,
    jwks_uri: String,
}

/// An address that may be asked: https, or http on this very machine.
pub(crate) fn address(text: &str) -> Result<Url, AddressError> {
    let url = Url::parse(text).map_err(|_| AddressError::Malformed(text.to_owned()))?;
    let is_safe = url.scheme() == "https" || (url.scheme() == "http" && is_this_machine(&url));
    let is_plain = url.username().is_empty() && url.password().is_none();
    if is_safe && is_plain { Ok(url) } else { Err(AddressError::Unsafe(text.to_owned())) }
}

fn is_this_machine(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_over_tls_or_from_this_machine() {
        for good in [
            "https://id.example.org/realms/hall",
            "http://127.0.0.1:9/jwks",
            "http://[::1]:9/jwks",
            "http://localhost/jwks",
        ] {
            assert!(address(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "id.example.org",
            "http://id.example.org/",
            "http://localhost.example.org/",
            "http://10.0.0.1/",
            "ftp://id.example.org/",
            "file:///etc/passwd",
            "https://ann:secret@id.example.org/",
        ] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }
}

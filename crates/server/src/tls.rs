//! TLS by certificate files, read again when they change.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::Context;
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// The server's certificate.
#[derive(Debug)]
pub(crate) struct Tls {
    cert: PathBuf,
    key: PathBuf,
    config: ArcSwap<ServerConfig>,
    read_at: Mutex<Option<(SystemTime, SystemTime)>>,
}

impl Tls {
    /// Reads the files; an error names the one at fault.
    pub(crate) fn open(cert: PathBuf, key: PathBuf) -> anyhow::Result<Self> {
        let config = ArcSwap::from_pointee(read(&cert, &key)?);
        let read_at = Mutex::new(changed_at(&cert, &key));
        Ok(Self { cert, key, config, read_at })
    }

    /// An acceptor with the certificate of this moment.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config.load_full())
    }

    /// Reads the files again if they have changed. A pair that does not fit, as in the middle of
    /// a renewal, is left for the next look; the old one goes on.
    pub(crate) fn reload(&self) {
        let changed_at = changed_at(&self.cert, &self.key);
        if changed_at.is_none() || *self.read_at.lock() == changed_at {
            return;
        }
        match read(&self.cert, &self.key) {
            Ok(config) => {
                self.config.store(Arc::new(config));
                tracing::info!(component = "tls", operation = "reload", "certificate reloaded");
            }
            Err(error) => tracing::error!(
                component = "tls",
                operation = "reload",
                errorCode = "TLS_RELOAD",
                error = format!("{error:#}"),
                "the certificate changed but cannot be used; the old one stays"
            ),
        }
        *self.read_at.lock() = changed_at;
    }
}

fn changed_at(cert: &Path, key: &Path) -> Option<(SystemTime, SystemTime)> {
    let changed = |path: &Path| path.metadata().ok()?.modified().ok();
    Some((changed(cert)?, changed(key)?))
}

fn read(cert: &Path, key: &Path) -> anyhow::Result<ServerConfig> {
    let chain = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("tls_cert: {} is no chain of PEM certificates", cert.display()))?;
    if chain.is_empty() {
        anyhow::bail!("tls_cert: {} holds no certificate in PEM", cert.display());
    }
    let private = PrivateKeyDer::from_pem_file(key)
        .with_context(|| format!("tls_key: {} is no private key in PEM", key.display()))?;
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .with_context(|| format!("tls_key {} does not fit tls_cert", key.display()))?;
    // WebSocket over HTTP/2 (RFC 8441) is not served.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

//! TLS of the listener (rustls over ring): certificate and key from PEM files, read again when they change; optionally
//! authorities whose client certificates are believed (mutual TLS).
//!
//! TLS 1.2 and 1.3 with the suites that rustls has: forward secrecy and authenticated encryption throughout. A
//! certificate that is presented must be good: of an unknown authority or expired, the handshake fails. Who presents
//! none comes in without, and is asked for other credentials where they are needed.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use kernel::{Refusal, Result};
use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// Where the listener's certificate and key are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate with the chain to its authority, PEM.
    pub certificate: PathBuf,
    /// The private key, PEM.
    pub key: PathBuf,
    /// Authorities whose client certificates are believed, PEM; none: no certificate is asked for.
    pub client_authorities: Option<PathBuf>,
}

/// What new connections are greeted with, and how old the files were that it was read from.
struct Greeting {
    config: Arc<ServerConfig>,
    seen: Vec<Option<SystemTime>>,
}

/// The TLS side of a listener. Cheap to clone; clones see what was read again.
#[derive(Clone)]
pub struct Tls {
    files: Arc<TlsFiles>,
    now: Arc<RwLock<Greeting>>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("files", &self.files).finish_non_exhaustive()
    }
}

fn unusable(path: &Path, why: impl std::fmt::Display) -> Refusal {
    Refusal::invalid("tls.files", format!("TLS 文件 {} 不能使用：{why}", path.display()))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let found: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| unusable(path, error))?;
    if found.is_empty() {
        return Err(unusable(path, "里面没有证书（PEM）").into());
    }
    Ok(found)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn read(files: &TlsFiles) -> Result<ServerConfig> {
    let chain = certificates(&files.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| unusable(&files.key, error))?;
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|error| unusable(&files.certificate, error))?;
    let builder = match &files.client_authorities {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for authority in certificates(path)? {
                roots.add(authority).map_err(|error| unusable(path, error))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
                .allow_unauthenticated()
                .build()
                .map_err(|error| unusable(path, error))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config =
        builder.with_single_cert(chain, key).map_err(|error| unusable(&files.certificate, error))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn times(files: &TlsFiles) -> Vec<Option<SystemTime>> {
    [Some(&files.certificate), Some(&files.key), files.client_authorities.as_ref()]
        .into_iter()
        .flatten()
        .map(|path| std::fs::metadata(path).and_then(|m| m.modified()).ok())
        .collect()
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// Refuses files that are missing, hold something else, or do not belong together.
    pub fn open(files: TlsFiles) -> Result<Self> {
        let seen = times(&files);
        let config = Arc::new(read(&files)?);
        Ok(Self { files: Arc::new(files), now: Arc::new(RwLock::new(Greeting { config, seen })) })
    }

    /// Reads the files again if they have changed, or in any case (`force`); whether it did. Connections that are open
    /// keep what they began with.
    ///
    /// # Errors
    /// Refuses files that cannot be used; what was read before serves on.
    pub fn reload(&self, force: bool) -> Result<bool> {
        let seen = times(&self.files);
        {
            let now = self.now.read().unwrap_or_else(PoisonError::into_inner);
            if !force && now.seen == seen {
                return Ok(false);
            }
        }
        let config = Arc::new(read(&self.files)?);
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = Greeting { config, seen };
        Ok(true)
    }

    /// What the next connection is to be greeted with.
    pub(super) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.now.read().unwrap_or_else(PoisonError::into_inner).config)
    }
}

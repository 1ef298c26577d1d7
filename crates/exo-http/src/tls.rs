//! TLS on the server's port: the certificate that it shows, and the handshake.

use crate::raw_answer;
use crate::stall::StallGuard;
use exo_wire::ApiError;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{Error, ServerConfig};
use tokio_rustls::server::TlsStream;

/// Bytes that are read of a request that came without TLS, so that its client sees the answer.
const LAST_READ: u64 = 64 << 10;

/// A connection through TLS. What is guarded is the socket itself: TLS takes much before it lets a writer wait.
pub(crate) type Secured = TlsStream<StallGuard<TcpStream>>;

/// A certificate with its private key. Clones share it; `Debug` hides it.
#[derive(Clone)]
pub struct Certificate(Arc<ServerConfig>);

/// Why a certificate cannot be shown, or not be looked for.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("`{setting}` {path} cannot be read: {source}; let the user that runs exo read it, or name another file")]
    Unreadable {
        /// Which of the two.
        setting: &'static str,
        /// Where.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// There is something else in the file, or nothing.
    #[error("`{setting}` {path} holds no {what} ({source}); it has to be a PEM file, without a passphrase")]
    NotPem {
        /// Which of the two.
        setting: &'static str,
        /// Where.
        path: PathBuf,
        /// What should be there.
        what: &'static str,
        /// What is wrong.
        source: pem::Error,
    },
    /// The two do not belong together.
    #[error(
        "`api.tls.key` {key} is not the key of the first certificate in `api.tls.certificate` {certificate}; \
             name two files that were made together, the server's own certificate first"
    )]
    Mismatch {
        /// Where the certificate is.
        certificate: PathBuf,
        /// Where the key is.
        key: PathBuf,
    },
    /// TLS takes neither.
    #[error(
        "`api.tls.certificate` {certificate} and `api.tls.key` {key} cannot be used: {source}; \
             have them made anew, for RSA, ECDSA or Ed25519"
    )]
    Unusable {
        /// Where the certificate is.
        certificate: PathBuf,
        /// Where the key is.
        key: PathBuf,
        /// What is wrong.
        source: Error,
    },
}

impl Certificate {
    /// Reads PEM files: the certificate and those between it and its authority, and its private key.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, CertificateError> {
        let chain = chain(certificate)?;
        let private = PrivateKeyDer::from_pem_slice(&file("api.tls.key", key)?).map_err(not_pem(
            "api.tls.key",
            key,
            "private key",
        ))?;
        let builder = ServerConfig::builder_with_provider(provider());
        let made = builder.with_safe_default_protocol_versions();
        let made = made.and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, private));
        let (certificate, key) = (certificate.to_owned(), key.to_owned());
        let mut made = made.map_err(|source| match source {
            Error::InconsistentKeys(_) => CertificateError::Mismatch { certificate, key },
            source => CertificateError::Unusable { certificate, key, source },
        })?;
        made.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(Arc::new(made)))
    }

    /// Has the handshake done by then, or gives the connection up. Whoever fails is not worth more than a line for
    /// those who look for one: anybody can fail as often as they like.
    pub(crate) async fn accept(&self, stream: TcpStream, patience: Duration) -> Option<Secured> {
        match timeout(patience, self.shake_hands(stream, patience)).await {
            Ok(Ok(secured)) => Some(secured),
            Ok(Err(error)) => {
                tracing::debug!(%error, "a handshake failed");
                None
            }
            Err(_) => {
                tracing::debug!("a handshake was not done after {patience:?}");
                None
            }
        }
    }

    async fn shake_hands(&self, mut stream: TcpStream, patience: Duration) -> io::Result<Secured> {
        let mut first = [0];
        stream.peek(&mut first).await?;
        // The first byte of TLS is no letter, that of every request is.
        if first[0].is_ascii_alphabetic() {
            refuse(&mut stream).await;
            return Err(io::Error::other("a request came without TLS"));
        }
        TlsAcceptor::from(self.0.clone()).accept(StallGuard::new(stream, patience)).await
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Certificate(…)")
    }
}

/// The one that all of exo computes with.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// The certificates of a PEM file, at least one.
pub(crate) fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let setting = "api.tls.certificate";
    let chain = CertificateDer::pem_slice_iter(&file(setting, path)?).collect::<Result<Vec<_>, _>>();
    let chain = chain.and_then(|chain| if chain.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(chain) });
    chain.map_err(not_pem(setting, path, "certificate"))
}

fn file(setting: &'static str, path: &Path) -> Result<Vec<u8>, CertificateError> {
    std::fs::read(path).map_err(|source| CertificateError::Unreadable { setting, path: path.to_owned(), source })
}

fn not_pem(setting: &'static str, path: &Path, what: &'static str) -> impl FnOnce(pem::Error) -> CertificateError {
    move |source| CertificateError::NotPem { setting, path: path.to_owned(), what, source }
}

/// Tells a client in its own words. What it still sends is read: the end of a connection with something unread in it
/// takes the answer away.
async fn refuse(stream: &mut TcpStream) {
    let what = "this port speaks HTTPS; ask https:// instead of http://";
    raw_answer::give(&mut *stream, &ApiError::new(400, "https_only", what)).await;
    let _ = tokio::io::copy(&mut stream.take(LAST_READ), &mut tokio::io::sink()).await;
}

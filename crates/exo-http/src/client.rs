//! The other side: asks a server, each time on a connection of its own.

use crate::tls::{CertificateError, chain, provider};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{Method, Request, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    CertificateError as Wrong, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

/// Whose certificates a client takes.
#[derive(Debug, Clone)]
pub enum Trust {
    /// Those of the authorities that this machine trusts, for the name in the URL. `SSL_CERT_FILE` names others.
    Authorities,
    /// The first one in this PEM file, whatever name it is for: this machine's own server.
    Certificate(PathBuf),
}

/// Asks one server.
#[derive(Debug, Clone)]
pub struct Client {
    url: String,
    trust: Trust,
}

/// What was answered, as it comes.
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    body: Incoming,
    _connection: (SendRequest<Full<Bytes>>, JoinSet<()>),
}

/// Why there is no answer, or no more of it.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Not to be understood.
    #[error("{0:?} is no URL such as https://atlas:52415")]
    Url(String),
    /// Nobody listens, or the handshake fails.
    #[error("{0}")]
    Connect(io::Error),
    /// The certificate to be looked for cannot be read.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// This machine trusts nobody.
    #[error(
        "this machine has no certificates of authorities ({0}); install them (Debian: ca-certificates), or set SSL_CERT_FILE"
    )]
    Authorities(String),
    /// TLS refuses to begin.
    #[error(transparent)]
    Tls(#[from] Error),
    /// The connection broke, or something else than HTTP is spoken.
    #[error(transparent)]
    Http(#[from] hyper::Error),
}

trait Connection: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Connection for T {}

impl Client {
    /// Of the server there: `https://atlas:52415`.
    pub fn new(url: impl Into<String>, trust: Trust) -> Self {
        Self { url: url.into().trim_end_matches('/').to_owned(), trust }
    }

    /// Where it asks.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Asks, with a key if there is one. A body is JSON. Waits as long as the server does.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        key: Option<&str>,
        body: Option<String>,
    ) -> Result<Answer, AskError> {
        let bad_url = || AskError::Url(format!("{}{path}", self.url));
        let uri: Uri = format!("{}{path}", self.url).parse().map_err(|_| bad_url())?;
        let authority = uri.authority().ok_or_else(bad_url)?.as_str();
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        let mut request = Request::builder().method(method).uri(target).header(HOST, authority);
        if let Some(key) = key {
            request = request.header(AUTHORIZATION, format!("Bearer {key}"));
        }
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let request = request.body(Full::from(body.unwrap_or_default())).map_err(|_| bad_url())?;
        let (mut sender, connection) = handshake(TokioIo::new(self.connect(&uri).await?)).await?;
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            // Whoever reads the answer is told.
            let _ = connection.await;
        });
        let response = sender.send_request(request).await?;
        let status = response.status().as_u16();
        Ok(Answer { status, body: response.into_body(), _connection: (sender, driver) })
    }

    async fn connect(&self, uri: &Uri) -> Result<Box<dyn Connection>, AskError> {
        let bad_url = || AskError::Url(self.url.clone());
        let is_secure = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(bad_url()),
        };
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let port = uri.port_u16().unwrap_or(if is_secure { 443 } else { 80 });
        let stream = TcpStream::connect((host, port)).await.map_err(AskError::Connect)?;
        if !is_secure {
            return Ok(Box::new(stream));
        }
        let name = ServerName::try_from(host.to_owned()).map_err(|_| bad_url())?;
        let connector = TlsConnector::from(Arc::new(self.trust.config()?));
        Ok(Box::new(connector.connect(name, stream).await.map_err(AskError::Connect)?))
    }
}

impl Answer {
    /// The next piece, or nothing at the end.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, AskError> {
        while let Some(frame) = self.body.frame().await {
            if let Ok(data) = frame?.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    /// All of it.
    pub async fn text(self) -> Result<String, AskError> {
        Ok(String::from_utf8_lossy(&self.body.collect().await?.to_bytes()).into_owned())
    }
}

impl Trust {
    fn config(&self) -> Result<ClientConfig, AskError> {
        let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
        Ok(match self {
            Self::Authorities => {
                let mut roots = RootCertStore::empty();
                let found = rustls_native_certs::load_native_certs();
                let (added, _) = roots.add_parsable_certificates(found.certs);
                if added == 0 {
                    let reason = found.errors.first().map_or_else(|| "none found".to_owned(), ToString::to_string);
                    return Err(AskError::Authorities(reason));
                }
                builder.with_root_certificates(roots).with_no_client_auth()
            }
            Self::Certificate(path) => {
                let own = chain(path)?.swap_remove(0);
                let only = Only { own, provider: provider() };
                builder.dangerous().with_custom_certificate_verifier(Arc::new(only)).with_no_client_auth()
            }
        })
    }
}

/// Takes one certificate. Whoever shows it has its key, for the handshake is signed with that.
#[derive(Debug)]
struct Only {
    own: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Only {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        _between: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match *shown == self.own {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(Error::InvalidCertificate(Wrong::UnknownIssuer)),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

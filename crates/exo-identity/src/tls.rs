//! TLS as exo speaks it: version 1.3, both sides with a certificate of the cluster's authority, no resumption (a ticket
//! would outlive a revocation), no names of hosts (certificates name nodes).

use crate::certificate::{Facts, roots_of};
use crate::error::{CryptoError, PeerRefused};
use crate::fingerprint::Fingerprint;
use crate::identity::Identity;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::cipher_suite::{
    TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, OtherError,
    ServerConfig, SignatureScheme,
};
use std::sync::Arc;

/// What a link of the bus asks for (ALPN).
pub const BUS: &[u8] = b"exo-bus/1";
/// What a link between two runners asks for.
pub const TENSOR: &[u8] = b"exo-tensor/1";
/// What a node that wants to be let in asks for. The only one that needs no certificate.
pub const JOIN: &[u8] = b"exo-join/1";

impl Identity {
    /// For links that are accepted: the peer has to show a certificate of ours.
    pub fn server_config(&self, protocol: &[u8]) -> Result<Arc<ServerConfig>, CryptoError> {
        let builder = ServerConfig::builder_with_provider(Arc::new(provider()));
        let builder =
            builder.with_protocol_versions(&[&rustls::version::TLS13]).map_err(CryptoError::new("use TLS"))?;
        let verifier = Arc::new(Peers(self.clone()));
        let config = builder.with_client_cert_verifier(verifier).with_cert_resolver(Arc::new(Own(self.clone())));
        Ok(Arc::new(settled(config, protocol)))
    }

    /// For links that are opened.
    pub fn client_config(&self, protocol: &[u8]) -> Result<Arc<ClientConfig>, CryptoError> {
        let builder = ClientConfig::builder_with_provider(Arc::new(provider()));
        let builder =
            builder.with_protocol_versions(&[&rustls::version::TLS13]).map_err(CryptoError::new("use TLS"))?;
        let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(Peers(self.clone())));
        let mut config = builder.with_client_cert_resolver(Arc::new(Own(self.clone())));
        config.alpn_protocols = vec![protocol.to_vec()];
        config.resumption = Resumption::disabled();
        config.enable_sni = false;
        Ok(Arc::new(config))
    }

    /// For nodes that have no certificate yet: the other side shows ours, and is asked for none.
    pub fn join_server_config(&self) -> Result<Arc<ServerConfig>, CryptoError> {
        let builder = ServerConfig::builder_with_provider(Arc::new(provider()));
        let builder =
            builder.with_protocol_versions(&[&rustls::version::TLS13]).map_err(CryptoError::new("use TLS"))?;
        let config = builder.with_no_client_auth().with_cert_resolver(Arc::new(Own(self.clone())));
        Ok(Arc::new(settled(config, JOIN)))
    }
}

/// The other side of [`Identity::join_server_config`]: whoever answers has to show a certificate of that authority.
pub fn join_client_config(cluster: Fingerprint) -> Result<Arc<ClientConfig>, CryptoError> {
    let builder = ClientConfig::builder_with_provider(Arc::new(provider()));
    let builder = builder.with_protocol_versions(&[&rustls::version::TLS13]).map_err(CryptoError::new("use TLS"))?;
    let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(Pinned(cluster)));
    let mut config = builder.with_no_client_auth();
    config.alpn_protocols = vec![JOIN.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_sni = false;
    Ok(Arc::new(config))
}

/// TLS wants a name of a host; ours are not looked at.
pub fn server_name() -> ServerName<'static> {
    ServerName::try_from("exo.invalid").expect("a name as of a host")
}

/// Who the other side of a finished handshake is. The handshake has checked the certificate already.
pub fn peer_of(certificates: Option<&[CertificateDer<'_>]>) -> Result<Facts, PeerRefused> {
    let first = certificates.and_then(<[_]>::first).ok_or(PeerRefused::NoCertificate)?;
    Facts::read(first)
}

/// Why a handshake failed: what we hold against the peer, or the peer against us.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeRefused {
    /// We refuse the peer.
    #[error(transparent)]
    Peer(#[from] PeerRefused),
    /// The peer refuses us.
    #[error("the peer refuses this node: {0}")]
    Us(&'static str),
    /// It does not speak TLS as we do.
    #[error("the peer does not speak as a node of exo does: {0}")]
    Protocol(String),
}

impl HandshakeRefused {
    /// One word, for counters.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Peer(refused) => refused.word(),
            Self::Us(_) => "refused_by_peer",
            Self::Protocol(_) => "protocol",
        }
    }
}

impl From<&Error> for HandshakeRefused {
    fn from(error: &Error) -> Self {
        use CertificateError as Wrong;
        match error {
            Error::InvalidCertificate(Wrong::Other(OtherError(inner))) => match inner.downcast_ref::<PeerRefused>() {
                Some(refused) => Self::Peer(refused.clone()),
                None => Self::Protocol(error.to_string()),
            },
            Error::InvalidCertificate(Wrong::Revoked) => Self::Peer(PeerRefused::Revoked { node: "it is".to_owned() }),
            Error::InvalidCertificate(Wrong::Expired) => Self::Peer(PeerRefused::Expired),
            Error::InvalidCertificate(Wrong::NotValidYet) => Self::Peer(PeerRefused::NotYet),
            Error::InvalidCertificate(Wrong::UnknownIssuer) => Self::Peer(PeerRefused::OtherCluster),
            Error::NoCertificatesPresented => Self::Peer(PeerRefused::NoCertificate),
            Error::AlertReceived(alert) => Self::Us(told(*alert)),
            other => Self::Protocol(other.to_string()),
        }
    }
}

/// What the peer means by an alert.
fn told(alert: AlertDescription) -> &'static str {
    match alert {
        AlertDescription::UnknownCA => "it belongs to another cluster",
        AlertDescription::CertificateExpired => "this node's certificate is not valid by the peer's clock",
        AlertDescription::CertificateRevoked => "this node was revoked; admit it anew with a join token",
        AlertDescription::CertificateRequired => "this node has no certificate",
        AlertDescription::NoApplicationProtocol => "it listens there for something else",
        _ => "it does not accept this node's certificate",
    }
}

/// Takes the refusal out of an error of tokio's or the standard library's adapter.
pub fn refusal_of(error: &std::io::Error) -> Option<HandshakeRefused> {
    error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()).map(HandshakeRefused::from)
}

fn provider() -> CryptoProvider {
    CryptoProvider {
        // The first that both have: AES with 128 bits is as fast as it gets where the processor knows AES.
        cipher_suites: vec![TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256],
        ..rustls::crypto::ring::default_provider()
    }
}

fn settled(mut config: ServerConfig, protocol: &[u8]) -> ServerConfig {
    config.alpn_protocols = vec![protocol.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config
}

/// Shows our certificate, whichever it is at that moment.
#[derive(Debug)]
struct Own(Identity);

impl ResolvesServerCert for Own {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.current().for_tls.clone())
    }
}

impl rustls::client::ResolvesClientCert for Own {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.current().for_tls.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// As TLS has to say it: some reasons have an alert of their own, so that the peer learns what is wrong.
fn say(refused: PeerRefused) -> Error {
    let wrong = match refused {
        PeerRefused::OtherCluster => CertificateError::UnknownIssuer,
        PeerRefused::Expired => CertificateError::Expired,
        PeerRefused::NotYet => CertificateError::NotValidYet,
        PeerRefused::Revoked { .. } => CertificateError::Revoked,
        other => CertificateError::Other(OtherError(Arc::new(other))),
    };
    Error::InvalidCertificate(wrong)
}

fn verify_signature(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signature: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, Error> {
    let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
    rustls::crypto::verify_tls13_signature(message, certificate, signature, &algorithms)
}

macro_rules! signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Err(Error::General("TLS 1.2 is not spoken here".to_owned()))
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_signature(message, certificate, signature)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            vec![SignatureScheme::ED25519]
        }
    };
}

/// Accepts whom the identity accepts.
#[derive(Debug)]
struct Peers(Identity);

impl ServerCertVerifier for Peers {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.0.check(certificate, now).map(|_| ServerCertVerified::assertion()).map_err(say)
    }

    signatures!();
}

impl ClientCertVerifier for Peers {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.0.check(certificate, now).map(|_| ClientCertVerified::assertion()).map_err(say)
    }

    signatures!();
}

/// Accepts any node of one cluster, known by its authority's fingerprint alone.
#[derive(Debug)]
struct Pinned(Fingerprint);

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let authority = chain.iter().find(|authority| Fingerprint::of(authority) == self.0);
        let authority = authority.ok_or_else(|| say(PeerRefused::OtherCluster))?;
        let roots = roots_of(&authority.clone().into_owned())?;
        let facts = Facts::checked(certificate, &roots, now).map_err(say)?;
        match facts.name.cluster == self.0 {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(say(PeerRefused::OtherCluster)),
        }
    }

    signatures!();
}

#[cfg(test)]
mod tests;

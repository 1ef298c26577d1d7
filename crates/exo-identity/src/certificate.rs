//! What a certificate says, read with care.

use crate::error::PeerRefused;
use crate::fingerprint::Fingerprint;
use crate::key::PublicKey;
use crate::name::PeerName;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, RootCertStore};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Largest certificate that is looked at.
const LIMIT: usize = 8 << 10;

/// What stands in a node's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Whom it names.
    pub name: PeerName,
    /// Whose key it is.
    pub public_key: PublicKey,
    /// From then on.
    pub not_before: SystemTime,
    /// Until then.
    pub not_after: SystemTime,
}

impl Facts {
    /// Reads them. Nothing is proved by that: see [`Facts::checked`].
    pub fn read(certificate: &[u8]) -> Result<Self, PeerRefused> {
        let unreadable = |reason: &str| PeerRefused::Unreadable { reason: reason.to_owned() };
        if certificate.len() > LIMIT {
            return Err(unreadable("it is too long"));
        }
        let (rest, parsed) =
            X509Certificate::from_der(certificate).map_err(|error| unreadable(&format!("it is no X.509: {error}")))?;
        if !rest.is_empty() {
            return Err(unreadable("something follows it"));
        }
        let names = parsed.subject_alternative_name().map_err(|_| unreadable("it has two lists of names"))?;
        let uri = names.and_then(|names| match names.value.general_names.as_slice() {
            [GeneralName::URI(uri)] => Some(*uri),
            _ => None,
        });
        let name = uri.and_then(PeerName::from_uri).ok_or_else(|| unreadable("it names no node of exo"))?;
        let key = &parsed.public_key().subject_public_key.data;
        let public_key = PublicKey::from_bytes(key).ok_or_else(|| unreadable("its key is no Ed25519 key"))?;
        let validity = parsed.validity();
        Ok(Self {
            name,
            public_key,
            not_before: instant(validity.not_before.timestamp()),
            not_after: instant(validity.not_after.timestamp()),
        })
    }

    /// Reads a certificate that the authority has signed, and that is valid now.
    pub fn checked(
        certificate: &CertificateDer<'_>,
        roots: &RootCertStore,
        now: UnixTime,
    ) -> Result<Self, PeerRefused> {
        verify(certificate, roots, now)?;
        Self::read(certificate)
    }

    /// Reads a certificate that the authority has signed, also one whose time is over.
    pub fn checked_at_its_time(certificate: &CertificateDer<'_>, roots: &RootCertStore) -> Result<Self, PeerRefused> {
        let facts = Self::read(certificate)?;
        let since = facts.not_before.duration_since(UNIX_EPOCH).unwrap_or_default();
        verify(certificate, roots, UnixTime::since_unix_epoch(since))?;
        Ok(facts)
    }

    /// Name of the key.
    pub fn key_fingerprint(&self) -> Fingerprint {
        self.public_key.fingerprint()
    }
}

fn verify(certificate: &CertificateDer<'_>, roots: &RootCertStore, now: UnixTime) -> Result<(), PeerRefused> {
    let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
    let parsed = ParsedCertificate::try_from(certificate).map_err(|error| refused(&error))?;
    verify_server_cert_signed_by_trust_anchor(&parsed, roots, &[], now, algorithms.all).map_err(|error| refused(&error))
}

fn refused(error: &rustls::Error) -> PeerRefused {
    use CertificateError as Wrong;
    match error {
        rustls::Error::InvalidCertificate(Wrong::Expired | Wrong::ExpiredContext { .. }) => PeerRefused::Expired,
        rustls::Error::InvalidCertificate(Wrong::NotValidYet | Wrong::NotValidYetContext { .. }) => PeerRefused::NotYet,
        rustls::Error::InvalidCertificate(Wrong::UnknownIssuer | Wrong::BadSignature) => PeerRefused::OtherCluster,
        other => PeerRefused::Unreadable { reason: other.to_string() },
    }
}

fn instant(timestamp: i64) -> SystemTime {
    // A certificate of before 1970 has expired as well as one of 1970.
    UNIX_EPOCH + Duration::from_secs(u64::try_from(timestamp).unwrap_or(0))
}

/// A store with one authority in it.
pub(crate) fn roots_of(authority: &CertificateDer<'static>) -> Result<RootCertStore, rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.clone())?;
    Ok(roots)
}

/// The key in a certificate; none if it is no Ed25519 key.
pub(crate) fn key_of(certificate: &[u8]) -> Option<PublicKey> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    PublicKey::from_bytes(&parsed.public_key().subject_public_key.data)
}

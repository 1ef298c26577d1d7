//! An identity as it is right now; a renewal makes another.

use crate::authority::{Authority, RENEWED_BEFORE};
use crate::certificate::{Facts, roots_of};
use crate::error::CryptoError;
use crate::fingerprint::Fingerprint;
use crate::key::Key;
use crate::parts::IdentityParts;
use rustls::RootCertStore;
use rustls::crypto::ring::sign::any_eddsa_type;
use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;
use std::sync::Arc;
use std::time::SystemTime;

/// Key, certificate and authority, checked against each other.
#[derive(Debug)]
pub(crate) struct Current {
    pub facts: Facts,
    pub key: Key,
    pub certificate: CertificateDer<'static>,
    pub authority_certificate: CertificateDer<'static>,
    /// Where there is a master.
    pub authority: Option<Authority>,
    pub roots: RootCertStore,
    pub for_tls: Arc<CertifiedKey>,
}

impl Current {
    /// Whether the certificate is valid now is not asked: it may have to be renewed.
    pub fn new(parts: &IdentityParts) -> Result<Self, CryptoError> {
        let wrong = |reason: &str| CryptoError { action: "use this identity", reason: reason.to_owned() };
        let key = Key::from_pkcs8(&parts.key)?;
        let certificate = CertificateDer::from(parts.certificate.clone());
        let authority_certificate = CertificateDer::from(parts.authority.clone());
        let roots = roots_of(&authority_certificate).map_err(CryptoError::new("read the authority's certificate"))?;
        let facts =
            Facts::checked_at_its_time(&certificate, &roots).map_err(CryptoError::new("use this certificate"))?;
        if facts.public_key != key.public() {
            return Err(wrong("the key does not belong to the certificate"));
        }
        if facts.name.cluster != Fingerprint::of(&authority_certificate) {
            return Err(wrong("the certificate is of another cluster"));
        }
        let authority = parts.authority_key.as_ref().map(|key| {
            let key = Key::from_pkcs8(key)?;
            Authority::from_parts(key, authority_certificate.clone())
        });
        let signer = any_eddsa_type(&key.to_pkcs8().into()).map_err(CryptoError::new("use this key"))?;
        let chain = vec![certificate.clone(), authority_certificate.clone()];
        let for_tls = Arc::new(CertifiedKey::new(chain, signer));
        Ok(Self { facts, key, certificate, authority_certificate, authority: authority.transpose()?, roots, for_tls })
    }

    pub fn to_parts(&self) -> IdentityParts {
        IdentityParts {
            key: self.key.to_pkcs8(),
            certificate: self.certificate.to_vec(),
            authority: self.authority_certificate.to_vec(),
            authority_key: self.authority.as_ref().map(|authority| authority.key().to_pkcs8()),
        }
    }

    pub fn renew_at(&self) -> SystemTime {
        self.facts.not_after.checked_sub(RENEWED_BEFORE).unwrap_or(SystemTime::UNIX_EPOCH)
    }

    pub fn is_valid(&self, now: SystemTime) -> bool {
        self.facts.not_before <= now && now < self.facts.not_after
    }
}

//! The cluster's authority: whose signature makes a node one of us.

use crate::error::CryptoError;
use crate::fingerprint::{Fingerprint, hex};
use crate::key::{Key, PublicKey};
use crate::name::PeerName;
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyUsagePurpose, SanType, SerialNumber,
};
use ring::rand::{SecureRandom, SystemRandom};
use rustls::pki_types::CertificateDer;
use std::time::{Duration, SystemTime};
use time::OffsetDateTime;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a node's certificate is valid.
pub const VALIDITY: Duration = DAY.saturating_mul(30);
/// What is left of it when it is renewed: a third.
pub const RENEWED_BEFORE: Duration = DAY.saturating_mul(10);
/// Clocks of machines that were just started may be behind by so much.
const BACKDATED: Duration = DAY;
/// An authority outlives its cluster: nobody renews it.
const AUTHORITY_VALIDITY: Duration = DAY.saturating_mul(365 * 50);

/// A cluster's authority, with its key.
#[derive(Debug)]
pub struct Authority {
    key: Key,
    certificate: CertificateDer<'static>,
}

impl Authority {
    /// A new one, for a new cluster.
    pub fn found(now: SystemTime) -> Result<Self, CryptoError> {
        let key = Key::generate()?;
        let mut params = params(now, AUTHORITY_VALIDITY)?;
        // Two authorities with one name would look like one with a wrong signature.
        params.distinguished_name = named(&format!("exo cluster {}", hex(&random::<8>()?)));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(key.pair()).map_err(CryptoError::new("found a cluster"))?;
        Ok(Self { key, certificate: certificate.der().clone() })
    }

    /// From the key and the certificate that [`Self::key`] and [`Self::certificate`] gave.
    pub fn from_parts(key: Key, certificate: CertificateDer<'static>) -> Result<Self, CryptoError> {
        let authority = Self { key, certificate };
        if crate::certificate::key_of(&authority.certificate) != Some(authority.key.public()) {
            return Err(CryptoError {
                action: "use the authority's key",
                reason: "it does not belong to the authority's certificate".to_owned(),
            });
        }
        Ok(authority)
    }

    /// The key: whoever has it can admit anybody.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// What others check nodes with.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// Names the cluster.
    pub fn cluster(&self) -> Fingerprint {
        Fingerprint::of(&self.certificate)
    }

    /// Signs a node's certificate, valid from now on.
    pub fn issue(
        &self,
        public_key: &PublicKey,
        name: &PeerName,
        now: SystemTime,
    ) -> Result<CertificateDer<'static>, CryptoError> {
        let failed = "sign a certificate";
        let mut params = params(now, VALIDITY)?;
        params.distinguished_name = named("exo node");
        let uri = Ia5String::try_from(name.to_uri()).map_err(CryptoError::new(failed))?;
        params.subject_alt_names = vec![SanType::URI(uri)];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let issuer = Issuer::from_ca_cert_der(&self.certificate, self.key.pair()).map_err(CryptoError::new(failed))?;
        let certificate = params.signed_by(public_key, &issuer).map_err(CryptoError::new(failed))?;
        Ok(certificate.der().clone())
    }
}

fn params(now: SystemTime, validity: Duration) -> Result<CertificateParams, CryptoError> {
    let mut params = CertificateParams::default();
    let backdated = now.checked_sub(BACKDATED).unwrap_or(SystemTime::UNIX_EPOCH);
    params.not_before = OffsetDateTime::from(backdated);
    params.not_after = OffsetDateTime::from(now + validity);
    params.serial_number = Some(SerialNumber::from_slice(&random::<16>()?));
    Ok(params)
}

fn named(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

fn random<const N: usize>() -> Result<[u8; N], CryptoError> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(CryptoError::new("get random numbers"))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::{Facts, roots_of};
    use crate::error::PeerRefused;
    use exo_types::NodeId;
    use rustls::pki_types::UnixTime;

    fn name(authority: &Authority) -> PeerName {
        let node_id = NodeId::new("rack/1:a").expect("a good id");
        PeerName { cluster: authority.cluster(), namespace: "lab".to_owned(), node_id }
    }

    fn at(time: SystemTime) -> UnixTime {
        UnixTime::since_unix_epoch(time.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970"))
    }

    #[test]
    fn a_certificate_says_who_and_holds_for_thirty_days() {
        let now = SystemTime::now();
        let authority = Authority::found(now).expect("an authority");
        let roots = roots_of(authority.certificate()).expect("good");
        let key = Key::generate().expect("a key");
        let certificate = authority.issue(&key.public(), &name(&authority), now).expect("signs");
        let facts = Facts::checked(&certificate, &roots, at(now)).expect("good");
        assert_eq!((&facts.name, facts.public_key), (&name(&authority), key.public()));
        assert!(Facts::checked(&certificate, &roots, at(now + VALIDITY - DAY)).is_ok());
        let check = |when, expect| assert_eq!(Facts::checked(&certificate, &roots, at(when)), Err(expect));
        check(now + VALIDITY + DAY, PeerRefused::Expired);
        check(now - BACKDATED - DAY, PeerRefused::NotYet);
        assert_eq!(Facts::checked_at_its_time(&certificate, &roots), Ok(facts));
    }

    #[test]
    fn another_authority_is_not_ours() {
        let now = SystemTime::now();
        let (ours, theirs) = (Authority::found(now).expect("one"), Authority::found(now).expect("two"));
        let key = Key::generate().expect("a key");
        let certificate = theirs.issue(&key.public(), &name(&ours), now).expect("signs");
        let checked = Facts::checked(&certificate, &roots_of(ours.certificate()).expect("good"), at(now));
        assert_eq!(checked, Err(PeerRefused::OtherCluster));
        assert!(Authority::from_parts(key, ours.certificate().clone()).is_err());
    }

    #[test]
    fn changed_bytes_are_no_certificate() {
        let now = SystemTime::now();
        let authority = Authority::found(now).expect("an authority");
        let roots = roots_of(authority.certificate()).expect("good");
        let good = authority.issue(&Key::generate().expect("a key").public(), &name(&authority), now).expect("signs");
        for at_byte in 0..good.len() {
            let mut bytes = good.to_vec();
            bytes[at_byte] ^= 0x55;
            assert!(Facts::checked(&CertificateDer::from(bytes), &roots, at(now)).is_err(), "byte {at_byte}");
        }
        for length in 0..good.len() {
            assert!(Facts::read(&good[..length]).is_err(), "{length} bytes");
        }
        assert!(Facts::read(&[good.to_vec(), vec![0]].concat()).is_err());
        assert!(Facts::read(authority.certificate()).is_err(), "an authority is no node");
    }
}

//! Key pairs.

use crate::error::CryptoError;
use crate::fingerprint::Fingerprint;
use rcgen::{KeyPair, PKCS_ED25519, PublicKeyData, SignatureAlgorithm};
use ring::signature::{ED25519, UnparsedPublicKey};
use rustls::pki_types::PrivatePkcs8KeyDer;
use std::fmt;

/// Bytes of a public key.
pub const PUBLIC_KEY: usize = 32;

/// An Ed25519 key pair. Never shows its secret half.
pub struct Key {
    pair: KeyPair,
}

impl Key {
    /// A new one.
    pub fn generate() -> Result<Self, CryptoError> {
        Ok(Self { pair: KeyPair::generate_for(&PKCS_ED25519).map_err(CryptoError::new("make a key"))? })
    }

    /// Reads PKCS#8.
    pub fn from_pkcs8(bytes: &[u8]) -> Result<Self, CryptoError> {
        let pair = KeyPair::from_pkcs8_der_and_sign_algo(&PrivatePkcs8KeyDer::from(bytes), &PKCS_ED25519);
        Ok(Self { pair: pair.map_err(CryptoError::new("read a key"))? })
    }

    /// As PKCS#8: the secret.
    pub fn to_pkcs8(&self) -> Vec<u8> {
        self.pair.serialized_der().to_vec()
    }

    /// The half that everybody may know.
    pub fn public(&self) -> PublicKey {
        let mut bytes = [0; PUBLIC_KEY];
        bytes.copy_from_slice(self.pair.public_key_raw());
        PublicKey(bytes)
    }

    /// Signs.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, CryptoError> {
        use rcgen::SigningKey;
        self.pair.sign(message).map_err(CryptoError::new("sign"))
    }

    pub(crate) fn pair(&self) -> &KeyPair {
        &self.pair
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:?})", self.public().fingerprint())
    }
}

/// The public half of a [`Key`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey([u8; PUBLIC_KEY]);

impl PublicKey {
    /// From its bytes; none for another number of them.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8; PUBLIC_KEY] {
        &self.0
    }

    /// Its name.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.0)
    }

    /// Whether the signature over the message is of this key.
    pub fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.0).verify(message, signature).is_ok()
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({:?})", self.fingerprint())
    }
}

impl PublicKeyData for PublicKey {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ED25519
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_comes_back_and_shows_nothing_secret() {
        let key = Key::generate().expect("a key");
        let again = Key::from_pkcs8(&key.to_pkcs8()).expect("the same key");
        assert_eq!(key.public(), again.public());
        assert_eq!(format!("{key:?}"), format!("Key({})", key.public().fingerprint().short()));
        assert!(Key::from_pkcs8(b"no key").is_err());
    }

    #[test]
    fn only_the_key_signs_for_itself() {
        let (key, other) = (Key::generate().expect("a key"), Key::generate().expect("a key"));
        let signature = key.sign(b"message").expect("signs");
        assert!(key.public().has_signed(b"message", &signature));
        assert!(!key.public().has_signed(b"massage", &signature));
        assert!(!other.public().has_signed(b"message", &signature));
        assert!(!key.public().has_signed(b"message", b"short"));
    }
}

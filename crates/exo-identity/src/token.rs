//! Join tokens: one word that lets a node in.
//!
//! ```text
//! exo1-<base64url of:>
//! 0        32   40      72     73                          end-4
//! cluster  id   secret  count  (length, address) × count   checksum
//! ```
//! The secret is the seed of a key pair. The cluster keeps its public half only, and a node proves that it has the token
//! by a signature over what it asks for: who reads the State, or passes the question on, can admit nobody.

use crate::error::{CryptoError, TokenError};
use crate::fingerprint::{Fingerprint, LENGTH as CLUSTER, hex, unhex};
use crate::key::PublicKey;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use exo_types::JoinTokenId;
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{Ed25519KeyPair, KeyPair};
use std::fmt;
use std::str::FromStr;

const PREFIX: &str = "exo1-";
const ID: usize = 8;
const SECRET: usize = 32;
const CHECKSUM: usize = 4;
/// Addresses in a token: enough to find one master that lives.
pub const ADDRESSES: usize = 8;
/// Longest address: a host name and a port.
const ADDRESS_LIMIT: usize = 255;
/// Longest token in bytes of text.
pub const TOKEN_LIMIT: usize = 4096;

/// A join token. Never shows its secret but when it is printed on purpose.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    cluster: Fingerprint,
    id: [u8; ID],
    secret: [u8; SECRET],
    addresses: Vec<String>,
}

impl JoinToken {
    /// A new one, for the cluster of that authority. `addresses` are `host:port` of masters, best first; what is too
    /// much or too long is left out.
    pub fn generate(cluster: Fingerprint, addresses: impl IntoIterator<Item = String>) -> Result<Self, CryptoError> {
        let random = SystemRandom::new();
        let (mut id, mut secret) = ([0; ID], [0; SECRET]);
        let filled = random.fill(&mut id).and_then(|()| random.fill(&mut secret));
        filled.map_err(CryptoError::new("make a token"))?;
        Ok(Self { cluster, id, secret, addresses: usable(addresses) })
    }

    /// The same token, with other addresses: they are no part of the secret.
    #[must_use]
    pub fn with_addresses(&self, addresses: impl IntoIterator<Item = String>) -> Self {
        Self { addresses: usable(addresses), ..self.clone() }
    }

    /// Fingerprint of the authority that the other side must show.
    pub fn cluster(&self) -> Fingerprint {
        self.cluster
    }

    /// Its name.
    pub fn id(&self) -> JoinTokenId {
        JoinTokenId::new(hex(&self.id)).expect("hexadecimal digits are a good id")
    }

    /// Where masters are.
    pub fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// What the cluster keeps of the secret, to check proofs with.
    pub fn verifier(&self) -> Result<TokenVerifier, CryptoError> {
        let public = self.pair()?.public_key().as_ref().try_into().map_err(CryptoError::new("read a key"))?;
        Ok(TokenVerifier(public))
    }

    /// Proves that the secret is known, for this message and no other.
    pub fn prove(&self, message: &[u8]) -> Result<Vec<u8>, CryptoError> {
        Ok(self.pair()?.sign(message).as_ref().to_vec())
    }

    /// The token as a person copies it: the secret.
    pub fn reveal(&self) -> String {
        let mut bytes = Vec::with_capacity(128);
        bytes.extend(self.cluster.as_bytes());
        bytes.extend(self.id);
        bytes.extend(self.secret);
        bytes.push(u8::try_from(self.addresses.len()).expect("a token has few addresses"));
        for address in &self.addresses {
            bytes.push(u8::try_from(address.len()).expect("addresses are short"));
            bytes.extend(address.as_bytes());
        }
        let checksum = checksum(&bytes);
        bytes.extend(checksum);
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
    }

    fn pair(&self) -> Result<Ed25519KeyPair, CryptoError> {
        Ed25519KeyPair::from_seed_unchecked(&self.secret).map_err(CryptoError::new("use a token"))
    }
}

fn usable(addresses: impl IntoIterator<Item = String>) -> Vec<String> {
    let good =
        |address: &String| !address.is_empty() && address.len() <= ADDRESS_LIMIT && address.bytes().all(is_plain);
    addresses.into_iter().filter(good).take(ADDRESSES).collect()
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.:[]%".contains(&byte)
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM] {
    let digest = Fingerprint::of(bytes);
    std::array::from_fn(|at| digest.as_bytes()[at])
}

impl FromStr for JoinToken {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let damaged = |reason| TokenError::Damaged { reason };
        let encoded = text.trim().strip_prefix(PREFIX).ok_or(TokenError::NoToken)?;
        if encoded.len() > TOKEN_LIMIT {
            return Err(damaged("it is too long"));
        }
        let bytes = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| damaged("a character has no place in it"))?;
        let (content, sum) = bytes.split_last_chunk::<CHECKSUM>().ok_or(damaged("it is too short"))?;
        if *sum != checksum(content) {
            return Err(damaged("its checksum is wrong"));
        }
        let mut reader = Reader(content);
        let token = Self {
            cluster: Fingerprint::from_bytes(reader.array::<CLUSTER>().ok_or(damaged("it is too short"))?),
            id: reader.array().ok_or(damaged("it is too short"))?,
            secret: reader.array().ok_or(damaged("it is too short"))?,
            addresses: reader.addresses().ok_or(damaged("its addresses cannot be read"))?,
        };
        if reader.0.is_empty() { Ok(token) } else { Err(damaged("something follows it")) }
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*first)
    }

    fn addresses(&mut self) -> Option<Vec<String>> {
        let [count] = self.array()?;
        if usize::from(count) > ADDRESSES {
            return None;
        }
        (0..count).map(|_| self.address()).collect()
    }

    fn address(&mut self) -> Option<String> {
        let [length] = self.array()?;
        let (address, rest) = self.0.split_at_checked(usize::from(length))?;
        self.0 = rest;
        (!address.is_empty() && address.iter().copied().all(is_plain))
            .then(|| String::from_utf8_lossy(address).into_owned())
    }
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinToken({}, cluster {:?}, {:?})", self.id(), self.cluster, self.addresses)
    }
}

/// What a cluster keeps of a token: checks proofs, and makes none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenVerifier([u8; 32]);

impl TokenVerifier {
    /// Whether the proof was made with the token, for this message.
    pub fn accepts(&self, message: &[u8], proof: &[u8]) -> bool {
        PublicKey::from_bytes(&self.0).is_some_and(|key| key.has_signed(message, proof))
    }
}

impl fmt::Display for TokenVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl FromStr for TokenVerifier {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let bytes = unhex(text).and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or(TokenError::Damaged { reason: "its verifier has not 64 hexadecimal digits" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn token(addresses: &[String]) -> JoinToken {
        JoinToken::generate(Fingerprint::of(b"authority"), addresses.to_vec()).expect("randomness")
    }

    fn sealed(content: &[u8]) -> String {
        let sum = checksum(content);
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode([content, &sum].concat()))
    }

    #[test]
    fn a_token_is_one_word_that_can_be_copied() {
        let text = token(&["10.0.0.7:52414".to_owned()]).reveal();
        assert!(text.starts_with("exo1-") && text.len() < 160, "{text}");
        assert!(text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_'), "{text}");
        assert_eq!(format!(" {text}\n").parse::<JoinToken>().map(|token| token.reveal()), Ok(text));
    }

    #[test]
    fn a_token_has_as_many_addresses_as_one_is_made_with() {
        let with = |count| JoinToken { addresses: vec!["a:1".to_owned(); count], ..token(&[]) };
        assert!(with(ADDRESSES).reveal().parse::<JoinToken>().is_ok());
        assert!(matches!(with(ADDRESSES + 1).reveal().parse::<JoinToken>(), Err(TokenError::Damaged { .. })));
    }

    #[test]
    fn neither_debug_nor_the_verifier_gives_the_secret_away() {
        let token = token(&[]);
        let shown = format!("{token:?} {}", token.verifier().expect("a verifier"));
        assert!(!shown.contains(&hex(&token.secret)) && !token.reveal().contains(&token.id().to_string()));
    }

    #[test]
    fn a_proof_holds_for_its_message_and_its_token_only() {
        let (own, other) = (token(&[]), token(&[]));
        let proof = own.prove(b"let me in").expect("proves");
        let verifier: TokenVerifier = own.verifier().expect("a verifier").to_string().parse().expect("comes back");
        assert!(verifier.accepts(b"let me in", &proof));
        assert!(!verifier.accepts(b"let him in", &proof));
        assert!(!other.verifier().expect("a verifier").accepts(b"let me in", &proof));
        assert!(!verifier.accepts(b"let me in", b""));
    }

    #[test]
    fn what_is_no_token_is_told_with_the_reason() {
        let good = token(&["a:1".to_owned()]).reveal();
        let check = |text: &str, expect: &str| {
            let error = text.parse::<JoinToken>().expect_err(expect).to_string();
            assert!(error.contains(expect), "{error} does not contain {expect}");
        };
        check("", "exo1-");
        check("K10abc::server:def", "exo1-");
        check(&good[..good.len() - 1], "damaged");
        check(&format!("{good}AA"), "damaged");
        check("exo1-####", "character");
        check("exo1-AAAA", "too short");
        check(&sealed(&[0; 40]), "too short");
        check(&sealed(&[&[0; 72][..], &[1, 9, b'a']].concat()), "addresses");
        check(&sealed(&[&[0; 72][..], &[1, 1, b' ']].concat()), "addresses");
        check(&sealed(&[&[0; 72][..], &[0, 7]].concat()), "follows");
        check(&format!("exo1-{}", "A".repeat(TOKEN_LIMIT + 1)), "too long");
    }

    proptest! {
        #[test]
        fn every_token_comes_back(addresses in proptest::collection::vec("[a-z0-9.-]{1,60}:[1-9][0-9]{0,3}", 0..9)) {
            let token = token(&addresses);
            prop_assert_eq!(token.reveal().parse::<JoinToken>(), Ok(token));
        }

        #[test]
        fn one_changed_character_is_noticed(at in 5_usize..100, change in 1_u8..64) {
            const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
            let mut text = token(&[]).reveal().into_bytes();
            let old = ALPHABET.iter().position(|c| *c == text[at]).expect("base64");
            text[at] = ALPHABET[(old + usize::from(change)) % ALPHABET.len()];
            let text = String::from_utf8(text).expect("ASCII");
            prop_assert!(text.parse::<JoinToken>().is_err());
        }

        #[test]
        fn no_bytes_panic(content in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = sealed(&content).parse::<JoinToken>();
            let _ = String::from_utf8_lossy(&content).parse::<JoinToken>();
        }
    }
}

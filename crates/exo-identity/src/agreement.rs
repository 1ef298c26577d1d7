//! Keys that two nodes have in common and never told each other.
//!
//! X25519 (RFC 7748): one's own secret and the other's public key make the same 32 bytes on both sides, and nobody else can
//! compute them. Ed25519 keys are taken to X25519 as libsodium's `crypto_sign_ed25519_sk_to_curve25519` and
//! `crypto_sign_ed25519_pk_to_curve25519` take them: the secret scalar is the clamped first half of SHA-512 of the seed
//! (RFC 8032 §5.1.5), the public key the u-coordinate (1 + y) / (1 - y) of its point.

use crate::error::CryptoError;
use crate::key::{Key, PublicKey};
use curve25519_dalek::edwards::CompressedEdwardsY;
use curve25519_dalek::montgomery::MontgomeryPoint;
use ring::digest::{SHA512, digest};
use ring::error::Unspecified;
use ring::hkdf::{HKDF_SHA256, Prk, Salt};
use std::fmt;

/// Bytes of a key that two nodes share.
pub const SHARED_KEY: usize = 32;

/// Bytes of the seed that an Ed25519 key is made of, and of the secret that is made of the seed.
const SECRET: usize = 32;

/// PKCS#8 between its version and the seed: the algorithm 1.3.101.112, and the heads of two octet strings (RFC 8410 §7).
const BEFORE_SEED: [u8; 11] = [0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// Two secret keys of [`SHARED_KEY`] bytes, one for each direction between this node and another. With itself a node has
/// one for both.
///
/// What bears a code of [`SharedKeys::to_read`] was written by one of the two nodes, and since this node writes with the
/// other key, by the other one. To anybody else it proves nothing. Whoever has stolen the key of either node can write in
/// both directions.
pub struct SharedKeys {
    to_write: [u8; SHARED_KEY],
    to_read: [u8; SHARED_KEY],
}

impl SharedKeys {
    /// HKDF-SHA256 (RFC 5869) without salt over what X25519 gives, with `purpose`, the writer's and the reader's public
    /// Ed25519 key as info.
    pub(crate) fn agree(own: &Key, with: &PublicKey, purpose: &[u8]) -> Result<Self, CryptoError> {
        let wrong = |reason: &str| CryptoError { action: "agree on a key", reason: reason.to_owned() };
        let seed = seed_of(&own.to_pkcs8()).ok_or_else(|| wrong("this node's key is kept in an unknown form"))?;
        let point = point_of(with).ok_or_else(|| wrong("the other's key is no point of the curve, or of low order"))?;
        let common = point.mul_clamped(secret_of(&seed));
        let common = Salt::new(HKDF_SHA256, &[]).extract(common.as_bytes());
        let public = own.public();
        let for_both = |writer: &PublicKey, reader: &PublicKey| {
            expand(&common, &[purpose, writer.as_bytes(), reader.as_bytes()]).map_err(CryptoError::new("derive a key"))
        };
        Ok(Self { to_write: for_both(&public, with)?, to_read: for_both(with, &public)? })
    }

    /// For what this node writes and the other reads.
    pub fn to_write(&self) -> &[u8; SHARED_KEY] {
        &self.to_write
    }

    /// For what the other node writes and this one reads.
    pub fn to_read(&self) -> &[u8; SHARED_KEY] {
        &self.to_read
    }
}

impl fmt::Debug for SharedKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedKeys")
    }
}

fn expand(common: &Prk, info: &[&[u8]]) -> Result<[u8; SHARED_KEY], Unspecified> {
    let mut key = [0; SHARED_KEY];
    common.expand(info, HKDF_SHA256)?.fill(&mut key)?;
    Ok(key)
}

/// Out of PKCS#8 with or without the public key behind it (RFC 5958, versions 2 and 1). [`Key`] has checked what follows.
fn seed_of(pkcs8: &[u8]) -> Option<[u8; SECRET]> {
    let content = match pkcs8 {
        [0x30, length @ (..=0x7f), content @ ..] | [0x30, 0x81, length @ (0x80..), content @ ..]
            if usize::from(*length) == content.len() =>
        {
            content
        }
        _ => return None,
    };
    let content = content.strip_prefix(&[2, 1, 0]).or_else(|| content.strip_prefix(&[2, 1, 1]))?;
    content.strip_prefix(&BEFORE_SEED)?.first_chunk().copied()
}

/// Not clamped yet.
fn secret_of(seed: &[u8; SECRET]) -> [u8; SECRET] {
    let mut secret = [0; SECRET];
    secret.copy_from_slice(&digest(&SHA512, seed).as_ref()[..SECRET]);
    secret
}

/// None for what is no point, and for the few points with which every secret gives what everybody can guess.
fn point_of(key: &PublicKey) -> Option<MontgomeryPoint> {
    let point = CompressedEdwardsY(*key.as_bytes()).decompress()?;
    (!point.is_small_order()).then(|| point.to_montgomery())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fingerprint::unhex;
    use curve25519_dalek::constants::X25519_BASEPOINT;

    /// Of RFC 8032 §7.1, tests 1 and 2.
    const SEEDS: [&str; 2] = [
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
    ];

    fn bytes(hex: &str) -> [u8; 32] {
        unhex(hex).and_then(|bytes| bytes.try_into().ok()).expect("64 digits")
    }

    /// As PKCS#8 without the public key.
    fn short_form(seed: &[u8]) -> Vec<u8> {
        [&[0x30, 0x2e, 2, 1, 0][..], &BEFORE_SEED, seed].concat()
    }

    fn key(seed: &str) -> Key {
        Key::from_pkcs8(&short_form(&bytes(seed))).expect("a key")
    }

    fn shared(own: &Key, with: &Key, purpose: &[u8]) -> SharedKeys {
        SharedKeys::agree(own, &with.public(), purpose).expect("they agree")
    }

    #[test]
    fn what_one_writes_with_the_other_reads_with_and_nobody_else_has_it() {
        let [a, b, c] = [(); 3].map(|()| Key::generate().expect("a key"));
        let (of_a, of_b) = (shared(&a, &b, b"test"), shared(&b, &a, b"test"));
        assert_eq!((of_a.to_write(), of_a.to_read()), (of_b.to_read(), of_b.to_write()));
        let others =
            [shared(&a, &b, b"other"), shared(&c, &a, b"test"), shared(&c, &b, b"test"), shared(&a, &a, b"test")];
        for other in others.iter().flat_map(|keys| [keys.to_write(), keys.to_read()]).chain([of_a.to_read()]) {
            assert_ne!(other, of_a.to_write());
        }
        assert_eq!(others[3].to_write(), others[3].to_read());
        assert_eq!(format!("{of_a:?}"), "SharedKeys");
    }

    /// `test/default/ed25519_convert` of libsodium.
    #[test]
    fn keys_become_those_that_libsodium_makes_of_them() {
        let seed = "421151a459faeade3d247115f94aedae42318124095afabe4d1451a559faedee";
        let mut secret = secret_of(&bytes(seed));
        let public = bytes("f1814f0e8ff1043d8a44d25babff3cedcae6c22c3edaa48f857ae70de2baae50");
        assert_eq!(point_of(&key(seed).public()).expect("a point").as_bytes(), &public);
        assert_eq!(X25519_BASEPOINT.mul_clamped(secret).as_bytes(), &public);
        (secret[0], secret[31]) = (secret[0] & 248, secret[31] & 127 | 64);
        assert_eq!(secret, bytes("8052030376d47112be7f73ed7a019293dd12ad910b654455798b4667d73de166"));
    }

    /// Computed with OpenSSL's X25519 and HKDF.
    #[test]
    fn shared_keys_are_those_that_another_implementation_computes() {
        let [a, b] = SEEDS.map(key);
        let keys = shared(&a, &b, b"test");
        assert_eq!(keys.to_write(), &bytes("7505c83617e66db50a1eb4a997e38c6c378c764b498a6b25d27ec06efe4a0494"));
        assert_eq!(keys.to_read(), &bytes("4b6cc8204a8a7bbff63fe6d515b3d62f25c1a40e9462d7be66153c291fa2df89"));
    }

    #[test]
    fn the_seed_is_found_in_every_form_of_a_key_and_in_nothing_else() {
        let seed = bytes(SEEDS[0]);
        let public = key(SEEDS[0]).public();
        // RFC 8410 §10.3, with the public key alone and with an attribute that makes the whole longer than 127 bytes.
        let behind = [&[0x81, 0x21, 0][..], public.as_bytes()].concat();
        let long_form = [&[0x30, 0x51, 2, 1, 1][..], &BEFORE_SEED, &seed, &behind].concat();
        let attributes = [&[0xa0, 0x30][..], &[0; 0x30]].concat();
        let longest = [&[0x30, 0x81, 0x83, 2, 1, 1][..], &BEFORE_SEED, &seed, &attributes, &behind].concat();
        for form in [short_form(&seed), long_form.clone(), longest] {
            assert_eq!(Key::from_pkcs8(&form).expect("a key").public(), public);
            assert_eq!(seed_of(&form), Some(seed));
        }
        let generated = Key::generate().expect("a key");
        let of_generated = seed_of(&generated.to_pkcs8()).expect("a seed");
        assert_eq!(Key::from_pkcs8(&short_form(&of_generated)).expect("a key").public(), generated.public());
        for length in 0..long_form.len() {
            assert_eq!(seed_of(&long_form[..length]), None, "{length} bytes");
        }
        for changed in [0, 1, 4, 9, 13] {
            let mut other = long_form.clone();
            other[changed] ^= 0x40;
            assert_eq!(seed_of(&other), None, "byte {changed}");
        }
    }

    #[test]
    fn keys_with_which_everybody_could_compute_are_refused() {
        let own = key(SEEDS[0]);
        let mut no_point = [0; 32];
        no_point[0] = 2;
        // Of order 1, 2, 4 and 8.
        let [mut one, mut minus_one] = [[0; 32], [0xff; 32]];
        (one[0], minus_one[0], minus_one[31]) = (1, 0xec, 0x7f);
        let eighth = bytes("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a");
        for refused in [no_point, one, minus_one, [0; 32], eighth] {
            let with = PublicKey::from_bytes(&refused).expect("32 bytes");
            let error = SharedKeys::agree(&own, &with, b"test").expect_err("no good key");
            assert!(error.reason.contains("low order"), "{error}");
        }
    }
}

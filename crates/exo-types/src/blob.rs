//! Bytes that a crate beneath made and reads.

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// Longest list of numbers that room is made for before any of them is read.
const TRUSTED_LENGTH: usize = 64 << 10;

/// Bytes, sent and stored as such: not as a list of numbers, which takes half as much again.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Blob(pub Vec<u8>);

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl From<Vec<u8>> for Blob {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_byte_buf(Bytes)
    }
}

struct Bytes;

impl<'de> Visitor<'de> for Bytes {
    type Value = Blob;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes")
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Blob, E> {
        Ok(Blob(bytes.to_vec()))
    }

    fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Blob, E> {
        Ok(Blob(bytes))
    }

    // JSON has no bytes, and an older version wrote lists.
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Blob, A::Error> {
        let mut bytes = Vec::with_capacity(list.size_hint().unwrap_or(0).min(TRUSTED_LENGTH));
        while let Some(byte) = list.next_element()? {
            bytes.push(byte);
        }
        Ok(Blob(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unpack;

    #[test]
    fn bytes_are_sent_as_bytes_and_lists_are_read_too() {
        let blob = Blob(vec![0, 127, 128, 255]);
        let packed = rmp_serde::to_vec_named(&blob).expect("encodes");
        assert_eq!(packed, [0xc4, 4, 0, 127, 128, 255]);
        assert_eq!(unpack::<Blob>(&packed).expect("decodes"), blob);
        let list = rmp_serde::to_vec_named(&blob.0).expect("encodes");
        assert_eq!(unpack::<Blob>(&list).expect("decodes"), blob);
        let json = serde_json::to_string(&blob).expect("writes JSON");
        assert_eq!(serde_json::from_str::<Blob>(&json).expect("reads JSON"), blob);
    }
}

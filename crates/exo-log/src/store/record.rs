//! A record: kind, version, checksum of all that and of its key, payload.
//!
//! ```text
//! kind: 1 byte   version: 1 byte   CRC-32C of kind, version, key and payload: 4 bytes, little-endian   payload
//! ```
//!
//! The key is in the checksum, so that a record that stands in the wrong place does not check.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The version that is written. Within a version, what is read tolerates fields that were added.
pub(crate) const VERSION: u8 = 1;

pub(crate) const ENTRY: u8 = b'L';
pub(crate) const META: u8 = b'M';

const HEADER: usize = 6;

/// Why a record cannot be read, or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RecordError {
    #[error("{what} does not check")]
    Damaged { what: String },
    #[error("{what} has format version {found}, this exo reads up to {VERSION}")]
    Newer { what: String, found: u8 },
    #[error("{what} cannot be read: {reason}")]
    Payload { what: String, reason: String },
    #[error("a record cannot be encoded: {reason}")]
    Encode { reason: String },
}

pub(crate) fn encode<T: Serialize>(kind: u8, key: &[u8], value: &T) -> Result<Vec<u8>, RecordError> {
    let mut bytes = vec![0; HEADER];
    rmp_serde::encode::write(&mut bytes, value).map_err(|e| RecordError::Encode { reason: e.to_string() })?;
    seal(kind, key, &mut bytes);
    Ok(bytes)
}

pub(crate) fn frame(kind: u8, key: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; HEADER];
    bytes.extend_from_slice(payload);
    seal(kind, key, &mut bytes);
    bytes
}

/// A whole record of any version.
#[cfg(test)]
pub(crate) fn frame_of(version: u8, kind: u8, key: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; HEADER];
    bytes.extend_from_slice(payload);
    seal_as(version, kind, key, &mut bytes);
    bytes
}

fn seal(kind: u8, key: &[u8], bytes: &mut [u8]) {
    seal_as(VERSION, kind, key, bytes);
}

fn seal_as(version: u8, kind: u8, key: &[u8], bytes: &mut [u8]) {
    let checksum = checksum(kind, version, key, &bytes[HEADER..]);
    bytes[0] = kind;
    bytes[1] = version;
    bytes[2..HEADER].copy_from_slice(&checksum.to_le_bytes());
}

/// The payload of a record that checks.
pub(crate) fn unframe<'a>(
    kind: u8,
    key: &[u8],
    what: impl Fn() -> String,
    bytes: &'a [u8],
) -> Result<&'a [u8], RecordError> {
    let [found_kind, version, c0, c1, c2, c3, payload @ ..] = bytes else {
        return Err(RecordError::Damaged { what: what() });
    };
    let found = u32::from_le_bytes([*c0, *c1, *c2, *c3]);
    // The checksum first: a version that does not check says nothing.
    if *found_kind != kind || found != checksum(kind, *version, key, payload) {
        return Err(RecordError::Damaged { what: what() });
    }
    if *version > VERSION {
        return Err(RecordError::Newer { what: what(), found: *version });
    }
    Ok(payload)
}

pub(crate) fn decode<T: DeserializeOwned>(
    kind: u8,
    key: &[u8],
    what: impl Fn() -> String,
    bytes: &[u8],
) -> Result<T, RecordError> {
    let payload = unframe(kind, key, &what, bytes)?;
    exo_types::unpack(payload).map_err(|e| RecordError::Payload { what: what(), reason: e.to_string() })
}

fn checksum(kind: u8, version: u8, key: &[u8], payload: &[u8]) -> u32 {
    let sum = crc32c::crc32c(&[kind, version]);
    crc32c::crc32c_append(crc32c::crc32c_append(sum, key), payload)
}

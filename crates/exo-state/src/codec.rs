//! What is stored: a frame of kind, version, checksum and MessagePack with named fields.
//!
//! ```text
//! kind: 1 byte   version: 1 byte   CRC-32 of kind, version and payload: 4 bytes, little-endian   payload
//! ```
//!
//! Compatibility: within a version, fields are only ever added, with defaults; readers tolerate unknown ones. A change
//! that this does not cover takes a new version, and [`decode`] then has one arm for each older one.

mod crc;

use crate::State;
use exo_types::{IndexedEvent, unpack};
use serde::{Serialize, de::DeserializeOwned};

/// The version that is written.
pub const FORMAT_VERSION: u8 = 1;

/// Bytes before the payload.
const HEADER: usize = 6;

/// Kinds of record, so that one is never taken for another.
const STATE: u8 = b'S';
const EVENT: u8 = b'E';

/// Why stored bytes cannot be read, or a value cannot be stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// Not even a header.
    #[error("a record of {length} bytes is cut off: its header alone has {HEADER}")]
    TooShort {
        /// Bytes there are.
        length: usize,
    },
    /// Something else is stored there.
    #[error("a record of kind {found:?} stands where kind {expected:?} is expected")]
    Kind {
        /// The kind there is.
        found: char,
        /// The kind expected.
        expected: char,
    },
    /// Written by a newer exo.
    #[error("the record has format version {found}, this exo reads up to {FORMAT_VERSION}: use the newer exo again")]
    Newer {
        /// The version there is.
        found: u8,
    },
    /// Damaged.
    #[error("the record is damaged: its checksum is {found:08x}, its bytes make {computed:08x}")]
    Checksum {
        /// As stored.
        found: u32,
        /// As computed.
        computed: u32,
    },
    /// Whole, but not what it should be.
    #[error("the record cannot be read: {message}")]
    Payload {
        /// What the decoder says.
        message: String,
    },
    /// Cannot be written.
    #[error("the value cannot be encoded: {message}")]
    Encode {
        /// What the encoder says.
        message: String,
    },
}

/// State as bytes.
pub fn encode_state(state: &State) -> Result<Vec<u8>, CodecError> {
    encode(STATE, state)
}

/// State from bytes.
pub fn decode_state(bytes: &[u8]) -> Result<State, CodecError> {
    decode(STATE, bytes)
}

/// A record of the log as bytes.
pub fn encode_event(event: &IndexedEvent) -> Result<Vec<u8>, CodecError> {
    encode(EVENT, event)
}

/// A record of the log from bytes. An event of a newer version comes as [`exo_types::Event::Unknown`].
pub fn decode_event(bytes: &[u8]) -> Result<IndexedEvent, CodecError> {
    decode(EVENT, bytes)
}

fn encode<T: Serialize>(kind: u8, value: &T) -> Result<Vec<u8>, CodecError> {
    let payload = rmp_serde::to_vec_named(value).map_err(|e| CodecError::Encode { message: e.to_string() })?;
    let mut bytes = Vec::with_capacity(HEADER + payload.len());
    bytes.extend([kind, FORMAT_VERSION]);
    bytes.extend(checksum(kind, FORMAT_VERSION, &payload).to_le_bytes());
    bytes.extend(payload);
    Ok(bytes)
}

fn decode<T: DeserializeOwned>(expected: u8, bytes: &[u8]) -> Result<T, CodecError> {
    let [kind, version, c0, c1, c2, c3, payload @ ..] = bytes else {
        return Err(CodecError::TooShort { length: bytes.len() });
    };
    let found = u32::from_le_bytes([*c0, *c1, *c2, *c3]);
    // The version decides how to read the rest, so it comes before the checksum.
    if *version == 0 || *version > FORMAT_VERSION {
        return Err(CodecError::Newer { found: *version });
    }
    let computed = checksum(*kind, *version, payload);
    if found != computed {
        return Err(CodecError::Checksum { found, computed });
    }
    if *kind != expected {
        return Err(CodecError::Kind { found: char::from(*kind), expected: char::from(expected) });
    }
    unpack(payload).map_err(|e| CodecError::Payload { message: e.to_string() })
}

fn checksum(kind: u8, version: u8, payload: &[u8]) -> u32 {
    crc::Crc32::default().update(&[kind, version]).update(payload).finish()
}

#[cfg(test)]
mod tests;

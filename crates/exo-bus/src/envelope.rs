//! What stands before every message: version, kind, who, which.
//!
//! ```text
//! 0        1     2           10         18          26         27
//! version  kind  process u64 stream u64 sequence u64 length u8  node id, then the body
//! ```
//! Integers are little-endian; the body is MessagePack with named fields, so that a reader can skip those it does not
//! know.

use crate::error::PublishError;
use crate::names::ProcessId;
use crate::refusals::{GARBAGE, OTHER_VERSION};
use bytes::Bytes;
use exo_types::{NodeId, unpack};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Bytes that one message may have, envelope included: a page of events or a snapshot, with room.
pub const MESSAGE_LIMIT: usize = 16 << 20;

/// Version written; a reader refuses larger ones.
const VERSION: u8 = 1;
const SEQUENCE_AT: usize = 18;
const FIXED: usize = 27;

/// What a message is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Message,
    Request,
    Reply,
    Refused,
    Open,
    Accepted,
    Item,
    End,
    Failed,
    Credit,
    Cancel,
}

const KINDS: [Kind; 11] = [
    Kind::Message,
    Kind::Request,
    Kind::Reply,
    Kind::Refused,
    Kind::Open,
    Kind::Accepted,
    Kind::Item,
    Kind::End,
    Kind::Failed,
    Kind::Credit,
    Kind::Cancel,
];

impl Kind {
    fn code(self) -> u8 {
        KINDS.iter().zip(1..).find(|(kind, _)| **kind == self).map_or(0, |(_, code)| code)
    }

    fn from_code(code: u8) -> Option<Self> {
        KINDS.get(usize::from(code).checked_sub(1)?).copied()
    }
}

/// Why bytes are no envelope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EnvelopeError {
    #[error("{length} bytes are too few for an envelope")]
    Short { length: usize },
    #[error("{length} bytes are more than the {MESSAGE_LIMIT} allowed")]
    Long { length: usize },
    #[error("its version is {version}, this process reads up to {VERSION}: update exo on this node")]
    Newer { version: u8 },
    #[error("kind {code} is unknown")]
    Kind { code: u8 },
    #[error("the sender's name is not a node id: {reason}")]
    Node { reason: String },
    #[error("the body is not what was expected: {reason}")]
    Body { reason: String },
}

impl EnvelopeError {
    /// One word, for counters.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Newer { .. } => OTHER_VERSION,
            _ => GARBAGE,
        }
    }
}

/// Everything but the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    pub kind: Kind,
    pub process: ProcessId,
    pub stream: u64,
    pub sequence: u64,
    pub from: NodeId,
}

/// A message as it came.
#[derive(Debug, Clone)]
pub(crate) struct Envelope {
    pub header: Header,
    pub body: Bytes,
}

impl Envelope {
    /// Reads the header; the body stays as it is.
    pub fn parse(bytes: Bytes) -> Result<Self, EnvelopeError> {
        if bytes.len() > MESSAGE_LIMIT {
            return Err(EnvelopeError::Long { length: bytes.len() });
        }
        let version = *bytes.first().ok_or(EnvelopeError::Short { length: 0 })?;
        if version > VERSION || version == 0 {
            return Err(EnvelopeError::Newer { version });
        }
        let short = EnvelopeError::Short { length: bytes.len() };
        let fixed = bytes.get(..FIXED).ok_or_else(|| short.clone())?;
        let kind = Kind::from_code(fixed[1]).ok_or(EnvelopeError::Kind { code: fixed[1] })?;
        let body_at = FIXED + usize::from(fixed[FIXED - 1]);
        let node = bytes.get(FIXED..body_at).ok_or(short)?;
        let header = Header {
            kind,
            process: ProcessId(u64_at(fixed, 2)),
            stream: u64_at(fixed, 10),
            sequence: u64_at(fixed, SEQUENCE_AT),
            from: node_id(node)?,
        };
        Ok(Self { header, body: bytes.slice(body_at..) })
    }

    /// Reads the body.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, EnvelopeError> {
        decode_body(&self.body)
    }
}

/// Reads MessagePack.
pub(crate) fn decode_body<T: DeserializeOwned>(body: &[u8]) -> Result<T, EnvelopeError> {
    unpack(body).map_err(|error| EnvelopeError::Body { reason: error.to_string() })
}

fn node_id(bytes: &[u8]) -> Result<NodeId, EnvelopeError> {
    let text = std::str::from_utf8(bytes).map_err(|error| EnvelopeError::Node { reason: error.to_string() })?;
    NodeId::new(text).map_err(|error| EnvelopeError::Node { reason: error.to_string() })
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}

/// A message on its way out; its sequence number is set last, under the lock that orders it.
pub(crate) struct Draft(Vec<u8>);

impl Draft {
    /// Header and an empty body.
    pub fn bare(header: &Header) -> Self {
        let node = header.from.as_str().as_bytes();
        let mut bytes = Vec::with_capacity(FIXED + node.len() + 128);
        bytes.extend([VERSION, header.kind.code()]);
        bytes.extend(header.process.0.to_le_bytes());
        bytes.extend(header.stream.to_le_bytes());
        bytes.extend(header.sequence.to_le_bytes());
        bytes.push(u8::try_from(node.len()).expect("a node id has at most 192 bytes"));
        bytes.extend(node);
        Self(bytes)
    }

    /// Header and body.
    pub fn new<T: Serialize + ?Sized>(name: &'static str, header: &Header, body: &T) -> Result<Self, PublishError> {
        let Self(mut bytes) = Self::bare(header);
        rmp_serde::encode::write_named(&mut bytes, body)
            .map_err(|error| PublishError::Encode { name, reason: error.to_string() })?;
        if bytes.len() > MESSAGE_LIMIT {
            return Err(PublishError::TooLarge { name, size: bytes.len(), limit: MESSAGE_LIMIT });
        }
        Ok(Self(bytes))
    }

    /// Sets the number.
    pub fn number(mut self, sequence: u64) -> Bytes {
        self.0[SEQUENCE_AT..SEQUENCE_AT + 8].copy_from_slice(&sequence.to_le_bytes());
        self.into()
    }
}

impl From<Draft> for Bytes {
    fn from(draft: Draft) -> Self {
        draft.0.into()
    }
}

#[cfg(test)]
mod tests;

//! What masters' logs say to each other.
//!
//! ```text
//! "xr" version kind   CRC-32C of the rest, 4 bytes   session tag, 8 bytes   from, 8 bytes   to, 8 bytes   MessagePack
//! "xa" version kind   CRC-32C of the rest, 4 bytes   MessagePack
//! ```
//!
//! Numbers are little-endian. The tag is the beginning of the BLAKE3 of the session's name: a heartbeat is short.

use crate::raft_types::{LogId, RaftTypes, SnapshotMeta, Vote};
use bytes::Bytes;
use exo_types::SessionId;
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The version that is spoken, and the only one understood.
pub(crate) const VERSION: u8 = 1;

/// Longer messages are not looked at.
pub(crate) const LONGEST: usize = 16 << 20;

const REQUEST: &[u8; 2] = b"xr";
const REPLY: &[u8; 2] = b"xa";
const SUM_AT: usize = 4;
const BODY_OF_REPLY: usize = 8;
const BODY_OF_REQUEST: usize = 32;

const APPEND: u8 = 1;
const VOTE: u8 = 2;
const PRE_VOTE: u8 = 3;
const SNAPSHOT: u8 = 4;
const TAKE_OVER: u8 = 5;
const SANCTIONED_VOTE: u8 = 6;

const ANSWER: u8 = 1;
const REFUSAL: u8 = 2;

/// Which session is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SessionTag(u64);

impl SessionTag {
    pub(crate) fn of(session: &SessionId) -> Self {
        let hash = blake3::hash(session.to_string().as_bytes());
        let mut first = [0; 8];
        first.copy_from_slice(&hash.as_bytes()[..8]);
        Self(u64::from_le_bytes(first))
    }
}

/// Whether somebody would get a vote if it asked for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PreVote {
    /// The end of the candidate's log.
    pub(crate) last: Option<LogId>,
}

/// The answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PreVoteAnswer {
    pub(crate) granted: bool,
}

/// The leader wants the receiver to campaign now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TakeOver {
    /// The end of the leader's log: who has less would not be elected.
    pub(crate) last: Option<LogId>,
}

/// A part of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SnapshotPart {
    pub(crate) vote: Vote,
    pub(crate) meta: SnapshotMeta,
    pub(crate) total: u64,
    pub(crate) checksum: u32,
    pub(crate) offset: u64,
    #[serde(with = "byte_vec")]
    pub(crate) data: Vec<u8>,
}

/// The answer: more wanted, or what came of it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum SnapshotAnswer {
    More,
    Done(SnapshotResponse<u64>),
}

/// A request.
#[derive(Debug)]
pub(crate) enum Request {
    Append(AppendEntriesRequest<RaftTypes>),
    Vote(VoteRequest<u64>),
    /// The same, asked for on the wish of the leader.
    SanctionedVote(VoteRequest<u64>),
    PreVote(PreVote),
    Snapshot(SnapshotPart),
    TakeOver(TakeOver),
}

/// Why a request was not taken up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub(crate) enum Refused {
    #[error("the message is none")]
    Garbage,
    #[error("the peer speaks version {speaks}")]
    OtherVersion { speaks: u8 },
    #[error("the peer belongs to another session")]
    OtherSession,
    #[error("the message is for another life of the peer's log")]
    WrongAddressee,
    #[error("the sender is not who it says it is")]
    ForeignId,
    #[error("the peer has too much to do")]
    Busy,
    #[error("the peer's log is not ready")]
    NotReady,
    #[error("the peer is about to leave, and does not want to lead")]
    Declines,
    #[error("the peer's log is shorter than the leader's")]
    Behind,
}

/// A request with its envelope.
#[derive(Debug)]
pub(crate) struct Letter {
    pub(crate) session: SessionTag,
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) request: Request,
}

impl Letter {
    pub(crate) fn encode(&self) -> Result<Bytes, rmp_serde::encode::Error> {
        let mut bytes = Vec::with_capacity(256);
        bytes.extend(REQUEST);
        bytes.extend([VERSION, self.request.kind(), 0, 0, 0, 0]);
        bytes.extend(self.session.0.to_le_bytes());
        bytes.extend(self.from.to_le_bytes());
        bytes.extend(self.to.to_le_bytes());
        match &self.request {
            Request::Append(body) => rmp_serde::encode::write(&mut bytes, body)?,
            Request::Vote(body) | Request::SanctionedVote(body) => rmp_serde::encode::write(&mut bytes, body)?,
            Request::PreVote(body) => rmp_serde::encode::write(&mut bytes, body)?,
            Request::Snapshot(body) => rmp_serde::encode::write(&mut bytes, body)?,
            Request::TakeOver(body) => rmp_serde::encode::write(&mut bytes, body)?,
        }
        Ok(seal(bytes))
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Refused> {
        let kind = open(REQUEST, bytes)?;
        let number = |at: usize| {
            let bytes = bytes.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
            bytes.map(u64::from_le_bytes).ok_or(Refused::Garbage)
        };
        let (session, from, to) = (SessionTag(number(8)?), number(16)?, number(24)?);
        let body = bytes.get(BODY_OF_REQUEST..).ok_or(Refused::Garbage)?;
        let request = match kind {
            APPEND => Request::Append(unpack(body)?),
            VOTE => Request::Vote(unpack(body)?),
            SANCTIONED_VOTE => Request::SanctionedVote(unpack(body)?),
            PRE_VOTE => Request::PreVote(unpack(body)?),
            SNAPSHOT => Request::Snapshot(unpack(body)?),
            TAKE_OVER => Request::TakeOver(unpack(body)?),
            _ => return Err(Refused::Garbage),
        };
        Ok(Self { session, from, to, request })
    }
}

impl Request {
    fn kind(&self) -> u8 {
        match self {
            Self::Append(_) => APPEND,
            Self::Vote(_) => VOTE,
            Self::SanctionedVote(_) => SANCTIONED_VOTE,
            Self::PreVote(_) => PRE_VOTE,
            Self::Snapshot(_) => SNAPSHOT,
            Self::TakeOver(_) => TAKE_OVER,
        }
    }
}

/// The answers to the kinds of request, by type.
pub(crate) type AppendAnswer = AppendEntriesResponse<u64>;
pub(crate) type VoteAnswer = VoteResponse<u64>;

pub(crate) fn encode_answer<T: Serialize>(answer: &T) -> Bytes {
    encode_reply(ANSWER, answer)
}

pub(crate) fn encode_refusal(refused: Refused) -> Bytes {
    encode_reply(REFUSAL, &refused)
}

fn encode_reply<T: Serialize>(kind: u8, body: &T) -> Bytes {
    let mut bytes = Vec::with_capacity(64);
    bytes.extend(REPLY);
    bytes.extend([VERSION, kind, 0, 0, 0, 0]);
    match rmp_serde::encode::write(&mut bytes, body) {
        Ok(()) => seal(bytes),
        // An answer without a body is garbage to the asker, which asks again.
        Err(error) => {
            tracing::warn!(%error, "an answer to a peer could not be encoded");
            Bytes::new()
        }
    }
}

pub(crate) fn decode_answer<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refused> {
    let kind = open(REPLY, bytes)?;
    let body = bytes.get(BODY_OF_REPLY..).ok_or(Refused::Garbage)?;
    match kind {
        ANSWER => unpack(body),
        REFUSAL => Err(unpack(body)?),
        _ => Err(Refused::Garbage),
    }
}

fn seal(mut bytes: Vec<u8>) -> Bytes {
    let sum = checksum(&bytes);
    bytes[SUM_AT..SUM_AT + 4].copy_from_slice(&sum.to_le_bytes());
    bytes.into()
}

fn checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&bytes[..SUM_AT]), &bytes[SUM_AT + 4..])
}

/// The kind of a message that checks.
fn open(magic: &[u8; 2], bytes: &[u8]) -> Result<u8, Refused> {
    let [m0, m1, version, kind, s0, s1, s2, s3, ..] = bytes else { return Err(Refused::Garbage) };
    if [*m0, *m1] != *magic || bytes.len() > LONGEST {
        return Err(Refused::Garbage);
    }
    // Only what these four bytes mean is agreed on between versions.
    if *version != VERSION {
        return Err(Refused::OtherVersion { speaks: VERSION });
    }
    if u32::from_le_bytes([*s0, *s1, *s2, *s3]) != checksum(bytes) {
        return Err(Refused::Garbage);
    }
    Ok(*kind)
}

fn unpack<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refused> {
    exo_types::unpack(body).map_err(|_| Refused::Garbage)
}

/// Bytes as bytes, not as a list of numbers.
mod byte_vec {
    use serde::de::{Deserializer, Error, Visitor};
    use serde::ser::Serializer;
    use std::fmt;

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Vec<u8>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
                Ok(bytes.to_vec())
            }

            fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
                Ok(bytes)
            }
        }
        deserializer.deserialize_byte_buf(Bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use exo_types::NodeId;

    fn letter() -> Letter {
        let session = SessionId { generation: 3, master_node_id: NodeId::new("m").expect("a good id") };
        let request = Request::Vote(VoteRequest::new(openraft::Vote::new(4, 11), None));
        Letter { session: SessionTag::of(&session), from: 11, to: 12, request }
    }

    #[test]
    fn a_letter_comes_back_as_it_was() {
        let read = Letter::decode(&letter().encode().expect("encodes")).expect("decodes");
        assert_eq!(format!("{read:?}"), format!("{:?}", letter()));
    }

    #[test]
    fn a_letter_with_a_changed_or_missing_byte_is_refused() {
        let bytes = letter().encode().expect("encodes");
        for at in 0..bytes.len() {
            let mut changed = bytes.to_vec();
            changed[at] ^= 0x20;
            assert!(Letter::decode(&changed).is_err(), "byte {at}");
            assert!(Letter::decode(&bytes[..at]).is_err(), "first {at} bytes");
        }
    }

    #[test]
    fn another_version_is_told_which_one_is_spoken() {
        let mut bytes = letter().encode().expect("encodes").to_vec();
        bytes[2] = VERSION + 1;
        assert_eq!(Letter::decode(&bytes).map(|_| ()), Err(Refused::OtherVersion { speaks: VERSION }));
    }

    #[test]
    fn a_refusal_arrives_as_one() {
        let answer = decode_answer::<VoteAnswer>(&encode_refusal(Refused::Busy));
        assert_eq!(answer, Err(Refused::Busy));
    }

    #[test]
    fn a_heartbeat_is_short() {
        let at = openraft::LogId::new(openraft::CommittedLeaderId::new(3, 0), 100_000);
        let append = AppendEntriesRequest {
            vote: openraft::Vote::new_committed(3, u64::MAX),
            prev_log_id: Some(at),
            entries: Vec::new(),
            leader_commit: Some(at),
        };
        let heartbeat = Letter { request: Request::Append(append), ..letter() };
        assert!(heartbeat.encode().expect("encodes").len() < 80);
        assert!(encode_answer(&AppendAnswer::Success).len() < 20);
    }
}

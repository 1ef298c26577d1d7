//! Proves of every message that it was written by the node that it names.
//!
//! TLS tells which node is at the other end of a link, not whose words come over it: a member that does not behave could
//! put another's name into its envelopes. So every message ends with a seal over the place where it was put, the question
//! that it answers, and its bytes: what is sealed for one place is of no use in another. What everybody reads is signed by
//! the key that stands in the certificate of the node which the message names. What one node reads has a code (a keyed
//! BLAKE3 hash) under a key that only the two nodes can compute ([`SharedKeys`]): it takes a hundredth of a signature's
//! time, and proves as much to that reader. The certificates are those that links have shown; where that of the reader is
//! not known yet, a signature does as well.
//!
//! ```text
//! message, signature (64 bytes), 's'
//! message, code (32 bytes), 'c'
//! ```

use crate::envelope::{Envelope, EnvelopeError};
use crate::keys::Reader;
use crate::names::ProcessId;
use crate::refusals::{FOREIGN_ID, GARBAGE, OTHER_VERSION};
use blake3::Hasher;
use bytes::{BufMut, Bytes, BytesMut};
use exo_identity::{Facts, Identity, SharedKeys};
use exo_types::NodeId;
use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

/// Bytes of a signature.
pub(super) const SIGNATURE: usize = 64;

/// Bytes of a code.
const CODE: usize = blake3::OUT_LEN;

/// The last byte of what ends with a signature.
pub(super) const SIGNED: u8 = b's';

/// The last byte of what ends with a code.
pub(super) const CODED: u8 = b'c';

/// Keys of a node that are remembered: one that was let in anew has another.
const KEYS: usize = 4;

/// Nodes and processes that are remembered; more are no cluster but a flood.
const KNOWN: usize = 4096;

/// What separates these signatures from all others that the same keys make.
const PURPOSE: &str = "exo bus 2026 message of a node";

/// What separates the keys of these codes from all others that two nodes share.
const PURPOSE_OF_CODES: &str = "exo bus 2026 message to a node";

/// Where a message belongs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub key: &'a str,
    question: &'a [u8],
    reader: &'a Reader,
}

impl<'a> Place<'a> {
    /// On a key.
    pub const fn on(key: &'a str, reader: &'a Reader) -> Self {
        Self { key, question: &[], reader }
    }

    /// The answer to a question that was asked on a key.
    pub const fn answer(key: &'a str, question: &'a [u8], asker: &'a Reader) -> Self {
        Self { key, question, reader: asker }
    }
}

/// Why bytes are no message of the node that they name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum SealError {
    #[error("{length} bytes are too few for a sealed message")]
    Short { length: usize },
    #[error("its seal is of kind {kind}, which this process does not know: update exo on this node")]
    Kind { kind: u8 },
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] EnvelopeError),
    #[error("process {process} is not one of node {claimed}")]
    OtherNode { process: ProcessId, claimed: NodeId },
    #[error("it was not sealed by node {claimed}")]
    NotSealed { claimed: NodeId },
}

impl SealError {
    /// One word, for counters.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Short { .. } => GARBAGE,
            Self::Kind { .. } => OTHER_VERSION,
            Self::Unreadable(error) => error.word(),
            Self::OtherNode { .. } | Self::NotSealed { .. } => FOREIGN_ID,
        }
    }
}

/// Seals what leaves, and opens what comes.
#[derive(Debug)]
pub(super) struct Seals {
    identity: Identity,
    own: ProcessId,
    known: RwLock<Known>,
}

/// What links have shown. It stays when they end: their last words may still be on the way.
#[derive(Debug, Default)]
struct Known {
    processes: BTreeMap<ProcessId, NodeId>,
    /// The one that was shown last comes first.
    keys: BTreeMap<NodeId, Vec<Shown>>,
}

/// A key that a node's link has shown.
#[derive(Debug)]
struct Shown {
    facts: Facts,
    /// None with a key that is good for signatures only; no node of exo has such a key.
    shared: Option<SharedKeys>,
}

impl Known {
    fn keys_of(&self, node: &NodeId) -> &[Shown] {
        self.keys.get(node).map(Vec::as_slice).unwrap_or_default()
    }

    /// With what codes for that reader are made; none if not one node reads, or one that is not linked yet.
    fn to_write(&self, reader: &Reader) -> Option<&[u8; CODE]> {
        let node = match reader {
            Reader::Everybody => return None,
            Reader::Node(node) => node,
            Reader::Process(process) => self.processes.get(process)?,
        };
        self.keys_of(node).first()?.shared.as_ref().map(SharedKeys::to_write)
    }
}

impl Seals {
    /// For this process.
    pub fn new(identity: Identity, own: ProcessId) -> Self {
        let seals = Self { identity, own, known: RwLock::default() };
        seals.on_linked(own, &seals.identity.facts());
        seals
    }

    /// This process, as who reads what is for it alone.
    pub fn own(&self) -> Reader {
        Reader::Process(self.own)
    }

    /// A link has shown whose process this is.
    pub fn on_linked(&self, process: ProcessId, facts: &Facts) {
        let node = &facts.name.node_id;
        let shared = self.identity.agree(&facts.public_key, PURPOSE_OF_CODES);
        let shared = shared.inspect_err(|error| tracing::warn!(%node, %error, "every message to it is signed")).ok();
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.processes.len() >= KNOWN {
            known.processes.retain(|process, _| *process == self.own);
        }
        if known.keys.len() >= KNOWN {
            let own = self.identity.node_id();
            known.keys.retain(|node, _| *node == own);
        }
        known.processes.insert(process, node.clone());
        let keys = known.keys.entry(node.clone()).or_default();
        keys.retain(|other| other.facts.public_key != facts.public_key);
        keys.insert(0, Shown { facts: facts.clone(), shared });
        keys.truncate(KEYS);
    }

    /// Keys that were thrown out do not count any more. The own one always does: a process whose parts stop to hear each
    /// other would go on showing the cluster that it was thrown out of.
    pub fn on_members(&self) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let own = self.identity.facts().public_key;
        let counts = |key: &Shown| key.facts.public_key == own || self.identity.check_facts(&key.facts).is_ok();
        known.keys.values_mut().for_each(|keys| keys.retain(counts));
    }

    /// The message with its seal.
    pub fn seal(&self, place: Place<'_>, bytes: &[u8]) -> Bytes {
        let mut sealed = BytesMut::with_capacity(bytes.len() + SIGNATURE + 1);
        sealed.put_slice(bytes);
        if let Some(code) = self.code(place, bytes) {
            sealed.put_slice(code.as_bytes());
            sealed.put_u8(CODED);
        } else {
            sealed.put_slice(&self.sign(place, bytes));
            sealed.put_u8(SIGNED);
        }
        sealed.freeze()
    }

    /// Which process wrote the message, and the message without its seal, if it is what it says.
    pub fn open(&self, place: Place<'_>, sealed: &Bytes) -> Result<(ProcessId, Bytes), SealError> {
        let short = SealError::Short { length: sealed.len() };
        let (kind, before) = sealed.split_last().ok_or_else(|| short.clone())?;
        let seal = match *kind {
            SIGNED => SIGNATURE,
            CODED => CODE,
            kind => return Err(SealError::Kind { kind }),
        };
        let length = before.len().checked_sub(seal).ok_or(short)?;
        let (message, seal) = (sealed.slice(..length), &before[length..]);
        let header = Envelope::parse(message.clone())?.header;
        let (process, claimed) = (header.process, header.from);
        {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            if known.processes.get(&process) != Some(&claimed) {
                return Err(SealError::OtherNode { process, claimed });
            }
        }
        let is_sealed = match *kind {
            SIGNED => self.has_signed(&claimed, place, &message, seal),
            _ => self.has_coded(&claimed, place, &message, seal),
        };
        if is_sealed { Ok((process, message)) } else { Err(SealError::NotSealed { claimed }) }
    }

    /// A signature by itself, for what is no message.
    pub fn sign(&self, place: Place<'_>, bytes: &[u8]) -> [u8; SIGNATURE] {
        let signature = self.identity.sign_message(digest(place, bytes).as_bytes());
        let signature = signature.inspect_err(|error| tracing::error!(%error, "a message cannot be signed"));
        // Without one it is refused everywhere, which is what an unsigned message deserves.
        signature.ok().and_then(|signature| signature.try_into().ok()).unwrap_or([0; SIGNATURE])
    }

    /// Whether a key of that node has signed this.
    pub fn has_signed(&self, node: &NodeId, place: Place<'_>, bytes: &[u8], signature: &[u8]) -> bool {
        let digest = digest(place, bytes);
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.keys_of(node).iter().any(|key| key.facts.public_key.has_signed(digest.as_bytes(), signature))
    }

    /// For a reader that has the same key.
    fn code(&self, place: Place<'_>, bytes: &[u8]) -> Option<blake3::Hash> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let key = *known.to_write(place.reader)?;
        drop(known);
        Some(hash(Hasher::new_keyed(&key), place, bytes))
    }

    /// Whether that node has written this for this one. What everybody reads is signed, so that everybody can check it.
    fn has_coded(&self, node: &NodeId, place: Place<'_>, bytes: &[u8], code: &[u8]) -> bool {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let mut shared = known.keys_of(node).iter().filter_map(|key| key.shared.as_ref());
        // A `Hash` compares in constant time.
        *place.reader != Reader::Everybody
            && shared.any(|keys| hash(Hasher::new_keyed(keys.to_read()), place, bytes) == *code)
    }
}

/// What is signed.
fn digest(place: Place<'_>, bytes: &[u8]) -> blake3::Hash {
    hash(Hasher::new_derive_key(PURPOSE), place, bytes)
}

fn hash(mut hasher: Hasher, place: Place<'_>, bytes: &[u8]) -> blake3::Hash {
    for part in [place.key.as_bytes(), place.question] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.update(bytes);
    hasher.finalize()
}

#[cfg(test)]
mod tests;

//! Proves of every message that it was written by the node that it names.
//!
//! TLS tells which node is at the other end of a link, not whose words come over it: a member that does not behave could
//! put another's name into its envelopes. So every message ends with a signature by the key that stands in the
//! certificate of the node which it names, over the place where it was put, the question that it answers, and its bytes.
//! What is signed for one place is of no use in another. The keys are those that links have shown.

use crate::envelope::{Envelope, EnvelopeError};
use crate::names::ProcessId;
use crate::refusals::{FOREIGN_ID, GARBAGE};
use bytes::{Bytes, BytesMut};
use exo_identity::{Facts, Identity};
use exo_types::NodeId;
use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

/// Bytes of a seal.
pub(super) const SEAL: usize = 64;

/// Keys of a node that are remembered: one that was let in anew has another.
const KEYS: usize = 4;

/// Nodes and processes that are remembered; more are no cluster but a flood.
const KNOWN: usize = 4096;

/// What separates these signatures from all others that the same keys make.
const PURPOSE: &str = "exo bus 2026 message of a node";

/// Where a message belongs.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place<'a> {
    /// On a key.
    Key(&'a str),
    /// The answer to a question that was asked on a key.
    Answer { key: &'a str, question: &'a [u8] },
}

/// Why bytes are no message of the node that they name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum SealError {
    #[error("{length} bytes are too few for a sealed message")]
    Short { length: usize },
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] EnvelopeError),
    #[error("process {process} is not one of node {claimed}")]
    OtherNode { process: ProcessId, claimed: NodeId },
    #[error("it was not signed by node {claimed}")]
    NotSigned { claimed: NodeId },
}

impl SealError {
    /// One word, for counters.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Short { .. } => GARBAGE,
            Self::Unreadable(error) => error.word(),
            Self::OtherNode { .. } | Self::NotSigned { .. } => FOREIGN_ID,
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
    keys: BTreeMap<NodeId, Vec<Facts>>,
}

impl Seals {
    /// For this process.
    pub fn new(identity: Identity, own: ProcessId) -> Self {
        let seals = Self { identity, own, known: RwLock::default() };
        seals.on_linked(own, &seals.identity.facts());
        seals
    }

    /// A link has shown whose process this is.
    pub fn on_linked(&self, process: ProcessId, facts: &Facts) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let node = &facts.name.node_id;
        if known.processes.len() >= KNOWN {
            known.processes.retain(|process, _| *process == self.own);
        }
        if known.keys.len() >= KNOWN {
            let own = self.identity.node_id();
            known.keys.retain(|node, _| *node == own);
        }
        known.processes.insert(process, node.clone());
        let keys = known.keys.entry(node.clone()).or_default();
        keys.retain(|other| other.public_key != facts.public_key);
        keys.insert(0, facts.clone());
        keys.truncate(KEYS);
    }

    /// Keys that were thrown out do not count any more. The own one always does: a process whose parts stop to hear each
    /// other would go on showing the cluster that it was thrown out of.
    pub fn on_members(&self) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let own = self.identity.facts().public_key;
        let counts = |facts: &Facts| facts.public_key == own || self.identity.check_facts(facts).is_ok();
        known.keys.values_mut().for_each(|keys| keys.retain(counts));
    }

    /// The message with its seal.
    pub fn seal(&self, place: Place<'_>, bytes: &[u8]) -> Bytes {
        let mut sealed = BytesMut::with_capacity(bytes.len() + SEAL);
        sealed.extend_from_slice(bytes);
        sealed.extend_from_slice(&self.sign(place, bytes));
        sealed.freeze()
    }

    /// The message without its seal, if it is what it says.
    pub fn open(&self, place: Place<'_>, sealed: &Bytes) -> Result<Bytes, SealError> {
        let short = SealError::Short { length: sealed.len() };
        let length = sealed.len().checked_sub(SEAL).ok_or(short)?;
        let (message, seal) = (sealed.slice(..length), &sealed[length..]);
        let header = Envelope::parse(message.clone())?.header;
        let (process, claimed) = (header.process, header.from);
        {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            if known.processes.get(&process) != Some(&claimed) {
                return Err(SealError::OtherNode { process, claimed });
            }
        }
        if self.has_signed(&claimed, place, &message, seal) {
            Ok(message)
        } else {
            Err(SealError::NotSigned { claimed })
        }
    }

    /// A signature by itself, for what is no message.
    pub fn sign(&self, place: Place<'_>, bytes: &[u8]) -> [u8; SEAL] {
        let signature = self.identity.sign_message(digest(place, bytes).as_bytes());
        let signature = signature.inspect_err(|error| tracing::error!(%error, "a message cannot be signed"));
        // Without one it is refused everywhere, which is what an unsigned message deserves.
        signature.ok().and_then(|signature| signature.try_into().ok()).unwrap_or([0; SEAL])
    }

    /// Whether a key of that node has signed this.
    pub fn has_signed(&self, node: &NodeId, place: Place<'_>, bytes: &[u8], seal: &[u8]) -> bool {
        let digest = digest(place, bytes);
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let keys = known.keys.get(node).map(Vec::as_slice).unwrap_or_default();
        keys.iter().any(|facts| facts.public_key.has_signed(digest.as_bytes(), seal))
    }
}

fn digest(place: Place<'_>, bytes: &[u8]) -> blake3::Hash {
    let (key, question) = match place {
        Place::Key(key) => (key, &[][..]),
        Place::Answer { key, question } => (key, question),
    };
    let mut hasher = blake3::Hasher::new_derive_key(PURPOSE);
    for part in [key.as_bytes(), question] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.update(bytes);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::{Draft, Header, Kind};
    use exo_identity::Members;
    use std::time::SystemTime;

    const A: ProcessId = ProcessId(1);
    const B: ProcessId = ProcessId(2);
    const PLACE: Place<'_> = Place::Key("topic/news");

    fn node(name: &str) -> NodeId {
        NodeId::new(name).expect("a good id")
    }

    fn message(process: ProcessId, from: &str) -> Bytes {
        let header = Header { kind: Kind::Message, process, stream: 0, sequence: 1, from: node(from) };
        Draft::new("news", &header, &"hello").expect("short").into()
    }

    /// Two nodes that are linked, each with its seals.
    fn pair() -> (Seals, Seals) {
        let first = Identity::found(node("a"), "lab", SystemTime::now()).expect("founds");
        let second = first.vouch(node("b"), SystemTime::now()).expect("vouches");
        let second = Identity::from_parts(&second).expect("good");
        let (a, b) = (Seals::new(first.clone(), A), Seals::new(second.clone(), B));
        a.on_linked(B, &second.facts());
        b.on_linked(A, &first.facts());
        (a, b)
    }

    #[test]
    fn a_node_speaks_for_itself_alone_and_at_that_place_alone() {
        let (a, b) = pair();
        let honest = b.seal(PLACE, &message(B, "b"));
        assert_eq!(a.open(PLACE, &honest), Ok(message(B, "b")));
        assert_eq!(a.open(Place::Key("topic/other"), &honest), Err(SealError::NotSigned { claimed: node("b") }));
        let answer = Place::Answer { key: "topic/news", question: b"another" };
        assert_eq!(a.open(answer, &honest), Err(SealError::NotSigned { claimed: node("b") }));
        let foreign = b.seal(PLACE, &message(A, "a"));
        assert_eq!(a.open(PLACE, &foreign), Err(SealError::NotSigned { claimed: node("a") }));
        let of_others = b.seal(PLACE, &message(A, "b"));
        assert_eq!(a.open(PLACE, &of_others), Err(SealError::OtherNode { process: A, claimed: node("b") }));
        assert_eq!(a.open(PLACE, &honest.slice(..SEAL - 1)), Err(SealError::Short { length: SEAL - 1 }));
        let mut spoiled = honest.to_vec();
        spoiled[30] ^= 1;
        assert!(a.open(PLACE, &spoiled.into()).is_err());
    }

    #[test]
    fn an_answer_is_one_to_its_question_alone() {
        let (a, b) = pair();
        let place = |question| Place::Answer { key: "service/double/b", question };
        let answer = b.seal(place(b"2 * 2"), &message(B, "b"));
        assert!(a.open(place(b"2 * 2"), &answer).is_ok());
        assert!(a.open(place(b"3 * 3"), &answer).is_err());
    }

    /// Has the first of them know that this key was thrown out.
    fn throw_out(seals: &Seals, outcast: &Seals, name: &str) {
        let mut members = Members::default();
        members.revoked.insert(outcast.identity.key_fingerprint(), node(name));
        seals.identity.set_members(members);
        seals.on_members();
    }

    #[test]
    fn a_key_that_was_thrown_out_signs_nothing_any_more() {
        let (a, b) = pair();
        let honest = b.seal(PLACE, &message(B, "b"));
        throw_out(&a, &b, "b");
        assert_eq!(a.open(PLACE, &honest), Err(SealError::NotSigned { claimed: node("b") }));
    }

    #[test]
    fn a_process_hears_itself_though_its_node_was_thrown_out() {
        let (a, b) = pair();
        throw_out(&a, &a, "a");
        let own = a.seal(PLACE, &message(A, "a"));
        assert_eq!(a.open(PLACE, &own), Ok(message(A, "a")));
        assert!(a.open(PLACE, &b.seal(PLACE, &message(B, "b"))).is_ok());
    }
}

//! What one record of the log carries: a group of appends.

use bytes::Bytes;
use exo_types::{Event, EventIndex, FactId, IndexedEvent, UnpackError, unpack};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// An event that has no index yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DraftEvent {
    /// The fact that it records, if a node told it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<FactId>,
    /// What happened.
    pub event: Event,
}

impl From<Event> for DraftEvent {
    fn from(event: Event) -> Self {
        Self { origin: None, event }
    }
}

/// The events of one append.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Part {
    /// The State that they were decided on; none: whichever there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) base: Option<EventIndex>,
    pub(crate) events: Vec<DraftEvent>,
}

impl Part {
    /// Its events behind that one; none when they were decided on another State.
    pub(crate) fn on(&self, last: EventIndex) -> impl Iterator<Item = IndexedEvent> {
        let events = if self.is_void_on(last) { &[] } else { self.events.as_slice() };
        events.iter().zip(1..).map(move |(draft, behind)| IndexedEvent {
            idx: EventIndex(last.0.saturating_add(behind)),
            origin: draft.origin.clone(),
            event: draft.event.clone(),
        })
    }

    /// Whether its events were decided on another State.
    pub(crate) fn is_void_on(&self, last: EventIndex) -> bool {
        self.base.is_some_and(|base| base != last)
    }
}

/// A group of appends: written together, each applied or void for itself.
///
/// It is encoded once, where it is made; the same bytes go to the disk here, to the peers, and to their disks.
#[derive(Clone)]
pub(crate) struct Batch {
    parts: Vec<Part>,
    encoded: Bytes,
    /// Its number at the log where it was made; 0 elsewhere.
    pub(crate) number: u64,
}

/// One append, encoded by whoever asked for it, so that the one who gathers them only copies bytes.
#[derive(Debug)]
pub(crate) struct EncodedPart {
    part: Part,
    bytes: Vec<u8>,
}

impl EncodedPart {
    pub(crate) fn new(part: Part) -> Result<Self, rmp_serde::encode::Error> {
        // Names, because events of another version have other fields.
        let bytes = rmp_serde::to_vec_named(&part)?;
        Ok(Self { part, bytes })
    }

    pub(crate) fn size(&self) -> usize {
        self.bytes.len()
    }
}

/// MessagePack's mark of a list whose length follows in 32 bits.
const LIST: u8 = 0xdd;

impl Batch {
    /// A list of the parts, as MessagePack has it.
    pub(crate) fn new(number: u64, encoded_parts: Vec<EncodedPart>) -> Self {
        let length = encoded_parts.iter().map(EncodedPart::size).sum::<usize>();
        let mut encoded = Vec::with_capacity(5 + length);
        encoded.push(LIST);
        // A group is bounded far below that.
        encoded.extend(u32::try_from(encoded_parts.len()).unwrap_or(u32::MAX).to_be_bytes());
        let mut parts = Vec::with_capacity(encoded_parts.len());
        for EncodedPart { part, bytes } in encoded_parts {
            encoded.extend(bytes);
            parts.push(part);
        }
        Self { parts, encoded: encoded.into(), number }
    }

    fn decode(encoded: Bytes) -> Result<Self, UnpackError> {
        let parts = unpack(&encoded)?;
        Ok(Self { parts, encoded, number: 0 })
    }

    pub(crate) fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Bytes that it takes on the disk and on the wire, about.
    pub(crate) fn size(&self) -> usize {
        self.encoded.len()
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let events: usize = self.parts.iter().map(|part| part.events.len()).sum();
        write!(f, "Batch({} appends, {events} events, {} bytes)", self.parts.len(), self.size())
    }
}

impl PartialEq for Batch {
    fn eq(&self, other: &Self) -> bool {
        self.encoded == other.encoded
    }
}

impl Serialize for Batch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.encoded)
    }
}

impl<'de> Deserialize<'de> for Batch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let encoded = deserializer.deserialize_byte_buf(BytesVisitor)?;
        Self::decode(encoded).map_err(D::Error::custom)
    }
}

struct BytesVisitor;

impl serde::de::Visitor<'_> for BytesVisitor {
    type Value = Bytes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes")
    }

    fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Bytes, E> {
        Ok(Bytes::copy_from_slice(bytes))
    }

    fn visit_byte_buf<E: serde::de::Error>(self, bytes: Vec<u8>) -> Result<Bytes, E> {
        Ok(bytes.into())
    }
}

/// What became of one append.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum PartOutcome {
    /// Its events have these indices; `last` is before `first` when it had none.
    Applied { first: EventIndex, last: EventIndex },
    /// The State was another one; it is at `expected` now.
    Void { expected: EventIndex },
}

/// What became of a record, append by append.
pub(crate) type Outcome = Vec<PartOutcome>;

#[cfg(test)]
mod tests {
    use super::*;
    use exo_types::NodeId;

    #[test]
    fn a_batch_is_the_same_after_its_way_over_the_disk() {
        let node_id = NodeId::new("a").expect("a good id");
        let events = vec![DraftEvent::from(Event::NodeTimedOut { node_id })];
        let parts = [Some(EventIndex(3)), None].map(|base| Part { base, events: events.clone() });
        let encoded = parts.map(|part| EncodedPart::new(part).expect("encodes"));
        let batch = Batch::new(7, encoded.into());
        let bytes = rmp_serde::to_vec(&batch).expect("encodes");
        let read: Batch = unpack(&bytes).expect("decodes");
        assert_eq!((read.parts(), read.number), (batch.parts(), 0));
    }

    #[test]
    fn events_behind_the_largest_index_have_it_too() {
        let event = Event::NodeTimedOut { node_id: NodeId::new("a").expect("a good id") };
        let part = Part { base: None, events: vec![DraftEvent::from(event); 3] };
        let indices = part.on(EventIndex(u64::MAX - 1)).map(|event| event.idx);
        assert_eq!(indices.collect::<Vec<_>>(), [EventIndex(u64::MAX); 3]);
    }

    #[test]
    fn a_batch_of_nonsense_is_an_error() {
        let bytes = rmp_serde::to_vec(&serde_bytes_like(&[0xc1, 0xff])).expect("encodes");
        assert!(unpack::<Batch>(&bytes).is_err());
    }

    fn serde_bytes_like(bytes: &[u8]) -> Batch {
        Batch { parts: Vec::new(), encoded: Bytes::copy_from_slice(bytes), number: 0 }
    }
}

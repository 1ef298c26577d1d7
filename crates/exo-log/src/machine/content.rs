//! What a snapshot holds: the State, and the last events, for those who are a little behind after a restart.

use exo_state::{CodecError, State, decode_event, decode_state, encode_event, encode_state};
use exo_types::{EventIndex, IndexedEvent};
use std::sync::Arc;

const MAGIC: &[u8; 4] = b"exs1";

/// Events of a snapshot at most, and their bytes, about.
pub(crate) const EVENTS: usize = 512;
pub(crate) const EVENT_BYTES: usize = 256 << 10;

/// What is in a snapshot.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Content {
    pub(crate) state: Arc<State>,
    /// The last ones before the State; they are in it.
    pub(crate) events: Vec<Arc<Vec<IndexedEvent>>>,
}

/// Why a snapshot cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ContentError {
    #[error("the snapshot is cut off")]
    TooShort,
    #[error("this is no snapshot")]
    NoSnapshot,
    #[error("the events of the snapshot do not lead up to its State")]
    Order,
    #[error("the snapshot cannot be read: {0}")]
    Codec(#[from] CodecError),
}

/// As bytes.
pub(crate) fn encode(content: &Content) -> Result<Vec<u8>, CodecError> {
    let mut bytes = MAGIC.to_vec();
    put(&mut bytes, &encode_state(&content.state)?);
    for event in content.events.iter().flat_map(|group| group.iter()) {
        put(&mut bytes, &encode_event(event)?);
    }
    Ok(bytes)
}

fn put(bytes: &mut Vec<u8>, record: &[u8]) {
    bytes.extend((record.len() as u64).to_le_bytes());
    bytes.extend(record);
}

/// From bytes.
pub(crate) fn decode(bytes: &[u8]) -> Result<Content, ContentError> {
    let mut rest = bytes.strip_prefix(MAGIC).ok_or(ContentError::NoSnapshot)?;
    let state = decode_state(take(&mut rest)?)?;
    let mut events = Vec::new();
    while !rest.is_empty() {
        events.push(decode_event(take(&mut rest)?)?);
    }
    let count = events.len() as u64;
    let first = EventIndex(state.last_event_applied_idx.next().0.saturating_sub(count));
    let in_order = events.iter().zip(first.0..).all(|(event, idx)| event.idx.0 == idx);
    if !in_order {
        return Err(ContentError::Order);
    }
    let events = if events.is_empty() { Vec::new() } else { vec![Arc::new(events)] };
    Ok(Content { state: Arc::new(state), events })
}

fn take<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], ContentError> {
    let (length, after) = rest.split_first_chunk().ok_or(ContentError::TooShort)?;
    let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| ContentError::TooShort)?;
    let (record, after) = after.split_at_checked(length).ok_or(ContentError::TooShort)?;
    *rest = after;
    Ok(record)
}

#[cfg(test)]
mod tests {
    use super::*;
    use exo_types::{Event, NodeId};

    fn content() -> Content {
        let event = Event::NodeTimedOut { node_id: NodeId::new("a").expect("a good id") };
        let events = (4..=5).map(|idx| IndexedEvent { idx: EventIndex(idx), origin: None, event: event.clone() });
        let state = State { last_event_applied_idx: EventIndex(5), ..State::default() };
        Content { state: Arc::new(state), events: vec![Arc::new(events.collect())] }
    }

    #[test]
    fn a_snapshot_comes_back_as_it_was() {
        assert_eq!(decode(&encode(&content()).expect("encodes")), Ok(content()));
    }

    #[test]
    fn a_snapshot_at_the_end_of_all_indices_is_read_or_refused() {
        let state = State { last_event_applied_idx: EventIndex(u64::MAX), ..State::default() };
        let without = Content { state: Arc::new(state), events: Vec::new() };
        let with = Content { events: content().events, ..without.clone() };
        assert_eq!(decode(&encode(&without).expect("encodes")), Ok(without));
        assert_eq!(decode(&encode(&with).expect("encodes")), Err(ContentError::Order));
    }

    #[test]
    fn a_snapshot_that_is_cut_or_changed_is_an_error() {
        let bytes = encode(&content()).expect("encodes");
        for length in 0..bytes.len() {
            // Cut between two records is a shorter list of events, which then does not lead up to the State.
            let cut = decode(&bytes[..length]);
            assert!(cut.is_err() || cut == Ok(Content { events: Vec::new(), ..content() }), "{length}");
        }
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 4;
            assert!(decode(&changed).is_err(), "byte {at}");
        }
    }
}

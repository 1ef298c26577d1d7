//! Cuts a State into parts that fit into messages: the sending end of what the [`Follower`](crate::Follower) puts
//! together.

use exo_state::{CodecError, State, encode_state};
use exo_types::{Blob, EventIndex, EventLogPage, SessionId, SnapshotBytes, SnapshotMark, SnapshotPart};

/// Bytes of a part: a sixteenth of what a message may have, so that a slow link is not taken for a dead one.
const PART: usize = 1 << 20;
/// A State that is behind the log by no more serves newcomers as well: the rest comes as events.
const STILL_GOOD: u64 = 500;

/// The State that was sent last, in its stored form: all parts are of the same, and newcomers that come together share it.
#[derive(Debug, Default)]
pub struct SnapshotParts {
    kept: Option<Kept>,
}

#[derive(Debug)]
struct Kept {
    session: SessionId,
    index: EventIndex,
    bytes: Vec<u8>,
}

impl SnapshotParts {
    /// The part that is wanted: the one after `mark`, if that State is still kept, else the first of a newer one.
    pub fn page(
        &mut self,
        session: &SessionId,
        state: &State,
        mark: Option<SnapshotMark>,
    ) -> Result<EventLogPage, CodecError> {
        let last = state.last_event_applied_idx;
        let is_kept = self.kept.as_ref().is_some_and(|kept| {
            let is_meant = mark.is_some_and(|mark| mark.index == kept.index && mark.offset > 0);
            kept.session == *session && (is_meant || kept.is_good_for(last))
        });
        if !is_kept {
            self.kept = Some(Kept { session: session.clone(), index: last, bytes: encode_state(state)? });
        }
        let part = self.kept.as_ref().map(|kept| kept.part(mark));
        Ok(EventLogPage { snapshot: part, ..EventLogPage::empty(session.clone(), last) })
    }
}

impl Kept {
    fn is_good_for(&self, last: EventIndex) -> bool {
        last.0.checked_sub(self.index.0).is_some_and(|behind| behind <= STILL_GOOD)
    }

    fn part(&self, mark: Option<SnapshotMark>) -> SnapshotPart {
        let size = self.bytes.len();
        let offset = mark.filter(|mark| mark.index == self.index).and_then(|mark| usize::try_from(mark.offset).ok());
        let begin = offset.filter(|offset| *offset < size).unwrap_or(0);
        let bytes = self.bytes[begin..size.min(begin + PART)].to_vec();
        SnapshotPart { index: self.index, size: size as u64, offset: begin as u64, bytes: SnapshotBytes(Blob(bytes)) }
    }
}

#[cfg(test)]
mod tests;

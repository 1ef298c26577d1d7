//! Answers followers that miss something: a page of events, or the State where that is shorter.

use exo_log::{EventLog, ReadError};
use exo_node::SnapshotParts;
use exo_state::State;
use exo_types::{EventIndex, EventLogPage, RequestEventLog, SessionId};
use std::time::Duration;
use tokio::time::timeout;

/// A disk that takes longer for a page does not work; the follower asks another master.
const READ_DEADLINE: Duration = Duration::from_secs(2);
/// Events of one page.
const PAGE: usize = 1000;
/// Who misses more gets the State instead.
const SNAPSHOT_BEYOND: u64 = 4000;

/// What is sent of one log.
#[derive(Default)]
pub(crate) struct Pages {
    snapshots: SnapshotParts,
}

impl Pages {
    /// The answer, from what is applied here; or why there is none.
    pub(crate) async fn answer(
        &mut self,
        log: &EventLog,
        session: &SessionId,
        state: &State,
        request: &RequestEventLog,
    ) -> Result<EventLogPage, String> {
        if request.session.as_ref().is_some_and(|asked| asked != session) {
            return Err(format!("this master belongs to session {session}"));
        }
        let last = state.last_event_applied_idx;
        let behind = last.0.saturating_sub(request.since.0);
        if !request.events_only && (request.part.is_some() || behind > SNAPSHOT_BEYOND) {
            return self.snapshot(session, state, request);
        }
        let since = EventIndex(request.since.0.max(1));
        let empty = EventLogPage::empty(session.clone(), last);
        match timeout(READ_DEADLINE, log.read(since, PAGE)).await {
            // The log may have gone on since the State was looked at.
            Ok(Ok(page)) => Ok(EventLogPage { events: page.events, last: page.last.max(last), ..empty }),
            Ok(Err(ReadError::Purged { first })) if request.events_only => {
                Ok(EventLogPage { first: Some(first), ..empty })
            }
            Ok(Err(ReadError::Purged { .. })) => self.snapshot(session, state, request),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_late) => Err(format!("the disk did not give the page within {READ_DEADLINE:?}")),
        }
    }

    fn snapshot(
        &mut self,
        session: &SessionId,
        state: &State,
        request: &RequestEventLog,
    ) -> Result<EventLogPage, String> {
        self.snapshots.page(session, state, request.part).map_err(|error| error.to_string())
    }
}

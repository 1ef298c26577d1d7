//! Reads the log's events, from this process where it has them, else from a master.

use crate::View;
use crate::recent::Recent;
use crate::views::Views;
use exo_bus::{Bus, RequestError, topics};
use exo_types::{EventIndex, EventLogPage, IndexedEvent, NodeId, RequestEventLog, SessionId};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// How long one master may take for a page; then another is asked.
const PAGE_DEADLINE: Duration = Duration::from_secs(2);

/// Why events cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LogReadError {
    /// The session that they are of is over, or was never this cluster's.
    #[error("session {asked} is not the cluster's; {}", current_session(.current.as_ref()))]
    Session {
        /// The one that was meant.
        asked: SessionId,
        /// The one that is followed.
        current: Option<SessionId>,
    },
    /// They are in the State only.
    #[error("events before {first} were folded into the State")]
    Purged {
        /// The first one that is kept.
        first: EventIndex,
    },
    /// No master is there to be asked.
    #[error("no master is there that has the log")]
    NoMaster,
    /// None of them could say.
    #[error("the log cannot be read: {0}")]
    Failed(RequestError),
    /// This process is leaving.
    #[error("this process leaves the cluster")]
    Closed,
}

fn current_session(current: Option<&SessionId>) -> String {
    current.map_or_else(|| "it has none yet".to_owned(), |session| format!("that is {session}"))
}

/// Reads events, in order and without gaps.
#[derive(Clone)]
pub struct LogReader {
    bus: Bus,
    views: Views,
    recent: Recent,
}

impl LogReader {
    pub(crate) fn new(bus: Bus, views: Views, recent: Recent) -> Self {
        Self { bus, views, recent }
    }

    /// Events of the session from `since` on, at most `limit` and at least one; none when `until` comes first.
    pub async fn read(
        &self,
        session: &SessionId,
        since: EventIndex,
        limit: usize,
        until: Instant,
    ) -> Result<Vec<IndexedEvent>, LogReadError> {
        let mut view = self.views.subscribe();
        let is_there = |view: &View| {
            view.session.as_ref() != Some(session) || (view.is_joined() && view.state.last_event_applied_idx >= since)
        };
        match timeout_at(until, view.wait_for(is_there)).await {
            Err(_late) => return Ok(Vec::new()),
            Ok(Err(_closed)) => return Err(LogReadError::Closed),
            Ok(Ok(view)) if view.session.as_ref() != Some(session) => {
                return Err(LogReadError::Session { asked: session.clone(), current: view.session.clone() });
            }
            Ok(Ok(_)) => {}
        }
        match self.recent.read(session, since, limit) {
            Some(events) => Ok(events),
            None => self.ask(session, since, limit).await,
        }
    }

    async fn ask(
        &self,
        session: &SessionId,
        since: EventIndex,
        limit: usize,
    ) -> Result<Vec<IndexedEvent>, LogReadError> {
        let sources: Vec<NodeId> = {
            let view = self.views.latest();
            let others = view.masters.iter().filter(|node| Some(*node) != view.leader.as_ref());
            view.leader.iter().chain(others).cloned().collect()
        };
        let request = RequestEventLog { events_only: true, ..RequestEventLog::since(session.clone(), since) };
        let mut failure = LogReadError::NoMaster;
        for from in sources {
            match self.bus.request(topics::EVENT_LOG, &from, &request, PAGE_DEADLINE).await {
                Ok(page) => match events_of(page, since, limit) {
                    Ok(events) if events.is_empty() => {}
                    result => return result,
                },
                Err(error) => failure = LogReadError::Failed(error),
            }
        }
        Err(failure)
    }
}

/// What a master sent, if it is what was asked for.
fn events_of(page: EventLogPage, since: EventIndex, limit: usize) -> Result<Vec<IndexedEvent>, LogReadError> {
    if let Some(first) = page.first {
        return Err(LogReadError::Purged { first });
    }
    let expected = (since.0..).map(EventIndex);
    let in_order = page.events.into_iter().zip(expected).take_while(|(event, expected)| event.idx == *expected);
    Ok(in_order.map(|(event, _)| event).take(limit).collect())
}

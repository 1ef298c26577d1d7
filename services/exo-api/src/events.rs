//! `GET /events`: the log as it grows, one event after the other, from an index on.
//!
//! Every event has an id, `index@session`. A client that lost its stream comes back with the last one and misses nothing;
//! where that cannot be, it is told so and what to do. At most one page of events is held for a client: who reads slowly
//! is served slowly.

use crate::app::{App, FOLLOWERS};
use exo_http::{Event, Reply, Request, Route};
use exo_node::{LogReadError, LogReader, View};
use exo_types::{EventIndex, IndexedEvent, NodeId, SessionId};
use exo_wire::ApiError;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Events held for one client.
const PAGE: usize = 256;
/// How long one look for more events takes, if none come.
const LOOK: Duration = Duration::from_secs(60);

pub(crate) fn routes(app: &Arc<App>) -> Vec<Route> {
    let app = app.clone();
    vec![Route::get("/events", move |request| open(app.clone(), request))]
}

async fn open(app: Arc<App>, request: Request) -> Result<Reply, ApiError> {
    let view = app.view();
    let (session, since, oldest) = start(&view, &request)?;
    let place = app.followers.clone().try_acquire_owned().map_err(|_| {
        let message = format!("{FOLLOWERS} clients follow the events of this node already; ask another node");
        ApiError::new(429, "overloaded", message).retry_after(10)
    })?;
    let reader = app.node.log();
    let mut feed =
        Feed { reader, session, next: since, page: VecDeque::new(), closing: request.closing, _place: place };
    // What cannot be read is told by the status.
    if since <= view.state.last_event_applied_idx {
        let filled = match feed.fill(Instant::now() + LOOK).await {
            Err(LogReadError::Purged { first }) if oldest => {
                feed.next = first;
                feed.fill(Instant::now() + LOOK).await
            }
            filled => filled,
        };
        filled.map_err(|error| refusal(&error, &app.view()))?;
    }
    let stream = futures::stream::unfold(Some(feed), move |feed| {
        let app = app.clone();
        async move { next(feed?, &app).await }
    });
    Ok(Reply::events(stream))
}

/// From the first event that is kept.
const OLDEST: &str = "oldest";

/// Where a client begins: after the last event that it had, at the one that it names, or at the next that happens; and
/// whether a later one will do.
fn start(view: &View, request: &Request) -> Result<(SessionId, EventIndex, bool), ApiError> {
    let Some(current) = view.session.clone().filter(|_| view.is_joined()) else {
        let message = "this node has not found the cluster yet; try again in a moment";
        return Err(ApiError::new(503, "not_joined", message).retry_after(1));
    };
    let since = request.query("since");
    let oldest = request.last_event_id.is_none() && since == Some(OLDEST);
    let asked = match (&request.last_event_id, since) {
        (Some(last), _) => parse(last).map(|(index, session)| (index.next(), session)),
        (None, Some(OLDEST)) => Some((EventIndex(1), None)),
        (None, Some(since)) => parse(since),
        (None, None) => Some((view.state.last_event_applied_idx.next(), None)),
    };
    let Some((since, session)) = asked else {
        let message =
            "`since` is the index of an event, its id as `/events` gives it, or `oldest`: `1234`, `1234@2@node`";
        return Err(ApiError::field("since", "invalid_value", message));
    };
    let since = since.max(EventIndex(1));
    match session {
        Some(asked) if asked != current => Err(refusal(&LogReadError::Session { asked, current: Some(current) }, view)),
        _ => Ok((current, since, oldest)),
    }
}

/// `index`, or `index@generation@master`.
fn parse(text: &str) -> Option<(EventIndex, Option<SessionId>)> {
    let (index, session) = text.split_once('@').map_or((text, None), |(index, session)| (index, Some(session)));
    let index = EventIndex(index.parse().ok()?);
    let Some(session) = session else { return Some((index, None)) };
    let (generation, master) = session.split_once('@')?;
    let session = SessionId { generation: generation.parse().ok()?, master_node_id: NodeId::new(master).ok()? };
    Some((index, Some(session)))
}

/// One client's place in the log.
struct Feed {
    reader: LogReader,
    session: SessionId,
    next: EventIndex,
    page: VecDeque<IndexedEvent>,
    closing: CancellationToken,
    _place: OwnedSemaphorePermit,
}

impl Feed {
    async fn fill(&mut self, until: Instant) -> Result<(), LogReadError> {
        let events = self.reader.read(&self.session, self.next, PAGE, until).await?;
        self.next = events.last().map_or(self.next, |event| event.idx.next());
        self.page.extend(events);
        Ok(())
    }

    fn take(&mut self) -> Option<Event> {
        let event = self.page.pop_front()?;
        let id = format!("{}@{}", event.idx, self.session);
        let data = serde_json::to_string(&event).expect("events are maps, texts and numbers");
        Some(Event::Numbered { id, data })
    }
}

/// The next event, or why there will be none: that is the last one.
async fn next(mut feed: Feed, app: &App) -> Option<(Event, Option<Feed>)> {
    loop {
        if let Some(event) = feed.take() {
            return Some((event, Some(feed)));
        }
        let closing = feed.closing.clone();
        let filled = tokio::select! {
            biased;
            () = closing.cancelled() => Err(LogReadError::Closed),
            filled = feed.fill(Instant::now() + LOOK) => filled,
        };
        if let Err(error) = filled {
            return Some((Event::Data(refusal(&error, &app.view()).to_json()), None));
        }
    }
}

/// What a client is told, and what it can do.
fn refusal(error: &LogReadError, view: &View) -> ApiError {
    let anew = format!(
        "GET /state has everything that they made; go on with /events?since={}",
        view.state.last_event_applied_idx.next()
    );
    match error {
        LogReadError::Purged { .. } => ApiError::new(410, "events_purged", format!("{error}; {anew}")),
        LogReadError::Session { .. } => ApiError::new(409, "session_changed", format!("{error}; {anew}")),
        LogReadError::NoMaster | LogReadError::Failed(_) => {
            let message = format!("{error}; events are there again when a master is, or from the latest one on");
            ApiError::new(503, "no_master", message).retry_after(2)
        }
        LogReadError::Closed => ApiError::new(503, "shutting_down", "this node is being stopped; ask another"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_events_are_read_as_they_are_written() {
        let session = SessionId { generation: 2, master_node_id: NodeId::new("n/1").expect("a good id") };
        let id = format!("{}@{session}", EventIndex(7));
        assert_eq!(parse(&id), Some((EventIndex(7), Some(session))));
        assert_eq!(parse("7"), Some((EventIndex(7), None)));
        for bad in ["", "x", "-1", "7@", "7@2", "7@x@n", "7@2@", "7@2@a b", "99999999999999999999"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}

//! Tells everybody what was applied, while this master leads.

use exo_bus::{Bus, topics};
use exo_log::{EventLog, Feed, SubscriptionError};
use exo_types::{EventIndex, GlobalForwarderEvent, IndexedEvent, SessionId};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// A bus that takes longer for one event is stuck; followers ask for what they miss.
const PUBLISH_DEADLINE: Duration = Duration::from_secs(2);

/// Publishes the events of one log, in order, until it is dropped.
pub(crate) struct Publisher {
    leads: Arc<AtomicBool>,
    told: watch::Receiver<EventIndex>,
    _task: JoinSet<()>,
}

impl Publisher {
    pub(crate) fn start(bus: Bus, session: SessionId, log: &EventLog) -> Self {
        let leads = Arc::new(AtomicBool::new(false));
        let mut feed = log.events();
        let is_leading = leads.clone();
        let (telling, told) = watch::channel(EventIndex(0));
        let mut task = JoinSet::new();
        task.spawn(async move {
            loop {
                match feed.next().await {
                    Ok(Feed::Events(events)) if is_leading.load(Ordering::SeqCst) => {
                        for event in events.iter() {
                            publish(&bus, &session, event).await;
                        }
                        telling.send_replace(events.last().map_or(EventIndex(0), |event| event.idx));
                    }
                    // Who follows notices the gap by the next event, or by the leader's next announcement.
                    Ok(_) | Err(SubscriptionError::Lagged { .. }) => {}
                    Err(SubscriptionError::Closed) => return,
                }
            }
        });
        Self { leads, told, _task: task }
    }

    /// Waits until an event was told to everybody: who is answered after that can be gone at once, and what was
    /// acknowledged is seen all the same. Not for ever: who missed it asks for it.
    pub(crate) fn told(&self, idx: EventIndex) -> impl Future<Output = ()> + Send + 'static {
        let mut told = self.told.clone();
        async move {
            let is_told = timeout(PUBLISH_DEADLINE, told.wait_for(|last| *last >= idx)).await;
            if is_told.is_err() {
                tracing::warn!(%idx, "an event is answered before it is told");
            }
        }
    }

    /// From now on, or not any more.
    pub(crate) fn set_leading(&self, leads: bool) {
        self.leads.store(leads, Ordering::SeqCst);
    }
}

async fn publish(bus: &Bus, session: &SessionId, event: &IndexedEvent) {
    let message = GlobalForwarderEvent { session: session.clone(), event: event.clone() };
    match timeout(PUBLISH_DEADLINE, bus.publish(topics::GLOBAL_EVENTS, &message)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "an event was not published; followers will ask for it"),
        Err(_late) => tracing::warn!("the bus takes no events; followers will ask for them"),
    }
}

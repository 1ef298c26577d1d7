//! Tells everybody what was applied, while this master leads.

use exo_bus::{Bus, PublishError, topics};
use exo_log::{EventLog, Feed, SubscriptionError};
use exo_types::{EventIndex, GlobalEvents, IndexedEvent, SessionId};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// A bus that takes longer for a message is stuck; followers ask for what they miss.
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
                        publish(&bus, &session, &events).await;
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

/// What was written together goes as one message, or as few as it fits into.
async fn publish(bus: &Bus, session: &SessionId, events: &[IndexedEvent]) {
    let mut rest = VecDeque::from([events]);
    while let Some(events) = rest.pop_front() {
        let message = GlobalEvents { session: session.clone(), events: events.to_vec() };
        match timeout(PUBLISH_DEADLINE, bus.publish(topics::GLOBAL_EVENTS, &message)).await {
            Ok(Ok(())) => {}
            Ok(Err(PublishError::TooLarge { .. })) if events.len() > 1 => {
                let (first, second) = events.split_at(events.len() / 2);
                rest.push_front(second);
                rest.push_front(first);
            }
            Ok(Err(error)) => tracing::warn!(%error, "events were not published; followers will ask for them"),
            Err(_late) => tracing::warn!("the bus takes no events; followers will ask for them"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::node;
    use exo_bus::{MESSAGE_LIMIT, MemoryNetwork};
    use exo_types::{Event, TaskId};

    fn event(idx: u64, size: usize) -> IndexedEvent {
        let task_id = TaskId::new("t").expect("a good id");
        let event = Event::TaskFailed { task_id, error_message: "x".repeat(size) };
        IndexedEvent { idx: EventIndex(idx), origin: None, event }
    }

    /// How many events each message has.
    async fn told(sizes: &[usize]) -> Vec<usize> {
        let network = MemoryNetwork::new(1);
        let (leader, other) = tokio::join!(network.join(node("a")), network.join(node("b")));
        let (leader, other) = (leader.expect("joins"), other.expect("joins"));
        let mut heard = other.subscribe(topics::GLOBAL_EVENTS).await.expect("the bus is open");
        let events: Vec<_> = (1..).zip(sizes).map(|(idx, size)| event(idx, *size)).collect();
        publish(&leader, &SessionId { generation: 1, master_node_id: node("a") }, &events).await;
        let (mut messages, mut rest) = (Vec::new(), events.as_slice());
        while !rest.is_empty() {
            let message = timeout(PUBLISH_DEADLINE, heard.recv()).await.expect("soon").expect("well");
            let (first, others) = rest.split_at(message.events.len());
            assert_eq!(message.events, first, "in order, nothing left out");
            messages.push(first.len());
            rest = others;
        }
        messages
    }

    #[tokio::test(start_paused = true)]
    async fn a_round_is_one_message_or_as_few_as_it_fits_into() {
        assert_eq!(told(&[1; 200]).await, [200]);
        assert_eq!(told(&[MESSAGE_LIMIT / 3; 4]).await, [2, 2]);
        assert_eq!(told(&[1, 1, MESSAGE_LIMIT - 1000]).await, [3]);
    }
}

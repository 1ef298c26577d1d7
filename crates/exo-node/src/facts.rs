//! Tells the facts of this process until the log shows them.

use crate::fact_queue::FactQueue;
use crate::follow::sleep_until;
use crate::{Outgoing, View};
use exo_bus::{Bus, PublishError, topics};
use exo_types::{Event, NodeId, OriginEpoch};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Numbers that JavaScript keeps exactly: lives of processes stand in `GET /state`.
const EPOCH_MASK: u64 = (1 << 53) - 1;

/// Tells facts: at least once until they are seen in the log, applied there once.
#[derive(Clone)]
pub struct FactSender {
    shared: Arc<Shared>,
}

struct Shared {
    queue: Mutex<FactQueue>,
    more: Notify,
}

impl FactSender {
    pub(crate) fn new(node_id: NodeId) -> Self {
        let queue = Mutex::new(FactQueue::new(node_id, new_epoch));
        Self { shared: Arc::new(Shared { queue, more: Notify::new() }) }
    }

    /// Takes the fact up and returns at once. Of several facts about the same thing that have not left yet, only the
    /// last is told; one that is on its way already is not told twice.
    pub fn report(&self, event: Event) {
        self.queue().report(event);
        self.shared.more.notify_one();
    }

    /// Facts that the log does not show yet.
    pub fn pending(&self) -> usize {
        self.queue().len()
    }

    fn queue(&self) -> MutexGuard<'_, FactQueue> {
        // A panic inside the queue cannot leave it worse than a lost message does.
        self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A number that no other life of a process of this node has.
fn new_epoch() -> OriginEpoch {
    OriginEpoch(exo_ambient::fresh_number() & EPOCH_MASK)
}

/// Publishes until it is stopped or the bus is closed.
pub(crate) async fn send_facts(bus: Bus, facts: FactSender, mut view: watch::Receiver<View>, stop: CancellationToken) {
    view.mark_changed();
    loop {
        let timeout = facts.queue().poll_timeout().map(Instant::from_std);
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            changed = view.changed() => {
                if changed.is_err() {
                    return;
                }
                let latest = view.borrow_and_update().clone();
                facts.queue().on_view(Instant::now().into_std(), &latest);
            }
            () = facts.shared.more.notified() => {}
            () = sleep_until(timeout) => {}
        }
        if let Err(PublishError::Closed) = publish_due(&bus, &facts).await {
            return;
        }
    }
}

async fn publish_due(bus: &Bus, facts: &FactSender) -> Result<(), PublishError> {
    while let Some(fact) = next_due(facts) {
        match bus.publish(topics::LOCAL_EVENTS, &fact).await {
            Err(PublishError::Closed) => return Err(PublishError::Closed),
            Err(error) => tracing::error!(%error, "a fact cannot be told"),
            Ok(()) => {}
        }
    }
    Ok(())
}

fn next_due(facts: &FactSender) -> Option<Outgoing> {
    facts.queue().poll_outgoing(Instant::now().into_std())
}

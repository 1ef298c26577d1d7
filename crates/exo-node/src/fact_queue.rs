//! The facts of one process that the log does not show yet.
//!
//! Sans-IO. Facts leave in order, at most a window of them at a time, and again until the State says that they are in.
//! What waits behind the window is merged: of two facts about the same thing only the later one counts. So the queue
//! is bounded by what there is to tell about, however long there is no master.

use crate::View;
use exo_types::{Event, LocalForwarderEvent, NodeId, OriginEpoch, OriginSequence, SessionId};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Facts under way at a time.
const WINDOW: usize = 64;
/// Sent again after that long without being seen; doubles.
const RESEND_FIRST: Duration = Duration::from_millis(300);
/// Never longer between two sendings.
const RESEND_MAX: Duration = Duration::from_secs(5);

/// A fact to be published.
pub type Outgoing = LocalForwarderEvent;

/// The queue.
#[derive(Debug)]
pub struct FactQueue {
    node_id: NodeId,
    epoch: OriginEpoch,
    new_epoch: fn() -> OriginEpoch,
    session: Option<SessionId>,
    /// The master that hears them, while there is one.
    leader: Option<NodeId>,
    /// Numbered; the first one is the oldest that was not seen.
    under_way: VecDeque<Event>,
    first: OriginSequence,
    /// How many of those under way have left since the last time that all were to be sent again.
    sent: usize,
    waiting: VecDeque<Event>,
    resend_at: Option<Instant>,
    resends: u32,
}

impl FactQueue {
    /// An empty queue; `new_epoch` must give another number each time, also among the processes of the node.
    pub fn new(node_id: NodeId, new_epoch: fn() -> OriginEpoch) -> Self {
        Self {
            node_id,
            epoch: new_epoch(),
            new_epoch,
            session: None,
            leader: None,
            under_way: VecDeque::new(),
            first: OriginSequence(1),
            sent: 0,
            waiting: VecDeque::new(),
            resend_at: None,
            resends: 0,
        }
    }

    /// Takes a fact up. One that is on its way already, as the latest about its thing, is not taken up again.
    pub fn report(&mut self, event: Event) {
        if let Some(older) = self.waiting.iter_mut().find(|older| same_thing(older, &event)) {
            *older = event;
            return;
        }
        let latest = self.under_way.iter().rev().find(|older| same_thing(older, &event));
        if latest != Some(&event) {
            self.waiting.push_back(event);
        }
    }

    /// What the log shows now. A new session is told everything that the old one was not seen to have; a new leader of
    /// the same session is told at once what is not in the log yet, under the same numbers.
    pub fn on_view(&mut self, now: Instant, view: &View) {
        if view.leader.is_some() && view.leader != self.leader {
            self.send_again();
        }
        self.leader.clone_from(&view.leader);
        if view.session != self.session {
            self.session.clone_from(&view.session);
            self.epoch = (self.new_epoch)();
            self.first = OriginSequence(1);
            self.send_again();
        }
        self.drop_seen(now, view);
    }

    /// The next fact to publish.
    pub fn poll_outgoing(&mut self, now: Instant) -> Option<Outgoing> {
        let session = self.session.clone().filter(|_| self.leader.is_some())?;
        if self.resend_at.is_some_and(|at| at <= now) && self.sent > 0 {
            self.sent = 0;
            self.resends = self.resends.saturating_add(1);
            self.resend_at = None;
        }
        if self.sent == self.under_way.len() && self.under_way.len() < WINDOW {
            self.under_way.extend(self.waiting.pop_front());
        }
        let event = self.under_way.get(self.sent)?.clone();
        let sequence = OriginSequence(self.first.0 + self.sent as u64);
        self.sent += 1;
        if self.resend_at.is_none() {
            self.resend_at = Some(now + self.resend_after());
        }
        Some(Outgoing { origin: self.node_id.clone(), origin_epoch: self.epoch, sequence, session, event })
    }

    /// When to call [`FactQueue::poll_outgoing`] again, if nothing happens before.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.resend_at.filter(|_| self.leader.is_some() && !self.under_way.is_empty())
    }

    /// Facts that were not seen in the log yet.
    pub fn len(&self) -> usize {
        self.under_way.len() + self.waiting.len()
    }

    /// Whether everything was seen.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn drop_seen(&mut self, now: Instant, view: &View) {
        let seen = view.state.origins.last(&self.node_id, self.epoch);
        let mut progress = false;
        while self.first <= seen && self.under_way.pop_front().is_some() {
            self.first = self.first.next();
            self.sent = self.sent.saturating_sub(1);
            progress = true;
        }
        if progress {
            self.resends = 0;
            self.resend_at = (self.sent > 0).then(|| now + self.resend_after());
        }
    }

    fn send_again(&mut self) {
        self.sent = 0;
        self.resends = 0;
        self.resend_at = None;
    }

    fn resend_after(&self) -> Duration {
        let factor = 1u32.checked_shl(self.resends).unwrap_or(u32::MAX);
        RESEND_FIRST.saturating_mul(factor).min(RESEND_MAX)
    }
}

/// Whether the later of two facts makes the earlier one pointless.
fn same_thing(a: &Event, b: &Event) -> bool {
    use Event::{
        NodeDownloadProgress, NodeDownloadRemoved, NodeGatheredInfo, NodeHardwareChanged, NodeResourcesChanged,
        RunnerStatusUpdated, TopologyEdgeCreated, TopologyEdgeDeleted,
    };
    match (a, b) {
        (NodeGatheredInfo { node_id: a, .. }, NodeGatheredInfo { node_id: b, .. })
        | (NodeResourcesChanged { node_id: a, .. }, NodeResourcesChanged { node_id: b, .. })
        | (NodeHardwareChanged { node_id: a, .. }, NodeHardwareChanged { node_id: b, .. }) => a == b,
        (RunnerStatusUpdated { runner_id: a, .. }, RunnerStatusUpdated { runner_id: b, .. }) => a == b,
        (
            TopologyEdgeCreated { connection: a } | TopologyEdgeDeleted { connection: a },
            TopologyEdgeCreated { connection: b } | TopologyEdgeDeleted { connection: b },
        ) => a == b,
        (NodeDownloadProgress { .. } | NodeDownloadRemoved { .. }, _) => {
            download_of(a).is_some_and(|thing| Some(thing) == download_of(b))
        }
        _ => a == b,
    }
}

fn download_of(event: &Event) -> Option<(&NodeId, &exo_types::ModelId)> {
    match event {
        Event::NodeDownloadProgress { download } => Some((&download.node_id, &download.model_card.model_id)),
        Event::NodeDownloadRemoved { node_id, model_id } => Some((node_id, model_id)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;

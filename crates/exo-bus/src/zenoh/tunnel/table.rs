//! Who is linked, who is to be called, and when. Pure: `now` is an argument.
//!
//! Of two processes the one with the larger id decides which links between them are wanted, and it is the one that
//! calls first; so two calls that cross leave one link.

use super::hello::{Place, Verdict};
use super::meter::Meter;
use super::{PeerId, process_of};
use exo_identity::Facts;
use exo_types::NodeId;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The smaller id leaves the first step to the larger for so long.
const PATIENCE: Duration = Duration::from_secs(1);
/// Pauses between calls double from the first to the last.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(4));
/// A process that nobody has heard of for so long is not called any more.
const FORGET: Duration = Duration::from_secs(120);
/// Processes that are remembered; more are no cluster but a flood.
const KNOWN: usize = 1024;

/// A link, by the order in which it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LinkId(pub u64);

/// Somebody to call.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Target {
    /// As configured: `host:port`.
    Static(String),
    /// As heard.
    Peer(PeerId),
}

/// A call to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Call {
    pub target: Target,
    pub addresses: Vec<SocketAddr>,
}

#[derive(Debug, Clone)]
pub(super) struct Link {
    pub id: LinkId,
    pub node: NodeId,
    pub place: Place,
    pub admits: bool,
    pub facts: Facts,
    pub meter: Arc<Meter>,
}

#[derive(Debug, Clone)]
struct Attempt {
    addresses: Vec<SocketAddr>,
    heard: Instant,
    next: Instant,
    pause: Duration,
    under_way: bool,
    /// Who answered there.
    answered: Option<PeerId>,
}

impl Attempt {
    fn new(now: Instant, next: Instant) -> Self {
        Self { addresses: Vec::new(), heard: now, next, pause: PAUSES.0, under_way: false, answered: None }
    }
}

#[derive(Debug)]
pub(super) struct Table {
    own: PeerId,
    links: BTreeMap<PeerId, Link>,
    attempts: BTreeMap<Target, Attempt>,
}

impl Table {
    pub fn new(own: PeerId, statics: &[String], now: Instant) -> Self {
        let attempts = statics.iter().map(|peer| (Target::Static(peer.clone()), Attempt::new(now, now))).collect();
        Self { own, links: BTreeMap::new(), attempts }
    }

    pub fn links(&self) -> impl Iterator<Item = &Link> {
        self.links.values()
    }

    /// Whether this side decides about links with that process.
    pub fn decides(&self, peer: &PeerId) -> bool {
        self.own >= *peer
    }

    /// Decides about a link, as the side with the larger id.
    pub fn judge(&self, peer: &PeerId, node: &NodeId) -> Verdict {
        // Messages name their process by half of its id: two of the same half are not told apart.
        let takes = |other: &PeerId| other != peer && process_of(other) == process_of(peer);
        match self.links.get(peer) {
            _ if *peer == self.own => Verdict::Itself,
            _ if takes(&self.own) || self.links.keys().any(takes) => Verdict::Foreign,
            Some(link) if link.node != *node => Verdict::Foreign,
            Some(_) => Verdict::Doubled,
            None => Verdict::Accepted,
        }
    }

    /// A link is there. Gives the one that it replaces: the other side has noticed its end before us.
    pub fn on_linked(&mut self, link: Link) -> Option<LinkId> {
        let replaced = self.links.insert(link.place.id, link);
        replaced.map(|old| old.id)
    }

    /// A link is gone; true if that leaves the process unlinked.
    pub fn on_ended(&mut self, now: Instant, peer: &PeerId, link: LinkId) -> bool {
        if self.links.get(peer).is_none_or(|held| held.id != link) {
            return false;
        }
        let Some(ended) = self.links.remove(peer) else { return false };
        self.on_heard(now, ended.place);
        for attempt in self.attempts.values_mut().filter(|attempt| attempt.answered == Some(*peer)) {
            (attempt.next, attempt.pause) = (now + PAUSES.0, PAUSES.0);
        }
        true
    }

    /// Somebody told where a process is.
    pub fn on_heard(&mut self, now: Instant, place: Place) {
        let target = Target::Peer(place.id);
        if place.id == self.own || (self.attempts.len() >= KNOWN && !self.attempts.contains_key(&target)) {
            return;
        }
        let first = if self.decides(&place.id) { now } else { now + PATIENCE };
        let attempt = self.attempts.entry(target).or_insert_with(|| Attempt::new(now, first));
        if now.saturating_duration_since(attempt.heard) > FORGET / 2 {
            // It was given up nearly; it is news.
            (attempt.next, attempt.pause) = (first, PAUSES.0);
        }
        attempt.heard = now;
        // What was told last comes first.
        let older = std::mem::take(&mut attempt.addresses);
        attempt.addresses = place.addresses;
        let known = older.into_iter().filter(|address| !attempt.addresses.contains(address)).collect::<Vec<_>>();
        attempt.addresses.extend(known);
        attempt.addresses.truncate(super::hello::ADDRESSES);
    }

    /// Whom to call now, at most so many.
    pub fn calls(&mut self, now: Instant, room: usize) -> Vec<Call> {
        self.forget(now);
        let (links, mut calls) = (&self.links, Vec::new());
        for (target, attempt) in &mut self.attempts {
            if attempt.under_way || now < attempt.next || is_linked(links, target, attempt) {
                continue;
            }
            if calls.len() >= room {
                break;
            }
            attempt.under_way = true;
            calls.push(Call { target: target.clone(), addresses: attempt.addresses.clone() });
        }
        calls
    }

    /// When to look again.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let waiting =
            |(target, attempt): &(&Target, &Attempt)| !attempt.under_way && !is_linked(&self.links, target, attempt);
        self.attempts.iter().filter(waiting).map(|(_, attempt)| attempt.next).min()
    }

    /// A call came to its end, well or not; `answered` is who spoke there.
    pub fn on_called(&mut self, now: Instant, target: &Target, answered: Option<PeerId>) {
        let Some(attempt) = self.attempts.get_mut(target) else { return };
        attempt.under_way = false;
        attempt.next = now + attempt.pause;
        attempt.pause = (attempt.pause * 2).min(PAUSES.1);
        attempt.answered = answered.or(attempt.answered);
        // At the address of a process that ended another one lives: the old one does not come back.
        let is_another = matches!(target, Target::Peer(id) if answered.is_some_and(|answered| answered != *id));
        if is_another || (answered == Some(self.own)) {
            self.attempts.remove(target);
        }
    }

    fn forget(&mut self, now: Instant) {
        let links = &self.links;
        self.attempts.retain(|target, attempt| {
            let stays = matches!(target, Target::Static(_)) || is_linked(links, target, attempt);
            stays || attempt.under_way || now.saturating_duration_since(attempt.heard) < FORGET
        });
    }
}

fn is_linked(links: &BTreeMap<PeerId, Link>, target: &Target, attempt: &Attempt) -> bool {
    match target {
        Target::Peer(id) => links.contains_key(id),
        Target::Static(_) => attempt.answered.is_some_and(|id| links.contains_key(&id)),
    }
}

#[cfg(test)]
mod tests;

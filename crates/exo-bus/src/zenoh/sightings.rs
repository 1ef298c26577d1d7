//! Which presences are believed: those that zenoh tells of, that the node itself has signed, and whose process is linked.
//!
//! zenoh keeps a key declared for as long as anybody declares it, so that a member that does not behave could hold up the
//! presence of a node that is dead. The end of the link to its process ends it here. Decides; who is told is handed out.

use crate::keys;
use crate::names::ProcessId;
use crate::transport::{Sighting, Witness};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// All watches of a process.
#[derive(Default)]
pub(super) struct Sightings {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    linked: BTreeSet<ProcessId>,
    watches: Vec<Weak<Watch>>,
}

/// One watch, and what zenoh told it.
pub(super) struct Watch {
    witness: Witness,
    told: Mutex<BTreeMap<String, ProcessId>>,
}

impl Sightings {
    /// The own process is always there.
    pub fn new(own: ProcessId) -> Self {
        let sightings = Self::default();
        sightings.inner().linked.insert(own);
        sightings
    }

    /// Begins a watch; it ends when it is dropped.
    pub fn watch(&self, witness: Witness) -> Arc<Watch> {
        let watch = Arc::new(Watch { witness, told: Mutex::default() });
        let mut inner = self.inner();
        inner.watches.retain(|watch| watch.strong_count() > 0);
        inner.watches.push(Arc::downgrade(&watch));
        watch
    }

    /// zenoh told something, and the seal was good. Within the lock, so that a link that ends meanwhile has its say
    /// before or after it.
    pub fn on_told(&self, watch: &Watch, sighting: Sighting) {
        let (Sighting::Appeared(key) | Sighting::Gone(key)) = &sighting;
        let Some(process) = process_of(key) else { return };
        let inner = self.inner();
        let mut told = watch.told();
        match &sighting {
            Sighting::Appeared(key) => told.insert(key.clone(), process),
            Sighting::Gone(key) => told.remove(key),
        };
        drop(told);
        if inner.linked.contains(&process) {
            (watch.witness)(sighting);
        }
    }

    /// A link to a process is there: what zenoh told of it counts.
    pub fn on_linked(&self, process: ProcessId) {
        let mut inner = self.inner();
        if inner.linked.insert(process) {
            tell(&inner.watches, process, Sighting::Appeared);
        }
    }

    /// The last link to a process ended: nothing of it is there.
    pub fn on_ended(&self, process: ProcessId) {
        let mut inner = self.inner();
        if inner.linked.remove(&process) {
            tell(&inner.watches, process, Sighting::Gone);
        }
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch {
    fn told(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, ProcessId>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tell(watches: &[Weak<Watch>], process: ProcessId, sighting: fn(String) -> Sighting) {
    for watch in watches.iter().filter_map(Weak::upgrade) {
        let keys: Vec<String> =
            watch.told().iter().filter(|(_, of)| **of == process).map(|(key, _)| key.clone()).collect();
        keys.into_iter().for_each(|key| (watch.witness)(sighting(key)));
    }
}

/// Of a declared key: `process/<process>`, or `presence/<kind>/<node>/<process>-…`.
fn process_of(key: &str) -> Option<ProcessId> {
    let mut segments = key.split('/');
    let process = match segments.next()? {
        keys::PROCESSES => segments.next()?,
        _ => segments.nth(2)?.split('-').next()?,
    };
    process.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: ProcessId = ProcessId(1);
    const OTHER: ProcessId = ProcessId(2);

    fn key(process: ProcessId) -> String {
        format!("presence/role/a/{process}-0/0/ff")
    }

    /// A watch, and what it was told, in order.
    fn watched(sightings: &Sightings) -> (Arc<Watch>, impl Fn() -> Vec<Sighting>) {
        let seen: Arc<Mutex<Vec<Sighting>>> = Arc::default();
        let witness = seen.clone();
        let watch = sightings.watch(Arc::new(move |sighting| witness.lock().expect("no panic").push(sighting)));
        (watch, move || std::mem::take(&mut *seen.lock().expect("no panic")))
    }

    #[test]
    fn a_presence_lives_no_longer_than_the_link_to_its_process() {
        let sightings = Sightings::new(OWN);
        let (watch, seen) = watched(&sightings);
        sightings.on_linked(OTHER);
        sightings.on_told(&watch, Sighting::Appeared(key(OTHER)));
        sightings.on_ended(OTHER);
        // Somebody else holds the key up: zenoh says nothing.
        assert_eq!(seen(), [Sighting::Appeared(key(OTHER)), Sighting::Gone(key(OTHER))]);
        sightings.on_linked(OTHER);
        assert_eq!(seen(), [Sighting::Appeared(key(OTHER))], "it is back, and zenoh never said that it was gone");
    }

    #[test]
    fn who_is_not_linked_is_not_there_whoever_says_so() {
        let sightings = Sightings::new(OWN);
        let (watch, seen) = watched(&sightings);
        sightings.on_told(&watch, Sighting::Appeared(key(OTHER)));
        sightings.on_told(&watch, Sighting::Appeared("nonsense".to_owned()));
        assert_eq!(seen(), []);
        sightings.on_told(&watch, Sighting::Appeared(key(OWN)));
        sightings.on_told(&watch, Sighting::Gone(key(OTHER)));
        sightings.on_linked(OTHER);
        assert_eq!(seen(), [Sighting::Appeared(key(OWN))]);
    }
}

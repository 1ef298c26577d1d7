//! Who the node is, as the worker told last.

use crate::links::Incarnation;
use exo_identity::{CryptoError, Identity, RunnerIdentity};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// Shared by the thread that listens to the worker and those that make links. A link shows what is there when it is made.
#[derive(Clone, Default)]
pub(crate) struct Credentials(Arc<Mutex<Held>>);

#[derive(Default)]
struct Held {
    identity: Option<Identity>,
    /// The links that are there, and have to go when their node does.
    links: Weak<Incarnation>,
}

impl Credentials {
    /// The worker told it. Links to nodes that were thrown out are closed when this returns.
    pub(crate) fn take(&self, told: &RunnerIdentity) -> Result<(), CryptoError> {
        let mut held = self.held();
        let taken = match &held.identity {
            Some(identity) => identity.follow_node(told),
            None => Identity::of_runner(told).map(|identity| held.identity = Some(identity)),
        };
        let links = held.links.upgrade();
        drop(held);
        if let Some(links) = links {
            links.review();
        }
        taken
    }

    /// As told last, and as it will be told; none before the worker told it.
    pub(crate) fn identity(&self) -> Option<Identity> {
        self.held().identity.clone()
    }

    /// From now on these links are reviewed; those before them are over.
    pub(crate) fn watch_over(&self, links: &Arc<Incarnation>) {
        self.held().links = Arc::downgrade(links);
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

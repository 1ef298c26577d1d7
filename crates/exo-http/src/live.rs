//! Options that change while a server serves.

use crate::server::ServerOptions;
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::Semaphore;

/// The options in force. Clones share them.
#[derive(Clone)]
pub struct LiveOptions(Arc<RwLock<Arc<InForce>>>);

/// What one request goes by, from its head to its end.
pub(crate) struct InForce {
    pub(crate) options: ServerOptions,
    /// Places for counted requests.
    pub(crate) places: Arc<Semaphore>,
}

impl LiveOptions {
    pub(crate) fn new(options: ServerOptions) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(InForce::new(options)))))
    }

    /// What the next request goes by. Those under way keep what they began with, and keep no place from the new ones.
    /// Where the server listens does not change.
    pub fn replace(&self, options: ServerOptions) {
        let mut in_force = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let bind = in_force.options.bind;
        *in_force = Arc::new(InForce::new(ServerOptions { bind, ..options }));
    }

    pub(crate) fn now(&self) -> Arc<InForce> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl InForce {
    fn new(options: ServerOptions) -> Self {
        let places = Arc::new(Semaphore::new(options.max_concurrent));
        Self { options, places }
    }
}

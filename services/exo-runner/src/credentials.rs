//! Who the node is, as the worker told last.

use exo_identity::{CryptoError, Identity, RunnerIdentity};
use std::sync::{Arc, Mutex, PoisonError};

/// Shared by the thread that listens to the worker and those that make links. A link shows what is there when it is made.
#[derive(Debug, Clone, Default)]
pub(crate) struct Credentials(Arc<Mutex<Option<Identity>>>);

impl Credentials {
    /// The worker told it.
    pub(crate) fn take(&self, told: &RunnerIdentity) -> Result<(), CryptoError> {
        let identity = Identity::of_runner(told)?;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(identity);
        Ok(())
    }

    /// As told last; none before the worker told it.
    pub(crate) fn now(&self) -> Option<Identity> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

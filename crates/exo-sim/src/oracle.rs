//! What clients were told.

use exo_types::CommandId;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a client knows of its command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Commanded {
    /// It was sent.
    UnderWay,
    /// It was acknowledged.
    Accepted,
    /// It was refused: nothing was changed.
    Refused,
    /// It failed in a way that tells nothing: it may have been carried out.
    Unknown,
}

/// All commands of all clients. A clone is the same record.
#[derive(Clone, Default)]
pub(crate) struct Oracle(Arc<Mutex<BTreeMap<CommandId, Commanded>>>);

impl Oracle {
    /// A client learns something of its command.
    pub(crate) fn note(&self, id: &CommandId, commanded: Commanded) {
        self.lock().insert(id.clone(), commanded);
    }

    /// What all clients know.
    pub(crate) fn told(&self) -> BTreeMap<CommandId, Commanded> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<CommandId, Commanded>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

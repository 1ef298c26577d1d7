//! The links between the ranks of all pipelines of the simulated cluster.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio_util::sync::CancellationToken;

/// Who listens where. A clone is the same table.
#[derive(Clone, Default)]
pub(crate) struct Links(Arc<Mutex<BTreeMap<String, Listening>>>);

struct Listening {
    incarnation: u64,
    /// Cancelled when the links of this incarnation break.
    broken: CancellationToken,
}

impl Links {
    /// Listens under a new incarnation; what was connected to the one before it breaks.
    pub(crate) fn listen(&self, endpoint: &str, incarnation: u64) {
        let listening = Listening { incarnation, broken: CancellationToken::new() };
        let before = self.with(|table| table.insert(endpoint.to_owned(), listening));
        if let Some(before) = before {
            before.broken.cancel();
        }
    }

    /// Connects to whoever listens there, if it is that incarnation.
    pub(crate) fn connect(&self, endpoint: &str, incarnation: u64) -> Option<CancellationToken> {
        self.with(|table| {
            let listening = table.get(endpoint).filter(|listening| listening.incarnation == incarnation)?;
            Some(listening.broken.clone())
        })
    }

    /// Nobody listens there any more.
    pub(crate) fn leave(&self, endpoint: &str) {
        if let Some(before) = self.with(|table| table.remove(endpoint)) {
            before.broken.cancel();
        }
    }

    fn with<T>(&self, act: impl FnOnce(&mut BTreeMap<String, Listening>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

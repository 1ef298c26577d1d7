//! The links between the ranks of all pipelines of the simulated cluster.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio_util::sync::CancellationToken;

/// Who listens where. A clone is the same table.
#[derive(Clone, Default)]
pub(crate) struct Links(Arc<Mutex<BTreeMap<String, Listening>>>);

struct Listening {
    incarnation: u64,
    /// The link of the rank before, once it has called; cancelled when either end is gone.
    called: Option<CancellationToken>,
}

impl Links {
    /// Listens under a new incarnation; what was connected to the one before it breaks.
    pub(crate) fn listen(&self, endpoint: &str, incarnation: u64) {
        let listening = Listening { incarnation, called: None };
        let before = self.with(|table| table.insert(endpoint.to_owned(), listening));
        before.into_iter().for_each(Listening::hang_up);
    }

    /// Connects to whoever listens there, if it is that incarnation. The link is cancelled by whichever end goes.
    pub(crate) fn connect(&self, endpoint: &str, incarnation: u64) -> Option<CancellationToken> {
        self.with(|table| {
            let listening = table.get_mut(endpoint).filter(|listening| listening.incarnation == incarnation)?;
            let link = CancellationToken::new();
            if let Some(before) = listening.called.replace(link.clone()) {
                before.cancel();
            }
            Some(link)
        })
    }

    /// The link of whoever called there.
    pub(crate) fn called(&self, endpoint: &str) -> Option<CancellationToken> {
        self.with(|table| table.get(endpoint)?.called.clone())
    }

    /// Nobody listens there any more.
    pub(crate) fn leave(&self, endpoint: &str) {
        self.with(|table| table.remove(endpoint)).into_iter().for_each(Listening::hang_up);
    }

    fn with<T>(&self, act: impl FnOnce(&mut BTreeMap<String, Listening>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Listening {
    fn hang_up(self) {
        if let Some(called) = self.called {
            called.cancel();
        }
    }
}

//! The links between the ranks of all pipelines of the simulated cluster.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio_util::sync::CancellationToken;

/// Who listens where. A clone is the same table.
#[derive(Clone, Default)]
pub(crate) struct Links(Arc<Mutex<BTreeMap<String, Listening>>>);

struct Listening {
    incarnation: u64,
    /// The link of the rank before, cancelled when either end is gone.
    link: CancellationToken,
    /// It has called: nobody else is let in.
    is_called: bool,
}

impl Links {
    /// Listens under a new incarnation; what was connected to the one before it breaks. Gives the link of whoever will
    /// call there.
    pub(crate) fn listen(&self, endpoint: &str, incarnation: u64) -> CancellationToken {
        let link = CancellationToken::new();
        let listening = Listening { incarnation, link: link.clone(), is_called: false };
        let before = self.with(|table| table.insert(endpoint.to_owned(), listening));
        before.into_iter().for_each(Listening::hang_up);
        link
    }

    /// Connects to whoever listens there, if it is that incarnation and nobody has called it. The link is cancelled by
    /// whichever end goes.
    pub(crate) fn connect(&self, endpoint: &str, incarnation: u64) -> Option<CancellationToken> {
        self.with(|table| {
            let is_open = |listening: &&mut Listening| listening.incarnation == incarnation && !listening.is_called;
            let listening = table.get_mut(endpoint).filter(is_open)?;
            listening.is_called = true;
            Some(listening.link.clone())
        })
    }

    /// Whether somebody has called there.
    pub(crate) fn is_called(&self, endpoint: &str) -> bool {
        self.with(|table| table.get(endpoint).is_some_and(|listening| listening.is_called))
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
        self.link.cancel();
    }
}

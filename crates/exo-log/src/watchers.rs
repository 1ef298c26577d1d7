//! The latest value, for each watcher on a channel of its own.

use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// Tells everybody who watches. One channel each: the order in which one channel wakes several waiters is random.
#[derive(Debug)]
pub(crate) struct Watchers<T> {
    inner: Mutex<Inner<T>>,
}

#[derive(Debug)]
struct Inner<T> {
    latest: T,
    senders: Vec<watch::Sender<T>>,
}

impl<T: Clone> Watchers<T> {
    pub(crate) fn new(first: T) -> Self {
        Self { inner: Mutex::new(Inner { latest: first, senders: Vec::new() }) }
    }

    pub(crate) fn watch(&self) -> watch::Receiver<T> {
        let mut inner = self.lock();
        let (sender, receiver) = watch::channel(inner.latest.clone());
        inner.senders.push(sender);
        receiver
    }

    pub(crate) fn latest(&self) -> T {
        self.lock().latest.clone()
    }

    /// Tells in any case. Returns the value before, which nobody is told of any more.
    pub(crate) fn replace(&self, value: T) -> T {
        let mut inner = self.lock();
        inner.senders.retain(|sender| sender.receiver_count() > 0);
        for sender in &inner.senders {
            sender.send_replace(value.clone());
        }
        std::mem::replace(&mut inner.latest, value)
    }
}

impl<T: Clone + PartialEq> Watchers<T> {
    /// Tells, if it is news.
    pub(crate) fn tell(&self, value: T) {
        if self.lock().latest != value {
            self.replace(value);
        }
    }
}

impl<T> Watchers<T> {
    /// Lets everybody know that nothing more will come.
    pub(crate) fn close(&self) {
        self.lock().senders.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

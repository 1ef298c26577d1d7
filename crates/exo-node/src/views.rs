//! The latest view, to each reader through a channel of its own.
//!
//! One channel with many readers wakes them in an order that chance decides. So each reader has its own, and they are
//! woken in the order in which they came: what happens is a matter of what happened before, and a simulation from one
//! seed repeats itself.

use crate::View;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// A clone is the same place.
#[derive(Clone, Default)]
pub(crate) struct Views(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    latest: View,
    readers: Vec<watch::Sender<View>>,
    closed: bool,
}

impl Views {
    /// The view as it is now.
    pub(crate) fn latest(&self) -> View {
        self.lock().latest.clone()
    }

    /// Follows the view from now on; the first change is the view as it is.
    pub(crate) fn subscribe(&self) -> watch::Receiver<View> {
        let mut inner = self.lock();
        let (sender, mut reader) = watch::channel(inner.latest.clone());
        reader.mark_changed();
        if !inner.closed {
            inner.readers.retain(|reader| !reader.is_closed());
            inner.readers.push(sender);
        }
        reader
    }

    /// The one end that publishes.
    pub(crate) fn writer(&self) -> ViewWriter {
        ViewWriter(self.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic in here cannot leave more behind than a reader that misses a view.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Publishes views. When it is dropped readers see the end; the latest view stays.
pub(crate) struct ViewWriter(Views);

impl ViewWriter {
    pub(crate) fn publish(&self, view: View) {
        let mut inner = self.0.lock();
        inner.readers.retain(|reader| !reader.is_closed());
        for reader in &inner.readers {
            reader.send_replace(view.clone());
        }
        inner.latest = view;
    }
}

impl Drop for ViewWriter {
    fn drop(&mut self) {
        let mut inner = self.0.lock();
        inner.closed = true;
        inner.readers.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use exo_types::NodeId;

    #[tokio::test]
    async fn every_reader_sees_the_latest_view_and_the_end() {
        let views = Views::default();
        let writer = views.writer();
        let mut early = views.subscribe();
        early.changed().await.expect("the view as it is");
        let leader = Some(NodeId::new("a").expect("a good id"));
        writer.publish(View { leader: leader.clone(), ..View::default() });
        let mut late = views.subscribe();
        for reader in [&mut early, &mut late] {
            reader.changed().await.expect("a change");
            assert_eq!(reader.borrow_and_update().leader, leader);
        }
        drop(writer);
        assert!(early.changed().await.is_err() && late.changed().await.is_err());
        assert!(views.subscribe().borrow().leader == leader);
    }
}

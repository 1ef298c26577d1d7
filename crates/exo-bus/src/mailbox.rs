//! A bounded queue between a callback, which may not wait, and a task, which may.

use std::collections::VecDeque;
use std::sync::Mutex;
use tokio::sync::Notify;

enum Entry<T> {
    Kept { item: T, size: usize },
    Lost(u64),
}

/// What `pop` brings.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Popped<T> {
    /// The next in order.
    Item(T),
    /// At this place so many did not fit.
    Lost(u64),
}

struct Inner<T> {
    entries: VecDeque<Entry<T>>,
    bytes: usize,
}

/// Keeps at most `items` and `bytes`; what does not fit is counted at its place in the order.
pub(crate) struct Mailbox<T> {
    inner: Mutex<Inner<T>>,
    changed: Notify,
    items: usize,
    bytes: usize,
}

impl<T> Mailbox<T> {
    pub fn new(items: usize, bytes: usize) -> Self {
        let inner = Inner { entries: VecDeque::new(), bytes: 0 };
        Self { inner: Mutex::new(inner), changed: Notify::new(), items, bytes }
    }

    /// Gives the item back if it does not fit; the loss is counted only by [`Self::push_or_count`].
    pub fn push(&self, item: T, size: usize) -> Result<(), T> {
        let mut inner = self.lock();
        let full = inner.entries.len() >= self.items || inner.bytes.saturating_add(size) > self.bytes;
        if full {
            return Err(item);
        }
        inner.bytes += size;
        inner.entries.push_back(Entry::Kept { item, size });
        drop(inner);
        self.changed.notify_one();
        Ok(())
    }

    /// Never waits and never loses without counting. False if it did not fit.
    pub fn push_or_count(&self, item: T, size: usize) -> bool {
        if self.push(item, size).is_ok() {
            return true;
        }
        let mut inner = self.lock();
        match inner.entries.back_mut() {
            Some(Entry::Lost(count)) => *count += 1,
            _ => inner.entries.push_back(Entry::Lost(1)),
        }
        drop(inner);
        self.changed.notify_one();
        false
    }

    /// Waits for the next; for one task at a time. Cancelling it loses nothing.
    pub async fn pop(&self) -> Popped<T> {
        loop {
            if let Some(popped) = self.take() {
                return popped;
            }
            self.changed.notified().await;
        }
    }

    /// The next, if there is one.
    pub fn take(&self) -> Option<Popped<T>> {
        let mut inner = self.lock();
        match inner.entries.pop_front() {
            Some(Entry::Kept { item, size }) => {
                inner.bytes -= size;
                Some(Popped::Item(item))
            }
            Some(Entry::Lost(count)) => Some(Popped::Lost(count)),
            None => None,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner<T>> {
        self.inner.lock().expect("no code panics while it holds this lock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_counted_at_its_place() {
        let mailbox = Mailbox::new(3, 10);
        for (item, size) in [("a", 5), ("b", 5), ("too many bytes", 1), ("and this", 1)] {
            mailbox.push_or_count(item, size);
        }
        assert_eq!(mailbox.take(), Some(Popped::Item("a")));
        mailbox.push_or_count("c", 1);
        for expect in [Popped::Item("b"), Popped::Lost(2), Popped::Item("c")] {
            assert_eq!(mailbox.take(), Some(expect));
        }
        assert_eq!(mailbox.take(), None);
    }

    #[tokio::test]
    async fn a_waiting_reader_is_woken() {
        let mailbox = Mailbox::new(3, 10);
        let (popped, _fits) = tokio::join!(mailbox.pop(), async { mailbox.push_or_count(1, 1) });
        assert_eq!(popped, Popped::Item(1));
    }
}

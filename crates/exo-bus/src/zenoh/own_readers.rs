//! Who in this process reads what it publishes: its own words do not go through zenoh, and need no proof.

use crate::transport::Deliver;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The readers of this process, by the key that they read.
#[derive(Default)]
pub(super) struct OwnReaders(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    readers: BTreeMap<String, BTreeMap<u64, Deliver>>,
    registered: u64,
}

/// One reader; not any more when this is dropped.
pub(super) struct Reading {
    readers: Arc<OwnReaders>,
    key: String,
    number: u64,
}

impl OwnReaders {
    /// Has it read what this process publishes on that key.
    pub fn add(self: &Arc<Self>, key: &str, deliver: Deliver) -> Reading {
        let mut inner = self.inner();
        inner.registered += 1;
        let number = inner.registered;
        inner.readers.entry(key.to_owned()).or_default().insert(number, deliver);
        Reading { readers: self.clone(), key: key.to_owned(), number }
    }

    /// Hands a message to all who read that key. They are called without the lock: one may end a reading.
    pub fn deliver(&self, key: &str, bytes: &Bytes) {
        let readers: Vec<Deliver> =
            self.inner().readers.get(key).map(|readers| readers.values().cloned().collect()).unwrap_or_default();
        readers.iter().for_each(|deliver| deliver(bytes.clone()));
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        let mut inner = self.readers.inner();
        let Some(readers) = inner.readers.get_mut(&self.key) else { return };
        readers.remove(&self.number);
        if readers.is_empty() {
            inner.readers.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(read: &Arc<Mutex<Vec<Bytes>>>) -> Deliver {
        let read = read.clone();
        Arc::new(move |bytes| read.lock().expect("nobody panicked").push(bytes))
    }

    #[test]
    fn each_reader_of_a_key_gets_what_is_said_there_until_it_ends() {
        let readers = Arc::new(OwnReaders::default());
        let read: [Arc<Mutex<Vec<Bytes>>>; 2] = Default::default();
        let first = readers.add("a", reader(&read[0]));
        let second = readers.add("a", reader(&read[1]));
        let say = |key, word: &'static str| readers.deliver(key, &Bytes::from_static(word.as_bytes()));
        say("a", "one");
        say("b", "of another key");
        drop(first);
        say("a", "two");
        let read = read.map(|read| std::mem::take(&mut *read.lock().expect("nobody panicked")));
        assert_eq!(read, [vec!["one"], vec!["one", "two"]]);
        drop(second);
        assert!(readers.inner().readers.is_empty());
    }
}

//! Ends the threads of one incarnation.

use exo_tensor_link::{Closer, Link};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Shared by all of them.
#[derive(Default)]
pub(super) struct Stop {
    asked: AtomicBool,
    closers: Mutex<Vec<Closer>>,
}

impl Stop {
    pub(super) fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Acquire)
    }

    /// Closes every link, now and later.
    pub(super) fn ask(&self) {
        self.asked.store(true, Ordering::Release);
        self.closers().drain(..).for_each(|closer| closer.close());
    }

    /// From now on the link ends with the others.
    pub(super) fn bind(&self, link: &Link) {
        self.closers().push(link.closer());
        if self.is_asked() {
            self.ask();
        }
    }

    fn closers(&self) -> MutexGuard<'_, Vec<Closer>> {
        self.closers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

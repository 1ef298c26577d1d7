//! The way out: one thread that hands everything to zenoh, in order.
//!
//! zenoh blocks its caller while a link is full; here that is a thread of ours and never one of tokio's. Publishers wait
//! in [`Outbox::ready`]; the few bytes of credits, cancellations and answers never wait.

use crate::transport::TransportError;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use tokio::sync::Notify;
use zenoh::Session;

/// What waits to go out before publishers are held up.
const BOUND: usize = 1024;

type Job = Box<dyn FnOnce(&Session) + Send>;

#[derive(Default)]
struct Inner {
    jobs: VecDeque<Job>,
    closed: bool,
}

#[derive(Default)]
struct Queue {
    inner: Mutex<Inner>,
    filled: Condvar,
    emptied: Notify,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no code panics while it holds this lock")
    }

    /// The next job; none once it is closed and empty.
    fn pop(&self) -> Option<Job> {
        let mut inner = self.lock();
        loop {
            if let Some(job) = inner.jobs.pop_front() {
                if inner.jobs.len() == BOUND / 2 {
                    self.emptied.notify_waiters();
                }
                return Some(job);
            }
            if inner.closed {
                return None;
            }
            inner = self.filled.wait(inner).expect("no code panics while it holds this lock");
        }
    }
}

/// A handle to the thread. The thread ends after [`Self::close`], with all that was handed over before.
#[derive(Clone)]
pub(super) struct Outbox(Arc<Queue>);

impl Outbox {
    /// Starts the thread; `last` runs on it at the very end.
    pub fn start(session: Session, last: impl FnOnce(Session) + Send + 'static) -> std::io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let work = queue.clone();
        std::thread::Builder::new().name("bus-out".to_owned()).spawn(move || {
            while let Some(job) = work.pop() {
                job(&session);
            }
            last(session);
        })?;
        Ok(Self(queue))
    }

    /// Waits until there is room.
    pub async fn ready(&self) -> Result<(), TransportError> {
        loop {
            let emptied = self.0.emptied.notified();
            tokio::pin!(emptied);
            emptied.as_mut().enable();
            {
                let inner = self.0.lock();
                if inner.closed {
                    return Err(TransportError::Closed);
                }
                if inner.jobs.len() < BOUND {
                    return Ok(());
                }
            }
            emptied.await;
        }
    }

    /// Hands a job over; never waits.
    pub fn push(&self, job: impl FnOnce(&Session) + Send + 'static) -> Result<(), TransportError> {
        let mut inner = self.0.lock();
        if inner.closed {
            return Err(TransportError::Closed);
        }
        inner.jobs.push_back(Box::new(job));
        drop(inner);
        self.0.filled.notify_one();
        Ok(())
    }

    /// Lets what was handed over go out, and nothing more in.
    pub fn close(&self) {
        self.0.lock().closed = true;
        self.0.filled.notify_one();
        self.0.emptied.notify_waiters();
    }
}

//! Where the disk's work is done.

use super::Disk;
use crate::store::Store;
use std::fmt;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use tokio::sync::oneshot;

/// Pieces of work that may wait for the thread. Raft asks for one at a time, each peer for one.
const QUEUE: usize = 256;

/// One piece of work with the store.
type Job = Box<dyn FnOnce(&mut Store) + Send>;

/// Does work with the store, one piece after the other.
pub(crate) struct Executor {
    disk: Arc<dyn Disk>,
    /// Nobody else is between a look and a change: whoever works has it locked.
    store: Arc<Mutex<Store>>,
    thread: Option<Thread>,
}

/// The thread, and the way to it. It ends when the way does.
struct Thread {
    jobs: Option<SyncSender<Job>>,
    handle: Option<JoinHandle<()>>,
}

impl fmt::Debug for Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Executor").field("disk", &self.disk).finish_non_exhaustive()
    }
}

/// The work was not done: there is no thread for it any more, or too much waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the disk's thread takes no more work")]
pub(crate) struct NoExecutor;

impl Executor {
    pub(crate) fn new(disk: Arc<dyn Disk>, store: Store) -> std::io::Result<Self> {
        let store = Arc::new(Mutex::new(store));
        let thread = if disk.blocks() { Some(Thread::start(store.clone())?) } else { None };
        Ok(Self { disk, store, thread })
    }

    /// Does one piece of work. What was handed over is done even when nobody waits for it any more.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Store) -> T + Send + 'static,
    ) -> Result<T, NoExecutor> {
        let Some(thread) = &self.thread else {
            let result = work(&mut lock(&self.store));
            let delay = self.disk.take_delay();
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            return Ok(result);
        };
        let (answer, reply) = oneshot::channel();
        thread.send(Box::new(move |store| drop(answer.send(work(store)))))?;
        reply.await.map_err(|_| NoExecutor)
    }

    /// Work that needs time and not the store.
    pub(crate) async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, NoExecutor> {
        if self.thread.is_none() {
            return Ok(work());
        }
        tokio::task::spawn_blocking(work).await.map_err(|_| NoExecutor)
    }
}

impl Thread {
    fn start(store: Arc<Mutex<Store>>) -> std::io::Result<Self> {
        let (jobs, work) = sync_channel::<Job>(QUEUE);
        let handle = thread::Builder::new().name("exo-log-disk".to_owned()).spawn(move || {
            for job in work {
                job(&mut lock(&store));
            }
        })?;
        Ok(Self { jobs: Some(jobs), handle: Some(handle) })
    }

    fn send(&self, job: Job) -> Result<(), NoExecutor> {
        let jobs = self.jobs.as_ref().ok_or(NoExecutor)?;
        jobs.try_send(job).map_err(|_: TrySendError<Job>| NoExecutor)
    }
}

impl Drop for Thread {
    /// What was handed over is done before the log is closed.
    fn drop(&mut self) {
        self.jobs = None;
        let Some(handle) = self.handle.take() else { return };
        if handle.thread().id() != thread::current().id() && handle.join().is_err() {
            tracing::error!("the disk's thread of the log ended in a panic");
        }
    }
}

/// A panic of the disk's work was told by the panic; the store is as a failed write leaves it.
fn lock(store: &Mutex<Store>) -> MutexGuard<'_, Store> {
    store.lock().unwrap_or_else(PoisonError::into_inner)
}

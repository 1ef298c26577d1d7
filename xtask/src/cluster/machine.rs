//! Where processes are started: a thread, with a network of its own if it shall have one.

use anyhow::{Context, Result, anyhow};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{Pid, gettid};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

/// Jobs that wait, at most: they are asked for one after the other.
const WAITING: usize = 4;

type Job = Box<dyn FnOnce() + Send>;

/// A machine of the cluster. What it starts shares its network and is killed by the kernel when the machine ends,
/// however that happens: its processes ask for that (`setpriv --pdeathsig`), and the namespace has no name to stay under.
pub struct Machine {
    jobs: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
    id: Pid,
}

impl Machine {
    /// Starts the machine; with `own_network` it begins with no link but a loopback that is down.
    pub fn start(name: &str, own_network: bool) -> Result<Self> {
        let (jobs, waiting) = sync_channel::<Job>(WAITING);
        let (tell, told) = sync_channel(1);
        let work = move || {
            let entered = if own_network { unshare(CloneFlags::CLONE_NEWNET) } else { Ok(()) };
            let failed = entered.is_err();
            // Nobody waits any more: then there is nothing to do either.
            if tell.send(entered.map(|()| gettid())).is_err() || failed {
                return;
            }
            for job in waiting {
                job();
            }
        };
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(work).context("no thread")?;
        let id = told.recv().context("the machine's thread ended")?.context("no network namespace")?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread), id })
    }

    /// By which the kernel knows its network.
    pub fn id(&self) -> Pid {
        self.id
    }

    /// Does something there, and waits until it is done.
    pub fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let (tell, told) = sync_channel(1);
        let job: Job = Box::new(move || {
            // Nobody waits any more only if the waiting thread panicked.
            let _ = tell.send(job());
        });
        let jobs = self.jobs.as_ref().context("the machine is off")?;
        jobs.send(job).map_err(|_| anyhow!("the machine's thread ended"))?;
        told.recv().context("the machine's thread ended")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            // A job that panicked was told by its panic.
            let _ = thread.join();
        }
    }
}

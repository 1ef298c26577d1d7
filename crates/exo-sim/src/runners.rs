//! Runners that compute nothing: they load, connect, answer, die and hang as real ones do.

mod links;
mod runner;
#[cfg(test)]
mod tests;

pub(crate) use links::Links;

use exo_ambient::Dice;
use exo_runner_host::{Boxed, Child, Runner, RunnerEvents, RunnerProgram, SpawnError, StartRunners};
use runner::FakeRunner;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Messages that may wait in each direction, as with a process.
const CHANNEL: usize = 256;

/// What one machine runs. A clone is the same machine.
#[derive(Clone)]
pub(crate) struct FakeHost {
    shared: Arc<Shared>,
}

struct Shared {
    name: String,
    links: Links,
    tasks: TaskTracker,
    running: Mutex<Running>,
}

struct Running {
    dice: Dice,
    last_pid: u32,
    by_pid: BTreeMap<u32, Life>,
}

/// A process that stands for a runner.
#[derive(Clone, Default)]
pub(crate) struct Life {
    pub(crate) killed: CancellationToken,
    pub(crate) hangs: Arc<AtomicBool>,
}

impl FakeHost {
    pub(crate) fn new(name: String, links: Links, dice: Dice) -> Self {
        let running = Mutex::new(Running { dice, last_pid: 0, by_pid: BTreeMap::new() });
        Self { shared: Arc::new(Shared { name, links, tasks: TaskTracker::new(), running }) }
    }

    /// Ends all of them as `kill -9` does.
    pub(crate) fn kill_all(&self) {
        let lives: Vec<Life> = self.lock().by_pid.values().cloned().collect();
        lives.iter().for_each(|life| life.killed.cancel());
    }

    /// All of them stand still from now on, until they are killed.
    pub(crate) fn hang_all(&self) {
        self.lock().by_pid.values().for_each(|life| life.hangs.store(true, Ordering::Relaxed));
    }

    fn begin(&self, name: String) -> (Runner, RunnerEvents) {
        let (outbox, inbox) = mpsc::channel(CHANNEL);
        let (heard, events) = mpsc::channel(CHANNEL);
        let mut running = self.lock();
        running.last_pid += 1;
        let (pid, life) = (running.last_pid, Life::default());
        running.by_pid.insert(pid, life.clone());
        let endpoint = format!("{}:{pid}", self.shared.name);
        let fake =
            FakeRunner::new(name, endpoint, life.clone(), self.shared.links.clone(), running.dice.split(), heard);
        drop(running);
        let host = self.clone();
        self.shared.tasks.spawn(async move {
            fake.live(inbox).await;
            host.lock().by_pid.remove(&pid);
        });
        (Runner::new(Arc::new(FakeChild { pid, life }), outbox), RunnerEvents::new(events))
    }

    fn lock(&self) -> MutexGuard<'_, Running> {
        self.shared.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StartRunners for FakeHost {
    fn start(&self, what: RunnerProgram) -> Boxed<'_, Result<(Runner, RunnerEvents), SpawnError>> {
        Box::pin(async move { Ok(self.begin(what.name)) })
    }

    fn drained(&self) -> Boxed<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

struct FakeChild {
    pid: u32,
    life: Life,
}

impl Child for FakeChild {
    fn pid(&self) -> u32 {
        self.pid
    }

    fn kill(&self) {
        self.life.killed.cancel();
    }
}

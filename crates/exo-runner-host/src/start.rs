//! The seam between a worker and what it starts.

use crate::host::{RunnerHost, RunnerProgram, SpawnError};
use crate::runner::{Runner, RunnerEvents};
use std::future::Future;
use std::pin::Pin;

/// A future behind a trait.
pub type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Starts runners: [`RunnerHost`] does it with processes, a simulation with tasks that stand for them.
pub trait StartRunners: Send + Sync + 'static {
    /// Starts one. It ends when the returned [`Runner`] is dropped.
    fn start(&self, what: RunnerProgram) -> Boxed<'_, Result<(Runner, RunnerEvents), SpawnError>>;

    /// Waits until every runner whose handle was dropped is gone.
    fn drained(&self) -> Boxed<'_, ()>;
}

/// What a [`Runner`] is the handle of.
pub trait Child: Send + Sync {
    /// Its process number.
    fn pid(&self) -> u32;

    /// Ends it at once; harmless if it has ended.
    fn kill(&self);
}

impl StartRunners for RunnerHost {
    fn start(&self, what: RunnerProgram) -> Boxed<'_, Result<(Runner, RunnerEvents), SpawnError>> {
        Box::pin(self.spawn(what))
    }

    fn drained(&self) -> Boxed<'_, ()> {
        Box::pin(Self::drained(self))
    }
}

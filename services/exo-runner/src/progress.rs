//! How far the runner is, for whoever asks while its thread computes.

use exo_runner_host::RunnerMessage;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Counters that the runner's thread sets and the reader thread tells.
#[derive(Debug, Clone, Default)]
pub(crate) struct Progress(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    steps: AtomicU64,
    busy: AtomicBool,
}

impl Progress {
    /// Something was finished: a step, a part of the file.
    pub(crate) fn advance(&self) {
        self.0.steps.fetch_add(1, Ordering::Relaxed);
    }

    /// Runs `work` as computing.
    pub(crate) fn busy<T>(&self, work: impl FnOnce() -> T) -> T {
        self.during(true, work)
    }

    /// Runs `work` as waiting for somebody else, within something that is computing.
    pub(crate) fn waiting<T>(&self, work: impl FnOnce() -> T) -> T {
        self.during(false, work)
    }

    fn during<T>(&self, busy: bool, work: impl FnOnce() -> T) -> T {
        let before = self.0.busy.swap(busy, Ordering::Relaxed);
        let result = work();
        self.advance();
        self.0.busy.store(before, Ordering::Relaxed);
        result
    }

    pub(crate) fn message(&self) -> RunnerMessage {
        RunnerMessage::Progress {
            steps: self.0.steps.load(Ordering::Relaxed),
            busy: self.0.busy.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_within_a_step_is_not_computing() {
        let progress = Progress::default();
        let told = |expect: bool| {
            assert!(matches!(progress.message(), RunnerMessage::Progress { busy, .. } if busy == expect));
        };
        told(false);
        progress.busy(|| {
            told(true);
            progress.waiting(|| told(false));
            told(true);
        });
        told(false);
        assert!(matches!(progress.message(), RunnerMessage::Progress { steps: 2, .. }));
    }
}

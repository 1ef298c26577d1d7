//! What is on its way, by time of arrival.

use crate::names::ProcessId;
use std::collections::BTreeMap;
use tokio::time::Instant;

/// What is to be done on arrival.
pub(super) type Job = Box<dyn FnOnce() + Send>;

/// Jobs by time of arrival; those of the same instant in the order in which they were added.
#[derive(Default)]
pub(super) struct Queue {
    jobs: BTreeMap<(Instant, u64), Job>,
    added: u64,
    /// Latest arrival between two processes: nothing overtakes it unless that is asked for.
    latest: BTreeMap<(ProcessId, ProcessId), Instant>,
}

impl Queue {
    /// Adds a job for a given instant.
    pub fn at(&mut self, due: Instant, job: Job) {
        self.added += 1;
        self.jobs.insert((due, self.added), job);
    }

    /// Adds a job between two processes, behind all earlier ones between them.
    pub fn in_order(&mut self, link: (ProcessId, ProcessId), due: Instant, job: Job) {
        let latest = self.latest.entry(link).or_insert(due);
        *latest = due.max(*latest);
        let due = *latest;
        self.at(due, job);
    }

    /// The next job that is due.
    pub fn pop(&mut self, now: Instant) -> Option<Job> {
        let entry = self.jobs.first_entry().filter(|entry| entry.key().0 <= now)?;
        Some(entry.remove())
    }

    /// When the next job is due.
    pub fn next_due(&self) -> Option<Instant> {
        self.jobs.first_key_value().map(|((due, _), _)| *due)
    }
}

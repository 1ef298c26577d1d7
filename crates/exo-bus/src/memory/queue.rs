//! What is on its way, by time of arrival.

use crate::names::ProcessId;
use std::collections::BTreeMap;
use tokio::time::Instant;

/// Seeded numbers, by splitmix64 (Steele, Lea, Flood 2014): enough for faults, and the same everywhere.
pub(super) struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// True in this share of the calls.
    pub fn falls(&mut self, share: f64) -> bool {
        // The upper 53 bits are an even number of [0, 1).
        ((self.next() >> 11) as f64) < share * (1_u64 << 53) as f64
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dice_fall_as_often_as_they_should() {
        let mut dice = Dice::new(7);
        let fell = (0..10_000).filter(|_| dice.falls(0.25)).count();
        assert!((2_300..2_700).contains(&fell), "{fell}");
        assert!(!(0..100).any(|_| dice.falls(0.0)));
        assert!((0..100).all(|_| dice.falls(1.0)));
    }
}

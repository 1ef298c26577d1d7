//! Puts known bugs back, to see that they are found.

use crate::findings::Violation;
use crate::run::{Options, simulate, simulate_many};
use exo_ambient::Bug;
use std::sync::atomic::{AtomicU64, Ordering};

/// How a bug was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Hunt {
    /// Which.
    pub bug: Bug,
    /// Seeds that were simulated.
    pub seeds: u64,
    /// The seed that found it, and how; none if no seed did.
    pub found: Option<(u64, Violation)>,
}

/// Simulates seeds from 0 on with the bug in place, until one finds it.
pub fn hunt(bug: Bug, limit: u64, jobs: usize) -> Hunt {
    let done = AtomicU64::new(0);
    let options = Options { bug: Some(bug), ..Options::default() };
    let count = |_: &_| {
        done.fetch_add(1, Ordering::Relaxed);
    };
    let mut from = 0;
    let found = loop {
        let Some(bad) = simulate_many(from, limit.saturating_sub(from), jobs, options, count) else { break None };
        let seed = bad.scenario.seed;
        // A seed that is bad without it as well says nothing about this bug.
        if simulate(seed, Options::default()).is_good() {
            break bad.violations.into_iter().next().map(|violation| (seed, violation));
        }
        from = seed + 1;
    };
    Hunt { bug, seeds: done.into_inner(), found }
}

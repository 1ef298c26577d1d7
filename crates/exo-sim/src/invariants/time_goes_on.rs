//! No task goes round without waiting for anything: time would stand still for everybody.

use super::Holds;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub(crate) const NAME: &str = "time goes on";

/// Between two looks, in real time. Whatever a cluster has to do in one instant is done long before, also on a busy
/// machine.
pub(crate) const LOOK: Duration = Duration::from_secs(20);

/// Counts how often a simulation had nothing to do but wait. A clone counts the same.
#[derive(Clone, Default)]
pub(crate) struct Pulse(Arc<AtomicU64>);

impl Pulse {
    pub(crate) fn beat(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Compares two looks.
pub(crate) fn check(before: u64, now: u64) -> Holds {
    if now > before { Ok(()) } else { Err(format!("for {LOOK:?} some task has been going round without waiting")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pulse_that_stops_is_seen() {
        let pulse = Pulse::default();
        let before = pulse.count();
        assert!(check(before, pulse.count()).is_err());
        pulse.clone().beat();
        assert!(check(before, pulse.count()).is_ok());
    }
}

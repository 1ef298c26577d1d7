//! How long to wait before another try.

use std::time::Duration;

/// Doubles from `first` to `max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// After the first loss.
    pub first: Duration,
    /// Never longer.
    pub max: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_millis(250), max: Duration::from_secs(30) }
    }
}

impl Backoff {
    /// How long to wait after so many losses in a row; no time after none.
    pub fn after(&self, losses: u32) -> Duration {
        let Some(doublings) = losses.checked_sub(1) else { return Duration::ZERO };
        let factor = 1u32.checked_shl(doublings).unwrap_or(u32::MAX);
        self.first.saturating_mul(factor).min(self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let backoff = Backoff { first: Duration::from_millis(250), max: Duration::from_secs(30) };
        for (losses, millis) in [(0, 0), (1, 250), (2, 500), (3, 1000), (8, 30_000), (33, 30_000), (u32::MAX, 30_000)] {
            assert_eq!(backoff.after(losses), Duration::from_millis(millis), "{losses}");
        }
    }
}

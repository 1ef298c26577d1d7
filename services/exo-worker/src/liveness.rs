//! Whether a runner moves. Pure: the driver brings the time.
//!
//! The worker asks (`Ping`) and the runner's listening thread answers at once with its steps, whatever its computing
//! thread is at. Silence means that the process stands still; a step count that stands still while something is
//! computed means that the computing does.

use std::fmt;
use std::time::{Duration, Instant};

/// Questions per stall timeout.
const PINGS: u32 = 4;

/// Why a runner is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hang {
    /// It answers nothing.
    Silent(Duration),
    /// It computes and does not get further.
    Stuck(Duration),
    /// It has not loaded.
    SlowStart(Duration),
}

impl fmt::Display for Hang {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent(limit) => write!(f, "the runner answered nothing for {limit:?} (runner.stallTimeout)"),
            Self::Stuck(limit) => write!(f, "the runner made no progress for {limit:?} (runner.stallTimeout)"),
            Self::SlowStart(limit) => write!(f, "the runner did not load within {limit:?} (runner.startTimeout)"),
        }
    }
}

/// What is known of a runner's progress.
#[derive(Debug, Clone)]
pub(crate) struct Liveness {
    stall: Duration,
    start: Duration,
    started: Instant,
    loaded: bool,
    busy: bool,
    steps: u64,
    /// When the steps last moved, or nothing was to be done.
    moved: Instant,
    /// When it last told its steps: only answers show that they stand still, not a driver that was late to ask.
    told: Instant,
    /// The oldest question without an answer.
    asked: Option<Instant>,
    next_ping: Instant,
    /// When it first looked like a hang. Confirmed by a later look, so that a worker that was stopped itself, or had a
    /// lot to do, first takes in what its runners said meanwhile.
    suspected: Option<Instant>,
}

impl Liveness {
    pub(crate) fn new(now: Instant, stall: Duration, start: Duration) -> Self {
        let (loaded, busy, steps, asked, suspected) = (false, false, 0, None, None);
        let next_ping = now + stall / PINGS;
        Self { stall, start, started: now, loaded, busy, steps, moved: now, told: now, asked, next_ping, suspected }
    }

    /// It said anything at all.
    pub(crate) fn on_message(&mut self) {
        self.asked = None;
    }

    /// Its layers are in memory.
    pub(crate) fn on_loaded(&mut self, now: Instant) {
        (self.loaded, self.moved, self.told) = (true, now, now);
    }

    pub(crate) fn on_progress(&mut self, now: Instant, steps: u64, busy: bool) {
        if steps != self.steps || !busy || !self.busy {
            self.moved = now;
        }
        (self.steps, self.busy, self.told) = (steps, busy, now);
    }

    /// Whether to ask now; then the caller does.
    pub(crate) fn poll_ping(&mut self, now: Instant) -> bool {
        if now < self.next_ping {
            return false;
        }
        self.next_ping = now + self.stall / PINGS;
        self.asked.get_or_insert(now);
        true
    }

    /// When to look again.
    pub(crate) fn next_look(&self) -> Instant {
        self.next_ping
    }

    /// Whether it hangs, for sure: two looks in a row, a ping apart, have to say so.
    pub(crate) fn hang(&mut self, now: Instant) -> Option<Hang> {
        let Some(hang) = self.suspicion(now) else {
            self.suspected = None;
            return None;
        };
        let since = *self.suspected.get_or_insert(now);
        is_over(since, self.stall / PINGS, now).then_some(hang)
    }

    fn suspicion(&self, now: Instant) -> Option<Hang> {
        if self.asked.is_some_and(|asked| is_over(asked, self.stall, now)) {
            return Some(Hang::Silent(self.stall));
        }
        if !self.loaded {
            return is_over(self.started, self.start, now).then_some(Hang::SlowStart(self.start));
        }
        (self.busy && is_over(self.moved, self.stall, self.told)).then_some(Hang::Stuck(self.stall))
    }
}

fn is_over(since: Instant, limit: Duration, now: Instant) -> bool {
    now.saturating_duration_since(since) >= limit
}

#[cfg(test)]
mod tests {
    use super::*;

    const STALL: Duration = Duration::from_secs(4);
    const START: Duration = Duration::from_secs(20);

    struct Case {
        start: Instant,
        liveness: Liveness,
    }

    fn case() -> Case {
        let start = Instant::now();
        Case { start, liveness: Liveness::new(start, STALL, START) }
    }

    impl Case {
        fn at(&self, seconds: u64) -> Instant {
            self.start + Duration::from_secs(seconds)
        }

        fn answer(&mut self, seconds: u64, steps: u64, busy: bool) {
            self.liveness.on_message();
            self.liveness.on_progress(self.at(seconds), steps, busy);
        }

        fn loaded(mut self) -> Self {
            self.liveness.on_message();
            self.liveness.on_loaded(self.start);
            self
        }

        fn check(&mut self, seconds: u64, expect: Option<Hang>) {
            assert_eq!(self.liveness.hang(self.at(seconds)), expect, "after {seconds} s");
        }
    }

    #[test]
    fn silence_counts_from_the_first_question_without_an_answer() {
        let mut case = case().loaded();
        case.check(1000, None);
        assert!(!case.liveness.poll_ping(case.at(0)));
        assert!(case.liveness.poll_ping(case.at(1)));
        assert!(case.liveness.poll_ping(case.at(2)));
        case.check(4, None);
        case.check(5, None);
        case.check(6, Some(Hang::Silent(STALL)));
        case.answer(6, 0, false);
        case.check(6, None);
    }

    #[test]
    fn one_late_look_condemns_nobody() {
        let mut case = case().loaded();
        assert!(case.liveness.poll_ping(case.at(1)));
        // The worker itself stood still.
        case.check(600, None);
        case.answer(600, 1, true);
        case.check(601, None);
        // Nor does it when only the worker was late to ask.
        case.check(900, None);
        case.check(901, None);
    }

    #[test]
    fn computing_without_progress_is_a_hang_and_idling_is_not() {
        let mut case = case().loaded();
        case.answer(1, 7, false);
        case.check(100, None);
        case.answer(100, 7, true);
        case.answer(103, 8, true);
        case.answer(106, 8, true);
        case.check(106, None);
        case.answer(107, 8, true);
        case.check(107, None);
        case.answer(108, 8, true);
        case.check(108, Some(Hang::Stuck(STALL)));
        case.answer(109, 8, false);
        case.check(109, None);
    }

    #[test]
    fn loading_has_its_own_longer_deadline() {
        let mut case = case();
        case.answer(1, 1, true);
        case.answer(12, 1, true);
        case.check(19, None);
        case.check(20, None);
        case.check(21, Some(Hang::SlowStart(START)));
        case.liveness.on_loaded(case.at(21));
        case.check(21, None);
    }
}

//! Clocks of simulated machines that disagree.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

thread_local! {
    static HERE: Cell<i64> = const { Cell::new(0) };
}

/// How far one machine's clock is off. A clone is the same clock.
#[derive(Debug, Clone, Default)]
pub struct Skew(Arc<AtomicI64>);

impl Skew {
    /// Jumps by so many milliseconds, back if negative.
    pub fn jump(&self, millis: i64) {
        self.0.fetch_add(millis, Ordering::Relaxed);
    }

    /// Everything that `future` itself does, though not what it spawns, sees this clock.
    pub fn applied<F: Future>(&self, future: F) -> Skewed<F> {
        Skewed { skew: self.clone(), future: Box::pin(future) }
    }
}

pub(crate) struct SkewHere(i64);

/// The skew of the machine whose future is polled on this thread.
pub(crate) fn skew_here() -> SkewHere {
    SkewHere(HERE.get())
}

impl SkewHere {
    pub(crate) fn of(&self, time: Duration) -> Duration {
        let by = Duration::from_millis(self.0.unsigned_abs());
        if self.0 < 0 { time.saturating_sub(by) } else { time.saturating_add(by) }
    }
}

/// See [`Skew::applied`].
#[derive(Debug)]
pub struct Skewed<F> {
    skew: Skew,
    future: Pin<Box<F>>,
}

impl<F: Future> Future for Skewed<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let before = HERE.replace(self.skew.0.load(Ordering::Relaxed));
        let polled = self.future.as_mut().poll(context);
        HERE.set(before);
        polled
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{simulate, wall_clock};
    use std::task::Waker;

    #[test]
    fn a_jump_is_seen_by_that_machine_alone() {
        let _simulated = simulate(1, || Duration::from_secs(100));
        let skew = Skew::default();
        skew.jump(-30_000);
        let mut context = Context::from_waker(Waker::noop());
        let mut there = Box::pin(skew.applied(async { wall_clock() }));
        assert_eq!(there.as_mut().poll(&mut context), Poll::Ready(Duration::from_secs(70)));
        assert_eq!(wall_clock(), Duration::from_secs(100));
    }
}

//! Where time and chance come from on this thread.

use crate::Dice;
use crate::skewed::skew_here;
use std::cell::RefCell;
use std::time::{Duration, SystemTime};

struct Source {
    dice: Dice,
    clock: Box<dyn Fn() -> Duration>,
    ids: u64,
}

thread_local! {
    static SOURCE: RefCell<Option<Source>> = const { RefCell::new(None) };
}

/// Keeps this thread simulated; dropping it gives the machine's clock and chance back.
#[derive(Debug)]
#[must_use = "the simulation ends when this is dropped"]
pub struct Simulated(());

/// From now on this thread has the chance of that seed and the wall clock that `clock` tells, since 1970.
///
/// It is for a simulation that owns its thread; what other threads ask is answered by the machine.
pub fn simulate(seed: u64, clock: impl Fn() -> Duration + 'static) -> Simulated {
    let source = Source { dice: Dice::new(seed), clock: Box::new(clock), ids: 0 };
    SOURCE.with_borrow_mut(|here| *here = Some(source));
    Simulated(())
}

impl Drop for Simulated {
    fn drop(&mut self) {
        SOURCE.with_borrow_mut(|here| *here = None);
    }
}

fn with_source<T>(ask: impl FnOnce(&mut Source) -> T) -> Option<T> {
    SOURCE.with_borrow_mut(|here| here.as_mut().map(ask))
}

/// The time since 1970 by the clock on the wall: it jumps. A clock before 1970 is told as 1970.
pub fn wall_clock() -> Duration {
    with_source(|source| skew_here().of((source.clock)()))
        .unwrap_or_else(|| SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}

/// A number that nobody else has: 62 random bits below two that are always the same.
pub fn fresh_number() -> u64 {
    with_source(|source| source.dice.roll()).unwrap_or_else(|| uuid::Uuid::now_v7().as_u64_pair().1)
}

/// An id that nobody else has: 32 hexadecimal digits that begin with the time, so that later ids sort behind.
pub fn fresh_id() -> String {
    let simulated = with_source(|source| {
        source.ids += 1;
        let millis = u64::try_from(skew_here().of((source.clock)()).as_millis()).unwrap_or(u64::MAX) & ((1 << 48) - 1);
        format!("{millis:012x}7{:03x}{:016x}", source.ids & 0xfff, source.dice.roll())
    });
    simulated.unwrap_or_else(|| uuid::Uuid::now_v7().simple().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_itself_and_only_on_its_thread() {
        let run = |seed| {
            let _simulated = simulate(seed, || Duration::from_secs(5));
            (fresh_id(), fresh_number(), wall_clock())
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
        assert_eq!(run(1).0.len(), 32);
        assert!(run(1).0.bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_ne!(fresh_number(), fresh_number());
        assert!(wall_clock() > Duration::from_secs(1_700_000_000), "the machine's clock is back");
    }
}

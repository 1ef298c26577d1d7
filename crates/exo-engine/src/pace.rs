//! How many tokens of long prompts a step may read while answers are being generated, so that whoever reads along waits
//! hardly longer for each token: chunked prefill as in Sarathi-Serve (Agrawal et al. 2024), with the chunk found by
//! measuring.

use std::time::Duration;

/// So many times as long as a step that reads nothing may one take that does. What varies comes on top.
const SLOWER: f64 = 1.5;

/// Tokens of the first step whose price is not known.
const FIRST: f64 = 8.0;

/// After so many steps that read it is measured again what one takes that does not.
const MEASURED_EVERY: u32 = 64;

/// Steps that may read before it is known what one takes that does not.
const PROBES: u32 = 4;

/// Weight of the newest measurement.
const NEWEST: f64 = 0.25;

/// What steps take, as far as it was seen.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// Seconds of a step that reads nothing.
    plain: Option<f64>,
    /// Seconds that a token adds which is read beside.
    token: Option<f64>,
    /// Tokens that the last step read.
    last: f64,
    /// Steps that read since it was last tried to measure `plain`.
    since: u32,
}

impl Pace {
    /// Most tokens of long prompts for the next step, if answers go on in it. Now and then it is none, so that it is
    /// measured what a step takes without.
    pub(crate) fn next(&mut self) -> usize {
        let Some(plain) = self.plain else {
            // Where every step has something short to read, it is not to be found out.
            return if self.since < PROBES { 0 } else { FIRST as usize };
        };
        if self.since >= MEASURED_EVERY {
            self.since = 0;
            return 0;
        }
        let Some(token) = self.token else { return FIRST as usize };
        let fits = (SLOWER - 1.0) * plain / token.max(f64::MIN_POSITIVE);
        // One lucky measurement is not believed at once, and prompts go on whatever they cost.
        fits.min(2.0 * self.last.max(FIRST)).max(1.0) as usize
    }

    /// A step took so long that went on with answers and read so many tokens of prompts.
    pub(crate) fn on_step(&mut self, read: usize, took: Duration) {
        let took = took.as_secs_f64();
        if read == 0 {
            self.plain = Some(mix(self.plain, took));
            return;
        }
        self.since += 1;
        if let Some(plain) = self.plain {
            self.token = Some(mix(self.token, (took - plain).max(0.0) / read as f64));
            self.last = read as f64;
        }
    }
}

fn mix(known: Option<f64>, newest: f64) -> f64 {
    known.map_or(newest, |known| known + NEWEST * (newest - known))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Milliseconds of a step that reads so many tokens on some machine.
    type Machine = fn(usize) -> f64;

    /// What the last of many steps read, and the longest of all but the first few took.
    fn run(pace: &mut Pace, machine: Machine) -> (usize, f64) {
        let (mut longest, mut most, mut waited): (f64, usize, usize) = (0.0, 0, 0);
        for step in 0..500 {
            let read = pace.next();
            waited = if read == 0 { waited + 1 } else { 0 };
            assert!(waited < 2, "prompts go on");
            let took = machine(read);
            pace.on_step(read, Duration::from_secs_f64(took / 1000.0));
            longest = if step < 8 { 0.0 } else { longest.max(took) };
            most = if step < 400 { 0 } else { most.max(read) };
        }
        (most, longest)
    }

    #[test]
    fn steps_that_read_take_less_than_twice_as_long_whatever_the_machine() {
        for (machine, least) in [
            // Reading is dear: a processor that computes about as fast as it reads weights.
            ((|read| 40.0 + 5.0 * read as f64) as Machine, 4),
            // Reading is cheap: an accelerator.
            (|read| 10.0 + 0.01 * read as f64, 400),
            // Small chunks cost more for each token.
            (|read| 30.0 + 3.0 * read as f64 + 2.0 * (read.min(4) as f64), 3),
        ] {
            let (read, longest) = run(&mut Pace::default(), machine);
            assert!(read >= least, "{read} of at least {least}");
            assert!(longest < 2.0 * machine(0), "{longest} ms for {} ms", machine(0));
        }
    }

    #[test]
    fn a_machine_that_becomes_slower_is_noticed_and_so_is_one_that_recovers() {
        let mut pace = Pace::default();
        run(&mut pace, |read| 20.0 + 0.5 * read as f64);
        let (read, _) = run(&mut pace, |read| 20.0 + 12.0 * read as f64);
        assert_eq!(read, 1);
        let (read, _) = run(&mut pace, |read| 20.0 + 0.5 * read as f64);
        assert!(read >= 20, "{read}");
        // Once somebody else had the machine.
        pace.on_step(8, Duration::from_secs(2));
        let (read, _) = run(&mut pace, |read| 20.0 + 0.5 * read as f64);
        assert!(read >= 20, "{read}");
    }

    #[test]
    fn short_prompts_in_every_step_do_not_keep_a_long_one_from_going_on() {
        for known in [None, Some(0.02)] {
            let mut pace = Pace { plain: known, ..Pace::default() };
            let mut reads = Vec::new();
            for _ in 0..200 {
                let long = pace.next();
                reads.push(long);
                pace.on_step(long + 100, Duration::from_millis(20 + (long as u64 + 100) / 2));
            }
            assert!(reads.iter().filter(|read| **read < FIRST as usize).count() < 10, "{reads:?}");
        }
    }
}

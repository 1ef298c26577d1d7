//! Runs seeds, each on a thread of its own.

use crate::client::Books;
use crate::findings::{Findings, Violation};
use crate::invariants::nothing_panics;
use crate::invariants::time_goes_on::{self, LOOK, Pulse};
use crate::journal::Journal;
use crate::oracle::Oracle;
use crate::scenario::Scenario;
use crate::tally::Tally;
use crate::trace::{Keep, Trace};
use crate::world::World;
use exo_ambient::{Bug, plant};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

/// Unoptimised futures of a whole cluster are large.
const STACK: usize = 32 << 20;

/// The simulated wall clock begins here: in November 2023.
const BEGINNING: Duration = Duration::from_secs(1_700_000_000);

/// How to run a seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// A known bug to put back.
    pub bug: Option<Bug>,
    /// What to keep of the trace.
    pub keep: Keep,
    /// Whether log lines of the cluster stand in the trace.
    pub journal: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { bug: None, keep: Keep::Tail(0), journal: false }
    }
}

impl Options {
    /// What people want to read of a failure.
    #[must_use]
    pub fn telling(self) -> Self {
        Self { keep: Keep::Tail(200), journal: true, ..self }
    }
}

/// What came of a seed.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// What was simulated.
    pub scenario: Scenario,
    /// The same seed, the same number.
    pub hash: u64,
    /// What came up.
    pub tally: Tally,
    /// None, if all is well.
    pub violations: Vec<Violation>,
    /// As much of the trace as was kept.
    pub lines: Vec<String>,
}

impl Report {
    /// Whether every invariant held.
    pub fn is_good(&self) -> bool {
        self.violations.is_empty()
    }
}

/// Simulates one seed, on a thread of its own. A thread whose time stands still is left behind.
pub fn simulate(seed: u64, options: Options) -> Report {
    let thread = std::thread::Builder::new().name(format!("seed {seed}")).stack_size(STACK);
    let (pulse, (sender, receiver)) = (Pulse::default(), sync_channel(1));
    let beating = pulse.clone();
    let running = move || {
        // Nobody waits for a report that comes too late.
        let _late = sender.send(run(Scenario::from_seed(seed), options, beating));
    };
    thread.spawn(running).expect("a thread can be started");
    let mut before = pulse.count();
    loop {
        match receiver.recv_timeout(LOOK) {
            Ok(report) => return report,
            Err(RecvTimeoutError::Disconnected) => {
                let detail = "the simulation itself; run the seed again to see where".to_owned();
                return failed(seed, nothing_panics::NAME, detail);
            }
            Err(RecvTimeoutError::Timeout) => {
                let now = pulse.count();
                if let Err(detail) = time_goes_on::check(before, now) {
                    return failed(seed, time_goes_on::NAME, detail);
                }
                before = now;
            }
        }
    }
}

fn failed(seed: u64, invariant: &'static str, detail: String) -> Report {
    let violation = Violation { invariant, detail, at: Duration::ZERO };
    let scenario = Scenario::from_seed(seed);
    Report { scenario, hash: 0, tally: Tally::default(), violations: vec![violation], lines: Vec::new() }
}

/// Simulates seeds `from..from + count`, `jobs` at a time, until one of them is bad; `done` is called after each.
/// Returns the bad one.
pub fn simulate_many(
    from: u64,
    count: u64,
    jobs: usize,
    options: Options,
    done: impl Fn(&Report) + Sync,
) -> Option<Report> {
    let next = AtomicU64::new(0);
    let end = AtomicU64::new(count);
    let mut bad: Vec<Report> = std::thread::scope(|scope| {
        let work = || {
            let mut found = None;
            while found.is_none() {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= end.load(Ordering::Relaxed) {
                    break;
                }
                let report = simulate(from + number, options);
                done(&report);
                if !report.is_good() {
                    end.fetch_min(number, Ordering::Relaxed);
                    found = Some(report);
                }
            }
            found
        };
        let workers: Vec<_> = (0..jobs.max(1)).map(|_| scope.spawn(work)).collect();
        workers.into_iter().filter_map(|worker| worker.join().expect("a seed that panics is a report")).collect()
    });
    bad.sort_by_key(|report| report.scenario.seed);
    bad.into_iter().next()
}

fn run(scenario: Scenario, options: Options, pulse: Pulse) -> Report {
    nothing_panics::watch();
    plant(options.bug);
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_time().start_paused(true).on_thread_park(move || pulse.beat()).build();
    let runtime = runtime.expect("a runtime without sockets can be made");
    let (trace, findings, tally) = runtime.block_on(live(scenario.clone(), options));
    // What is left of the processes ends here, and must not panic either.
    drop(runtime);
    if let Err(panic) = nothing_panics::check() {
        findings.push(Violation { invariant: nothing_panics::NAME, detail: panic, at: scenario.storm_ends });
    }
    Report { scenario, hash: trace.hash(), tally, violations: findings.list(), lines: trace.lines() }
}

async fn live(scenario: Scenario, options: Options) -> (Trace, Findings, Tally) {
    let trace = Trace::new(options.keep);
    let findings = Findings::new(trace.clone());
    let _journal = options.journal.then(|| Journal::begin(trace.clone()));
    let started = tokio::time::Instant::now();
    let _simulated = exo_ambient::simulate(scenario.seed, move || BEGINNING + started.elapsed());
    let books = Books { trace: trace.clone(), findings: findings.clone(), oracle: Oracle::default() };
    let tally = World::new(scenario, books).run().await;
    (trace, findings, tally)
}

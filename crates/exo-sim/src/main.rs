//! `cargo xtask sim`: runs seeds, and tells everything about one that is bad.

use clap::Parser;
use exo_sim::{Bug, Keep, Options, Report, Tally, hunt, simulate, simulate_many};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Seeds after which a bug that was not found counts as missed.
const HUNT_LIMIT: u64 = 200;

/// Simulate a cluster under faults, from seeds.
#[derive(Parser)]
#[command(name = "cargo xtask sim", about, long_about = None)]
struct Arguments {
    /// How many seeds.
    #[arg(long, default_value_t = 500)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// How many at a time.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Only this one: twice, to see that it repeats itself, with everything that happened.
    #[arg(long)]
    seed: Option<u64>,
    /// Put known bugs back, one at a time, and print the seeds that it takes to find each.
    #[arg(long)]
    bugs: bool,
    /// With `--seed`: every message too.
    #[arg(long)]
    everything: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let is_good = match (arguments.seed, arguments.bugs) {
        (Some(seed), _) => one(seed, arguments.everything),
        (None, true) => bugs(arguments.jobs),
        (None, false) => many(&arguments),
    };
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn many(arguments: &Arguments) -> bool {
    let started = Instant::now();
    let done = AtomicU64::new(0);
    let tally = Mutex::new(Tally::default());
    let tell = |report: &Report| {
        *tally.lock().unwrap_or_else(PoisonError::into_inner) += report.tally;
        let done = done.fetch_add(1, Ordering::Relaxed) + 1;
        if done.is_multiple_of(500) {
            eprintln!("{done} seeds, {:.0} s", started.elapsed().as_secs_f64());
        }
    };
    let bad = simulate_many(arguments.from, arguments.seeds, arguments.jobs, Options::default(), tell);
    let (done, seconds) = (done.into_inner(), started.elapsed().as_secs_f64());
    let tally = tally.into_inner().unwrap_or_else(PoisonError::into_inner);
    println!("came up: {tally}");
    match bad {
        None => {
            println!("{done} seeds, every invariant held; {seconds:.1} s, {:.0} ms each", seconds * 1e3 / done as f64);
            true
        }
        Some(report) => {
            print_report(&simulate(report.scenario.seed, Options::default().telling()));
            println!("again: cargo xtask sim --seed {}", report.scenario.seed);
            false
        }
    }
}

fn one(seed: u64, everything: bool) -> bool {
    let options = Options::default().telling();
    let options = if everything { Options { keep: Keep::Everything, ..options } } else { options };
    let (report, again) = (simulate(seed, options), simulate(seed, Options::default()));
    print_report(&report);
    let repeats = report.hash == again.hash;
    if !repeats {
        println!("it does not repeat itself: {:016x} the second time", again.hash);
    }
    report.is_good() && repeats
}

fn print_report(report: &Report) {
    let scenario = &report.scenario;
    println!("seed {}: {scenario}", scenario.seed);
    println!("faults:");
    scenario.faults.iter().for_each(|planned| println!("  {planned}"));
    println!("came up: {}", report.tally);
    println!("trace {:016x}:", report.hash);
    report.lines.iter().for_each(|line| println!("  {line}"));
    match report.violations.as_slice() {
        [] => println!("every invariant held"),
        violations => {
            println!("violated:");
            violations.iter().for_each(|violation| println!("  {violation}"));
        }
    }
}

fn bugs(jobs: usize) -> bool {
    println!("| planted bug | seeds | found as |\n|---|---|---|");
    let mut all = true;
    for bug in Bug::ALL {
        let hunt = hunt(bug, HUNT_LIMIT, jobs);
        match hunt.found {
            Some((seed, violation)) => {
                println!("| {} | {} | {}, seed {seed} |", bug.describe(), seed + 1, violation.invariant);
            }
            None => {
                all = false;
                println!("| {} | not within {} | |", bug.describe(), hunt.seeds);
            }
        }
    }
    all
}

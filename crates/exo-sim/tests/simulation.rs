//! The cluster under faults, from seeds. Each test runs as many as it can within its time; `cargo xtask sim` runs more.

use exo_sim::{Bug, Keep, Options, Report, Tally, hunt, simulate, simulate_many};

/// Seeds of one of the ten tests that hold the cluster to its invariants.
const SHARE: u64 = 50;

/// Runs the `number`th share, one seed after the other: the tests run beside each other.
fn check_share(number: u64) {
    if let Some(bad) = simulate_many(number * SHARE, SHARE, 1, Options::default(), |_| {}) {
        panic!("{}", told(&bad));
    }
}

/// Everything about a bad seed.
fn told(bad: &Report) -> String {
    let seed = bad.scenario.seed;
    let again = simulate(seed, Options::default().telling());
    let faults: Vec<String> = again.scenario.faults.iter().map(ToString::to_string).collect();
    format!(
        "seed {seed}: {:#?}\nfaults:\n{}\ntrace:\n{}\nagain: cargo xtask sim --seed {seed}",
        bad.violations,
        faults.join("\n"),
        again.lines.join("\n")
    )
}

#[test]
fn every_invariant_holds_under_storms_0_to_49() {
    check_share(0);
}

#[test]
fn every_invariant_holds_under_storms_50_to_99() {
    check_share(1);
}

#[test]
fn every_invariant_holds_under_storms_100_to_149() {
    check_share(2);
}

#[test]
fn every_invariant_holds_under_storms_150_to_199() {
    check_share(3);
}

#[test]
fn every_invariant_holds_under_storms_200_to_249() {
    check_share(4);
}

#[test]
fn every_invariant_holds_under_storms_250_to_299() {
    check_share(5);
}

#[test]
fn every_invariant_holds_under_storms_300_to_349() {
    check_share(6);
}

#[test]
fn every_invariant_holds_under_storms_350_to_399() {
    check_share(7);
}

#[test]
fn every_invariant_holds_under_storms_400_to_449() {
    check_share(8);
}

#[test]
fn every_invariant_holds_under_storms_450_to_499() {
    check_share(9);
}

#[test]
fn everything_that_the_storms_are_for_comes_up_in_them() {
    let mut tally = Tally::default();
    for seed in 0..10 * SHARE {
        tally += simulate(seed, Options::default()).tally;
        if tally.missing().is_empty() {
            return;
        }
    }
    panic!("never: {:?}; {tally}", tally.missing());
}

#[test]
fn a_seed_repeats_itself_to_the_last_message() {
    for seed in 1_000..1_015 {
        let (first, again) = (simulate(seed, Options::default()), simulate(seed, Options::default()));
        if first.hash == again.hash {
            continue;
        }
        let everything = Options { keep: Keep::Everything, ..Options::default() };
        let (first, again) = (simulate(seed, everything), simulate(seed, everything));
        let at = first.lines.iter().zip(&again.lines).position(|(one, other)| one != other).unwrap_or(0);
        let around = |report: &Report| {
            report.lines.iter().skip(at.saturating_sub(5)).take(8).cloned().collect::<Vec<_>>().join("\n")
        };
        panic!("seed {seed} takes another course:\n{}\n\n{}", around(&first), around(&again));
    }
}

#[test]
fn what_is_told_of_a_seed_does_not_change_its_course() {
    let quiet = simulate(3, Options::default());
    assert_eq!(quiet.hash, simulate(3, Options::default().telling()).hash);
    assert_ne!(quiet.hash, simulate(4, Options::default()).hash);
}

/// Finds the bug within so many seeds.
fn check_found(bug: Bug, within: u64) {
    let hunt = hunt(bug, within, 1);
    assert!(hunt.found.is_some(), "{bug:?} was not found within {within} seeds");
}

#[test]
fn the_planted_bug_acknowledge_before_fsync_is_found() {
    check_found(Bug::AckBeforeFsync, 20);
}

#[test]
fn the_planted_bug_forget_the_vote_is_found() {
    check_found(Bug::ForgetVote, 20);
}

#[test]
fn the_planted_bug_no_check_of_the_term_is_found() {
    check_found(Bug::NoTermCheck, 40);
}

#[test]
fn the_planted_bug_apply_out_of_order_is_found() {
    check_found(Bug::ApplyOutOfOrder, 20);
}

#[test]
fn the_planted_bug_drop_a_gap_request_is_found() {
    check_found(Bug::DropGapRequest, 20);
}

#[test]
fn the_planted_bug_route_to_a_dead_runner_is_found() {
    check_found(Bug::RouteToDeadRunner, 20);
}

#[test]
fn the_planted_bug_carry_a_repeated_command_out_again_is_found() {
    check_found(Bug::ForgetAnswers, 20);
}

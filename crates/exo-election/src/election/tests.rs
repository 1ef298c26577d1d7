mod cases;
mod world;

use super::*;
use exo_types::EventIndex;
use std::collections::BTreeSet;

const LISTEN: Duration = Duration::from_millis(400);
const EVERY: Duration = Duration::from_secs(1);
const SETTLE: Duration = Duration::from_secs(1);
const RETRY: Duration = Duration::from_millis(500);
const TAKE_OVER: Duration = Duration::from_secs(30);

fn node(name: &str) -> NodeId {
    NodeId::new(name).expect("a good id")
}

fn session(generation: u64, master: &str) -> SessionId {
    SessionId { generation, master_node_id: node(master) }
}

fn options(name: &str) -> Options {
    Options {
        node_id: node(name),
        seniority: 0,
        listen: LISTEN,
        announce_every: EVERY,
        settle: SETTLE,
        retry: RETRY,
        take_over_after: Some(TAKE_OVER),
    }
}

#[expect(clippy::disallowed_methods, reason = "a test needs some instant to count from")]
fn start() -> Instant {
    Instant::now()
}

fn voters(names: &[&str]) -> BTreeSet<NodeId> {
    names.iter().map(|name| node(name)).collect()
}

/// A log of the session, in which nobody is known to lead.
fn log(generation: u64, founder: &str, members: &[&str]) -> OwnLog {
    OwnLog {
        session: Some(session(generation, founder)),
        last: EventIndex(7),
        commands_seen: 3,
        term: 1,
        voters: voters(members),
        ..OwnLog::default()
    }
}

fn leading(log: OwnLog) -> OwnLog {
    OwnLog { leads: true, has_quorum: true, ..log }
}

fn presence(generation: u64, founder: &str, commands_seen: u64, members: &[&str]) -> MasterPresence {
    let candidate = Candidate { session: session(generation, founder), seniority: 0, commands_seen };
    MasterPresence { candidate, leading: true, term: 1, voters: voters(members) }
}

fn outputs(election: &mut Election) -> Vec<Output> {
    std::iter::from_fn(|| election.poll_output()).collect()
}

/// What is done, without what is said.
fn deeds(election: &mut Election) -> Vec<Output> {
    let is_deed = |output: &Output| !matches!(output, Output::Present(_) | Output::Announce(_));
    outputs(election).into_iter().filter(is_deed).collect()
}

fn see(election: &mut Election, now: Instant, name: &str, presence: MasterPresence) {
    election.on_master(now, format!("{name}-1"), node(name), presence);
}

fn lose(election: &mut Election, now: Instant, name: &str) {
    election.on_master_left(now, &format!("{name}-1"));
}

fn join(generation: u64, founder: &str, leader: &str) -> Output {
    Output::Join { session: session(generation, founder), leader: node(leader) }
}

/// Lets time pass, a timeout at a time; the outputs on the way.
fn pass(election: &mut Election, from: Instant, span: Duration) -> Vec<Output> {
    let mut done = deeds(election);
    for _ in 0..10_000 {
        match election.poll_timeout().filter(|due| *due <= from + span) {
            Some(due) => election.handle_timeout(due.max(from)),
            None => return done,
        }
        done.extend(deeds(election));
    }
    panic!("it is woken again and again: {election:?}");
}

#[test]
fn a_master_that_finds_nothing_founds_a_session_and_says_so_when_it_leads() {
    let now = start();
    let mut election = Election::new(now, options("b"), OwnLog::default());
    assert_eq!(pass(&mut election, now, LISTEN / 2), []);
    assert_eq!(pass(&mut election, now, LISTEN), [Output::Found(session(1, "b"))]);
    let founded = leading(log(1, "b", &["b"]));
    election.on_log(now + LISTEN, founded.clone());
    let said = outputs(&mut election);
    assert!(
        matches!(&said[..], [Output::Present(p), Output::Announce(a)] if p.leading && a.last_index == EventIndex(7))
    );
    // While the end of the log stays where it is, it is told less often.
    election.handle_timeout(now + LISTEN + EVERY);
    assert_eq!(outputs(&mut election), []);
    election.on_log(now + LISTEN + EVERY, OwnLog { last: EventIndex(8), ..founded.clone() });
    assert!(matches!(&outputs(&mut election)[..], [Output::Announce(a)] if a.last_index == EventIndex(8)));
    let mut told = now + LISTEN + EVERY;
    for pause in [3, 3, 3, 3, 6, 12, 24, 48, 60, 60, 60] {
        election.handle_timeout(told + EVERY * pause - Duration::from_millis(1));
        assert_eq!(outputs(&mut election), []);
        told += EVERY * pause;
        election.handle_timeout(told);
        assert!(matches!(&outputs(&mut election)[..], [Output::Announce(a)] if a.last_index == EventIndex(8)));
    }
    // And at once when something comes in.
    election.on_log(told + EVERY, OwnLog { last: EventIndex(9), ..founded });
    assert!(matches!(&outputs(&mut election)[..], [Output::Announce(a)] if a.last_index == EventIndex(9)));
}

#[test]
fn a_master_joins_what_it_finds() {
    let now = start();
    let mut election = Election::new(now, options("b"), OwnLog::default());
    see(&mut election, now, "a", presence(1, "a", 4, &["a"]));
    assert_eq!(deeds(&mut election), [join(1, "a", "a")]);
    assert!(!election.may_serve());
    election.on_join_failed(now);
    assert_eq!(pass(&mut election, now, RETRY / 2), []);
    assert_eq!(pass(&mut election, now, RETRY), [join(1, "a", "a")], "it tries again");
    election.on_joined(now + RETRY, log(1, "a", &["a"]));
    assert!(election.may_serve());
    assert_eq!(deeds(&mut election), []);
}

#[test]
fn of_masters_that_start_together_one_founds() {
    let now = start();
    let mut election = Election::new(now, options("b"), OwnLog::default());
    election.on_process(now, "z".to_owned(), node("z"), true, None);
    assert_eq!(pass(&mut election, now, LISTEN * PATIENCE), [], "z goes first");
    assert_eq!(pass(&mut election, now, LISTEN * (PATIENCE + 1)), [Output::Found(session(1, "b"))], "it does not");
}

#[test]
fn a_master_takes_part_in_its_own_session_again() {
    let now = start();
    let mut alone = Election::new(now, options("b"), log(3, "b", &["b"]));
    assert_eq!(deeds(&mut alone), [], "it listens first");
    assert_eq!(pass(&mut alone, now, LISTEN), [Output::Resume(session(3, "b"))]);
    let mut voter = Election::new(now, options("b"), log(3, "a", &["a", "b", "c"]));
    assert_eq!(deeds(&mut voter), [Output::Resume(session(3, "a"))], "a majority decides what it is worth");
}

#[test]
fn a_log_that_is_smaller_than_what_is_led_is_given_up_once_all_of_it_is_known() {
    let now = start();
    let mut election = Election::new(now, options("b"), log(1, "b", &["b"]));
    see(&mut election, now, "a", presence(2, "a", 0, &["a"]));
    assert_eq!(pass(&mut election, now, LISTEN * 9), [], "what it wrote last is not applied");
    election.on_log(now + LISTEN * 9, leading(log(1, "b", &["b"])));
    assert_eq!(deeds(&mut election), [join(2, "a", "a")]);
    let mut election = Election::new(now, options("b"), log(2, "b", &["b"]));
    see(&mut election, now, "a", presence(1, "a", 99, &["a"]));
    assert_eq!(deeds(&mut election), [Output::Resume(session(2, "b"))]);
}

#[test]
fn a_log_that_turns_out_to_be_larger_than_what_is_led_is_not_given_up() {
    let now = start();
    let mut election = Election::new(now, options("b"), OwnLog { commands_seen: 0, ..log(1, "b", &["b"]) });
    see(&mut election, now, "a", presence(1, "a", 2, &["a"]));
    assert_eq!(deeds(&mut election), []);
    election.on_log(now, leading(log(1, "b", &["b"])));
    assert_eq!(pass(&mut election, now, SETTLE * 9), [Output::Resume(session(1, "b"))]);
}

#[test]
fn who_cannot_lead_alone_gives_nothing_up_that_it_does_not_know() {
    let now = start();
    let mut election = Election::new(now, options("b"), log(1, "b", &["b"]));
    assert_eq!(pass(&mut election, now, LISTEN), [Output::Resume(session(1, "b"))]);
    see(&mut election, now + LISTEN, "c", presence(1, "c", 9, &["c"]));
    assert_eq!(pass(&mut election, now + LISTEN, SETTLE * 9), []);
    election.on_log(now + LISTEN + SETTLE * 9, leading(log(1, "b", &["b"])));
    assert_eq!(deeds(&mut election), [join(1, "c", "c")]);
}

#[test]
fn a_log_that_turns_out_to_have_other_voters_is_taken_part_in_at_once() {
    let now = start();
    let mut election = Election::new(now, options("b"), log(1, "b", &["b"]));
    see(&mut election, now, "c", presence(1, "c", 9, &["c"]));
    assert_eq!(deeds(&mut election), []);
    election.on_log(now, log(1, "b", &["a", "b", "d"]));
    assert_eq!(deeds(&mut election), [Output::Resume(session(1, "b"))]);
}

#[test]
fn who_gives_its_session_up_claims_no_more_than_it_lost_with() {
    let now = start();
    let own = leading(log(1, "b", &["b"]));
    let mut election = Election::new(now, options("b"), own.clone());
    pass(&mut election, now, LISTEN);
    see(&mut election, now + LISTEN, "c", presence(1, "c", 9, &["c"]));
    assert_eq!(pass(&mut election, now + LISTEN, SETTLE), [join(1, "c", "c")]);
    let claims = |election: &mut Election| {
        let said = outputs(election).into_iter().filter_map(|output| match output {
            Output::Present(presence) => Some(presence.candidate.commands_seen),
            _ => None,
        });
        said.collect::<Vec<_>>()
    };
    let later = now + LISTEN + SETTLE;
    election.on_log(later, OwnLog { commands_seen: 99, ..own.clone() });
    pass(&mut election, later, RETELL * 9);
    let later = later + RETELL * 9;
    election.on_log(later, OwnLog { commands_seen: 99, term: 2, ..own });
    assert_eq!(claims(&mut election), [3], "in another term");
    lose(&mut election, later, "c");
    election.on_join_failed(later);
    election.handle_timeout(later + RETELL);
    assert_eq!(claims(&mut election), [99], "it stays in it");
}

#[test]
fn of_two_led_sessions_the_larger_stays() {
    for (own, heard, stays) in [
        ((1, 5), presence(1, "a", 4, &["a"]), true),
        ((1, 5), presence(1, "a", 6, &["a"]), false),
        ((1, 5), presence(1, "a", 5, &["a"]), true),
        ((1, 5), presence(1, "c", 5, &["c"]), false),
        ((2, 1), presence(1, "c", 900, &["c"]), true),
        ((1, 900), presence(2, "a", 1, &["a"]), false),
    ] {
        let now = start();
        let own_log = leading(OwnLog { commands_seen: own.1, ..log(own.0, "b", &["b"]) });
        let mut election = Election::new(now, options("b"), own_log);
        pass(&mut election, now, LISTEN);
        let met = now + LISTEN;
        see(&mut election, met, "x", heard.clone());
        assert_eq!(pass(&mut election, met, SETTLE / 2), [], "a link may bounce");
        let expect = if stays { vec![] } else { vec![(heard.candidate.session.clone(), node("x"))] };
        let expect: Vec<Output> =
            expect.into_iter().map(|(session, leader)| Output::Join { session, leader }).collect();
        assert_eq!(pass(&mut election, met, SETTLE * 2), expect, "{own:?} meets {heard:?}");
    }
}

#[test]
fn a_session_that_its_voters_deserted_is_given_up_for_a_smaller_one() {
    let now = start();
    // Of these some went to session 2 of "z", which is led and holds less than the own one.
    for (others, gone, gives_up) in
        [(&["b"][..], &["b"][..], true), (&["b", "c"], &["b"], false), (&["b", "c"], &["b", "c"], true)]
    {
        let members: Vec<&str> = others.iter().copied().chain(["a"]).collect();
        let options = Options { take_over_after: None, ..options("a") };
        let mut election = Election::new(now, options, log(2, "a", &members));
        see(&mut election, now, "z", presence(1, "z", 1, &["z"]));
        assert_eq!(pass(&mut election, now, SETTLE * 9), [Output::Resume(session(2, "a"))], "they may come back");
        for name in gone {
            let of_other = MasterPresence { leading: false, ..presence(1, "z", 1, &["z"]) };
            see(&mut election, now, name, of_other);
        }
        let given_up: &[Output] = if gives_up { &[join(1, "z", "z")] } else { &[] };
        assert_eq!(pass(&mut election, now, SETTLE), given_up, "{gone:?} of {members:?}");
    }
}

#[test]
fn who_is_not_taken_in_yet_does_not_take_over_meanwhile() {
    let now = start();
    let mut election = Election::new(now, options("a"), log(1, "b", &["a", "b"]));
    assert_eq!(pass(&mut election, now, TAKE_OVER - SETTLE), [Output::Resume(session(1, "b"))]);
    see(&mut election, now + TAKE_OVER - SETTLE, "z", presence(2, "z", 9, &["z"]));
    let tried = now + TAKE_OVER + SETTLE;
    assert_eq!(pass(&mut election, now, TAKE_OVER + SETTLE), [join(2, "z", "z")]);
    election.on_join_failed(tried);
    assert_eq!(pass(&mut election, tried, RETRY), [join(2, "z", "z")], "though nobody led for long enough");
}

#[test]
fn a_larger_session_that_comes_and_goes_changes_nothing() {
    let now = start();
    let mut election = Election::new(now, options("b"), leading(log(1, "b", &["b"])));
    pass(&mut election, now, LISTEN);
    for bounce in 1..20 {
        let at = now + LISTEN + SETTLE * bounce;
        see(&mut election, at, "z", presence(9, "z", 9, &["z"]));
        assert_eq!(pass(&mut election, at, SETTLE * 9 / 10), []);
        lose(&mut election, at + SETTLE * 9 / 10, "z");
        assert_eq!(deeds(&mut election), []);
    }
}

#[test]
fn followers_leave_with_their_leader() {
    let now = start();
    let mut election = Election::new(now, options("b"), log(1, "a", &["a", "b", "c"]));
    see(&mut election, now, "a", presence(1, "a", 3, &["a", "b", "c"]));
    deeds(&mut election);
    see(&mut election, now, "z", presence(2, "z", 0, &["z"]));
    assert_eq!(pass(&mut election, now, SETTLE * 60), [], "a gives the session up, or has not seen the other");
    see(&mut election, now + SETTLE * 60, "a", MasterPresence { leading: false, ..presence(2, "z", 0, &["z"]) });
    assert_eq!(deeds(&mut election), [join(2, "z", "z")], "and nobody campaigns for what is given up");
}

#[test]
fn a_lost_leader_is_campaigned_for_at_once_and_a_bounce_costs_nothing_else() {
    let now = start();
    let members = ["a", "b", "c"];
    let mut election = Election::new(now, options("b"), log(1, "a", &members));
    see(&mut election, now, "a", presence(1, "a", 3, &members));
    deeds(&mut election);
    lose(&mut election, now + SETTLE, "a");
    assert_eq!(deeds(&mut election), [Output::Campaign { term: 1 }]);
    see(&mut election, now + SETTLE * 2, "a", presence(1, "a", 3, &members));
    assert_eq!(pass(&mut election, now + SETTLE * 2, TAKE_OVER * 9), []);
}

#[test]
fn a_survivor_of_one_or_two_voters_takes_over_and_a_minority_of_three_never_does() {
    let of = |voters: &[&str], patience: Option<Duration>, within: Duration| {
        let now = start();
        let options = Options { take_over_after: patience, ..options("b") };
        let mut election = Election::new(now, options, log(1, "a", voters));
        see(&mut election, now, "a", presence(1, "a", 3, voters));
        deeds(&mut election);
        lose(&mut election, now, "a");
        let is_takeover = |output: &Output| matches!(output, Output::TakeOver(_));
        pass(&mut election, now, within).into_iter().filter(is_takeover).collect::<Vec<_>>()
    };
    let taken = vec![Output::TakeOver(session(2, "b"))];
    let year = Duration::from_secs(31_536_000);
    for (voters, patience, within, expect) in [
        (vec!["a", "b"], Some(TAKE_OVER), TAKE_OVER / 2, vec![]),
        (vec!["a", "b"], Some(TAKE_OVER), TAKE_OVER, taken.clone()),
        (vec!["a", "b"], Some(SETTLE), SETTLE, taken.clone()),
        (vec!["a", "b"], None, year, vec![]),
        (vec!["a"], Some(TAKE_OVER), TAKE_OVER, vec![]),
        (vec!["a"], Some(TAKE_OVER), TAKE_OVER + LEARNER_WAITS, taken),
        (vec!["a", "b", "c"], Some(TAKE_OVER), year, vec![]),
        (vec!["a", "b", "c", "d", "e"], Some(TAKE_OVER), year, vec![]),
    ] {
        assert_eq!(of(&voters, patience, within), expect, "{voters:?} {patience:?} {within:?}");
    }
}

#[test]
fn a_leader_that_lost_its_quorum_says_so_and_takes_over_alone() {
    let now = start();
    let both = leading(log(1, "b", &["a", "b"]));
    let mut election = Election::new(now, options("b"), both.clone());
    outputs(&mut election);
    election.on_log(now, OwnLog { has_quorum: false, ..both.clone() });
    assert!(matches!(&outputs(&mut election)[..], [Output::Present(p)] if !p.leading));
    assert_eq!(pass(&mut election, now, TAKE_OVER), [Output::TakeOver(session(2, "b"))]);
    let three = OwnLog { voters: voters(&["a", "b", "c"]), has_quorum: false, ..both };
    let mut election = Election::new(now, options("b"), three);
    deeds(&mut election);
    assert_eq!(pass(&mut election, now, TAKE_OVER * 1000), []);
}

#[test]
fn who_has_all_voters_elects_and_does_not_take_over() {
    let now = start();
    let mut election = Election::new(now, options("b"), log(1, "a", &["a", "b"]));
    see(&mut election, now, "a", MasterPresence { leading: false, ..presence(1, "a", 3, &["a", "b"]) });
    deeds(&mut election);
    assert_eq!(pass(&mut election, now, TAKE_OVER * 9), []);
}

#[test]
fn a_new_master_waits_for_the_absent_leader_that_others_follow() {
    let now = start();
    let mut election = Election::new(now, options("b"), OwnLog::default());
    election.on_process(now, "w".to_owned(), node("w"), false, Some(session(1, "a")));
    assert_eq!(pass(&mut election, now, LISTEN * 20), [Output::WaitFor(session(1, "a"))], "told once");
    let later = now + LISTEN * 20;
    election.on_process_left(later, "w");
    assert_eq!(pass(&mut election, later, LISTEN), [Output::Found(session(1, "b"))]);
}

#[test]
fn a_session_that_was_taken_into_the_own_is_not_waited_for() {
    for (taken_in, then) in [
        (vec![], Output::WaitFor(session(1, "c"))),
        (vec![session(1, "c")], Output::Resume(session(1, "b"))),
        (vec![session(1, "d")], Output::WaitFor(session(1, "c"))),
    ] {
        let now = start();
        let own = OwnLog { taken_in: taken_in.into_iter().collect(), ..log(1, "b", &["b"]) };
        let mut election = Election::new(now, options("b"), own);
        see(&mut election, now, "a", MasterPresence { leading: false, ..presence(1, "c", 3, &["a", "c"]) });
        assert_eq!(pass(&mut election, now, LISTEN * 20), [then]);
    }
}

#[test]
fn a_master_whose_log_was_damaged_waits_for_those_who_have_it() {
    let now = start();
    let lost = OwnLog { lost: Some(session(2, "a")), ..OwnLog::default() };
    let mut election = Election::new(now, options("b"), lost);
    assert_eq!(pass(&mut election, now, TAKE_OVER * 9), [Output::WaitFor(session(2, "a"))], "it never founds one");
    see(&mut election, now + TAKE_OVER * 9, "a", presence(2, "a", 3, &["a", "b", "c"]));
    assert_eq!(deeds(&mut election), [join(2, "a", "a")]);
}

#[test]
fn a_master_that_lost_its_log_founds_a_generation_that_nobody_has_seen() {
    let now = start();
    let mut election = Election::new(now, options("b"), OwnLog::default());
    election.on_process(now, "w".to_owned(), node("w"), false, Some(session(4, "b")));
    assert_eq!(pass(&mut election, now, LISTEN), [Output::Found(session(5, "b"))]);
}

#[test]
fn a_member_that_its_leader_does_not_count_asks_once_for_each_leader() {
    let now = start();
    let mut election = Election::new(now, options("b"), log(1, "a", &["a", "c", "d"]));
    see(&mut election, now, "a", presence(1, "a", 3, &["a", "c", "d"]));
    let ask = |leader: &str| Output::Ask { leader: node(leader) };
    assert_eq!(deeds(&mut election), [Output::Resume(session(1, "a")), ask("a")]);
    election.on_join_failed(now);
    assert_eq!(pass(&mut election, now, RETRY), [ask("a")]);
    election.on_joined(now + RETRY, log(1, "a", &["a", "c", "d"]));
    assert_eq!(pass(&mut election, now + RETRY, TAKE_OVER), []);
    lose(&mut election, now + TAKE_OVER, "a");
    see(&mut election, now + TAKE_OVER, "c", MasterPresence { term: 2, ..presence(1, "a", 3, &["a", "c", "d"]) });
    assert_eq!(deeds(&mut election), [ask("c")]);
}

#[test]
fn a_member_that_its_leader_may_have_struck_off_while_they_were_apart_asks_again() {
    let now = start();
    let led = presence(1, "a", 3, &["a", "c", "d"]);
    let mut election = Election::new(now, options("b"), log(1, "a", &["a", "c", "d"]));
    see(&mut election, now, "a", led.clone());
    deeds(&mut election);
    election.on_joined(now, log(1, "a", &["a", "c", "d"]));
    lose(&mut election, now + SETTLE, "a");
    deeds(&mut election);
    see(&mut election, now + SETTLE * 20, "a", led);
    assert_eq!(deeds(&mut election), [Output::Ask { leader: node("a") }], "of the same leader in the same term");
}

#[test]
fn a_leader_that_joined_and_got_nothing_yet_has_nothing_to_tell_anew() {
    let now = start();
    let mut election = Election::new(now, options("b"), leading(log(1, "b", &["b"])));
    pass(&mut election, now, LISTEN);
    see(&mut election, now + LISTEN, "c", presence(1, "c", 9, &["c"]));
    assert_eq!(pass(&mut election, now + LISTEN, SETTLE), [join(1, "c", "c")]);
    let joined = now + LISTEN + SETTLE;
    election.on_joined(joined, OwnLog { session: Some(session(1, "c")), ..OwnLog::default() });
    lose(&mut election, joined, "c");
    assert_eq!(pass(&mut election, joined, RETELL * 2), [], "and is not woken for it");
}

#[test]
fn how_much_was_done_is_told_now_and_then() {
    let now = start();
    let own = leading(log(1, "b", &["b"]));
    let mut election = Election::new(now, options("b"), own.clone());
    pass(&mut election, now, LISTEN);
    outputs(&mut election);
    let said = |election: &mut Election| {
        outputs(election).into_iter().filter(|output| matches!(output, Output::Present(_))).count()
    };
    for commands_seen in 4..2000 {
        election.on_log(now + LISTEN, OwnLog { commands_seen, ..own.clone() });
    }
    assert_eq!(said(&mut election), 0);
    election.handle_timeout(now + LISTEN + RETELL);
    assert_eq!(said(&mut election), 1);
}

use super::*;
use exo_types::NodeId;
use std::time::Duration;

const LISTEN: Duration = Duration::from_millis(400);
const EVERY: Duration = Duration::from_secs(1);

fn node(name: &str) -> NodeId {
    NodeId::new(name).expect("a good id")
}

fn session(generation: u64, master: &str) -> SessionId {
    SessionId { generation, master_node_id: node(master) }
}

fn claim(generation: u64, master: &str, last: u64) -> ElectionMessage {
    let candidate = Candidate { session: session(generation, master), seniority: 0, commands_seen: last };
    ElectionMessage { candidate, last_index: EventIndex(last) }
}

/// A master "b" with a log of that session and length, and the time of its start.
fn master(log: Option<(u64, u64)>) -> (Election, Instant) {
    let now = Instant::now_for_tests();
    let options = Options { node_id: node("b"), seniority: 0, listen: LISTEN, announce_every: EVERY };
    let log = log.map_or(OwnLog::default(), |(generation, last)| OwnLog {
        session: Some(session(generation, "b")),
        last: EventIndex(last),
        commands_seen: last,
    });
    (Election::new(now, options, log), now)
}

trait NowForTests {
    fn now_for_tests() -> Self;
}

impl NowForTests for Instant {
    #[expect(clippy::disallowed_methods, reason = "a test needs some instant to count from")]
    fn now_for_tests() -> Self {
        Self::now()
    }
}

fn outputs(election: &mut Election) -> Vec<Output> {
    std::iter::from_fn(|| election.poll_output()).collect()
}

#[test]
fn a_master_that_hears_nothing_opens_a_session_and_announces_it() {
    let (mut election, start) = master(None);
    election.handle_timeout(start + LISTEN / 2);
    assert_eq!(outputs(&mut election), []);
    election.handle_timeout(start + LISTEN);
    let opened = outputs(&mut election);
    assert!(matches!(&opened[..], [Output::Open(s), Output::Announce(_)] if *s == session(1, "b")), "{opened:?}");
    election.on_progress(EventIndex(5), 5);
    election.handle_timeout(start + LISTEN + EVERY);
    assert_eq!(outputs(&mut election), [Output::Announce(claim(1, "b", 5))]);
}

#[test]
fn a_master_leads_the_session_of_its_own_log_again() {
    let (mut election, start) = master(Some((3, 7)));
    election.handle_timeout(start + LISTEN);
    assert_eq!(outputs(&mut election), [Output::Resume(session(3, "b")), Output::Announce(claim(3, "b", 7))]);
}

#[test]
fn a_master_follows_what_it_hears_while_it_listens() {
    let (mut election, start) = master(None);
    election.on_announcement(start, &claim(1, "a", 4));
    assert_eq!(outputs(&mut election), [Output::Follow(claim(1, "a", 4).candidate)]);
    election.handle_timeout(start + LISTEN * 100);
    assert_eq!(outputs(&mut election), [], "a standby never leads while the leader lives");
}

#[test]
fn of_two_leading_sessions_the_larger_stays() {
    for (own, heard, stays) in [
        ((1, 5), claim(1, "a", 4), true),
        ((1, 5), claim(1, "a", 6), false),
        ((1, 5), claim(1, "a", 5), true),
        ((1, 5), claim(1, "c", 5), false),
        ((2, 1), claim(1, "c", 900), true),
        ((1, 900), claim(2, "a", 1), false),
    ] {
        let (mut election, start) = master(Some(own));
        election.handle_timeout(start + LISTEN);
        outputs(&mut election);
        election.on_announcement(start + LISTEN, &heard);
        let expect = if stays {
            vec![]
        } else {
            let winner = heard.candidate.clone();
            vec![Output::StepDown { winner: winner.clone() }, Output::Follow(winner)]
        };
        assert_eq!(outputs(&mut election), expect, "{own:?} meets {heard:?}");
    }
}

#[test]
fn two_masters_that_hear_each_other_agree_on_one() {
    let (mut b, start) = master(Some((1, 3)));
    let options = Options { node_id: node("a"), seniority: 1, listen: LISTEN, announce_every: EVERY };
    let mut a =
        Election::new(start, options, OwnLog { session: Some(session(1, "a")), last: EventIndex(1), commands_seen: 1 });
    for election in [&mut a, &mut b] {
        election.handle_timeout(start + LISTEN);
    }
    let of = |election: &mut Election| {
        outputs(election).into_iter().find_map(|output| match output {
            Output::Announce(message) => Some(message),
            _ => None,
        })
    };
    let (from_a, from_b) = (of(&mut a).expect("announces"), of(&mut b).expect("announces"));
    a.on_announcement(start + LISTEN, &from_b);
    b.on_announcement(start + LISTEN, &from_a);
    assert!(matches!(a.standing(), Standing::Leading(_)), "seniority decides");
    assert!(matches!(b.standing(), Standing::Following(_)));
}

#[test]
fn a_smaller_log_is_archived_before_it_was_ever_led() {
    let (mut election, start) = master(Some((1, 2)));
    let heard = claim(1, "a", 9);
    election.on_announcement(start, &heard);
    let winner = heard.candidate;
    assert_eq!(outputs(&mut election), [Output::Archive { winner: winner.clone() }, Output::Follow(winner)]);
}

#[test]
fn a_master_with_the_larger_log_leads_as_soon_as_it_hears_a_smaller_one() {
    let (mut election, start) = master(Some((1, 9)));
    election.on_announcement(start, &claim(1, "a", 2));
    assert!(matches!(election.standing(), Standing::Leading(_)));
}

#[test]
fn a_standby_waits_for_a_lost_leader() {
    let (mut election, start) = master(None);
    election.on_announcement(start, &claim(1, "a", 4));
    outputs(&mut election);
    election.on_follower_left("process of a");
    election.handle_timeout(start + LISTEN * 1000);
    assert_eq!(outputs(&mut election), []);
    assert!(matches!(election.standing(), Standing::Following(_)));
}

#[test]
fn a_new_master_waits_for_the_absent_leader_that_others_follow() {
    let (mut election, start) = master(None);
    election.on_followed("w".to_owned(), Some(session(1, "a")));
    election.handle_timeout(start + LISTEN);
    election.handle_timeout(start + LISTEN * 2);
    assert_eq!(outputs(&mut election), [Output::WaitFor(session(1, "a"))], "told once");
    election.on_follower_left("w");
    election.handle_timeout(start + LISTEN * 3);
    assert!(matches!(election.standing(), Standing::Leading(_)));
}

#[test]
fn a_leader_that_comes_back_leads_those_who_followed_it() {
    let (mut election, start) = master(Some((1, 9)));
    election.on_followed("w".to_owned(), Some(session(1, "b")));
    election.handle_timeout(start + LISTEN);
    assert!(matches!(election.standing(), Standing::Leading(_)));
}

#[test]
fn a_standby_goes_over_to_a_larger_session_only() {
    let (mut election, start) = master(None);
    election.on_announcement(start, &claim(1, "c", 4));
    outputs(&mut election);
    election.on_announcement(start, &claim(1, "a", 3));
    assert_eq!(outputs(&mut election), []);
    election.on_announcement(start, &claim(2, "a", 0));
    assert_eq!(outputs(&mut election), [Output::Follow(claim(2, "a", 0).candidate)]);
}

#[test]
fn a_master_that_lost_its_log_opens_a_generation_that_nobody_has_seen() {
    let (mut election, start) = master(None);
    election.on_followed("w".to_owned(), Some(session(4, "b")));
    election.handle_timeout(start + LISTEN);
    assert_eq!(outputs(&mut election).first(), Some(&Output::Open(session(5, "b"))));
}

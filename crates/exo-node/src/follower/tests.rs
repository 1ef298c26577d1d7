use super::*;
use exo_state::encode_state;
use exo_types::{Blob, Candidate, Event, Millis, SnapshotBytes, SnapshotPart};
use proptest::prelude::*;

fn node(name: &str) -> NodeId {
    NodeId::new(name).expect("a good id")
}

fn candidate(generation: u64, master: &str) -> Candidate {
    let session = SessionId { generation, master_node_id: node(master) };
    Candidate { session, seniority: 0, commands_seen: 0 }
}

fn leads(generation: u64, master: &str) -> MasterPresence {
    MasterPresence::leading(candidate(generation, master))
}

/// A master of the session that "m" opened.
fn member(leading: bool, term: u64) -> MasterPresence {
    MasterPresence { leading, term, ..leads(1, "m") }
}

/// The log of a master: its session is opened, then nodes are lost that were never there.
fn event(generation: u64, master: &str, idx: u64) -> IndexedEvent {
    let event = if idx == 1 {
        Event::SessionOpened { session: candidate(generation, master).session, when: Millis(0) }
    } else {
        Event::NodeTimedOut { node_id: node(&format!("n{idx}")) }
    };
    IndexedEvent { idx: EventIndex(idx), origin: None, event }
}

fn published(idx: u64) -> GlobalEvents {
    GlobalEvents { session: candidate(1, "m").session, events: vec![event(1, "m", idx)] }
}

fn page(range: std::ops::RangeInclusive<u64>, last: u64) -> EventLogPage {
    EventLogPage {
        events: range.map(|idx| event(1, "m", idx)).collect(),
        ..EventLogPage::empty(candidate(1, "m").session, EventIndex(last))
    }
}

/// A State as one part.
fn snapshot(index: u64, bytes: Vec<u8>) -> EventLogPage {
    part(index, bytes.len() as u64, 0, bytes)
}

fn part(index: u64, size: u64, offset: u64, bytes: Vec<u8>) -> EventLogPage {
    let part = SnapshotPart { index: EventIndex(index), size, offset, bytes: SnapshotBytes(Blob(bytes)) };
    EventLogPage { snapshot: Some(part), ..EventLogPage::empty(candidate(1, "m").session, EventIndex(index)) }
}

/// Follows master "m" and has its first `last` events.
fn following(now: Instant, last: u64) -> Follower {
    let mut follower = Follower::default();
    follower.on_master(now, node("m"), leads(1, "m"));
    let fetch = follower.poll_fetch(now).expect("asks for the log at once");
    assert_eq!((fetch.from, fetch.request.since), (node("m"), EventIndex(1)));
    follower.on_page(now, page(1..=last, last)).expect("of use");
    follower
}

fn at(follower: &Follower) -> u64 {
    follower.applied().0
}

#[test]
fn a_session_that_its_voters_deserted_is_left_when_nobody_is_left_in_it() {
    let now = Instant::now();
    let of_z = MasterPresence { leading: false, ..leads(1, "z") };
    for (voters, leaves) in [(&["m", "b"][..], true), (&["m", "b", "c", "d"], false)] {
        let mut follower = Follower::default();
        let led = MasterPresence { voters: voters.iter().map(|name| node(name)).collect(), ..leads(2, "m") };
        follower.on_master(now, node("m"), led.clone());
        follower.on_master(now, node("m"), MasterPresence { leading: false, ..led });
        follower.on_master(now, node("z"), leads(1, "z"));
        let follows = |follower: &mut Follower| follower.take_change().and_then(|view| view.session);
        assert_eq!(follows(&mut follower), Some(candidate(2, "m").session), "the smaller one is not followed");
        // The one that has everything is still there, and brings it along.
        follower.on_master(now, node("b"), of_z.clone());
        assert_eq!(follows(&mut follower), Some(candidate(2, "m").session));
        assert_eq!(follower.masters.poll_timeout(), leaves.then_some(now + masters::HAND_OVER));
        if leaves {
            follower.on_master(now, node("m"), of_z.clone());
            assert_eq!(follows(&mut follower), Some(candidate(1, "z").session));
        }
    }
}

#[test]
fn what_is_told_together_is_seen_together() {
    let now = Instant::now();
    let mut follower = following(now, 3);
    let events = (4..=9).map(|idx| event(1, "m", idx)).collect();
    follower.on_events(now, GlobalEvents { session: candidate(1, "m").session, events });
    let view = follower.take_change().expect("a change");
    assert_eq!(view.state.last_event_applied_idx, EventIndex(9));
    assert_eq!(follower.take_folded().len(), 9);
    assert!(follower.take_change().is_none(), "one view for all of them");
}

#[test]
fn a_newcomer_reads_the_log_page_by_page() {
    let now = Instant::now();
    let mut follower = Follower::default();
    assert_eq!(follower.poll_timeout(), None, "without a master there is nobody to ask");
    follower.on_master(now, node("m"), leads(1, "m"));
    assert!(follower.poll_fetch(now).is_some());
    assert!(follower.poll_fetch(now).is_none(), "one question at a time");
    follower.on_page(now, page(1..=2, 5)).expect("of use");
    let next = follower.poll_fetch(now).expect("asks on at once");
    assert_eq!(next.request.since, EventIndex(3));
    follower.on_page(now, page(3..=5, 5)).expect("of use");
    assert_eq!((at(&follower), follower.poll_timeout()), (5, None));
    let view = follower.take_change().expect("news");
    assert!(view.is_joined() && view.leader == Some(node("m")));
    assert!(follower.take_change().is_none());
}

#[test]
fn events_in_any_order_and_twice_are_folded_once() {
    let now = Instant::now();
    let mut follower = following(now, 1);
    for (idx, expect) in [(3, 1), (3, 1), (2, 3), (2, 3), (1, 3), (5, 3), (4, 5)] {
        follower.on_events(now, published(idx));
        assert_eq!(at(&follower), expect, "after {idx}");
    }
    assert_eq!(follower.poll_timeout(), None, "nothing is missing");
}

#[test]
fn a_gap_that_does_not_close_is_asked_for() {
    let now = Instant::now();
    let mut follower = following(now, 1);
    follower.on_events(now, published(4));
    assert_eq!(follower.poll_fetch(now), None, "it may close by itself");
    let fetch = follower.poll_fetch(now + GAP_DELAY).expect("asks");
    assert_eq!(fetch.request.since, EventIndex(2));
    follower.on_page(now, page(2..=3, 4)).expect("of use");
    assert_eq!(at(&follower), 4);
}

#[test]
fn a_lost_last_event_is_noticed_by_the_next_announcement() {
    let now = Instant::now();
    let mut follower = following(now, 2);
    let message = ElectionMessage { candidate: candidate(1, "m"), last_index: EventIndex(3) };
    follower.on_announcement(now, &message);
    assert_eq!(follower.poll_timeout(), Some(now + GAP_DELAY));
}

#[test]
fn failures_are_retried_less_and_less_often() {
    let now = Instant::now();
    let mut follower = following(now, 1);
    follower.on_events(now, published(3));
    let mut waits = Vec::new();
    for _ in 0..8 {
        let due = follower.poll_timeout().expect("something is missing");
        assert!(follower.poll_fetch(due).is_some());
        follower.on_fetch_failed(now);
        waits.push(follower.poll_timeout().expect("tries again").duration_since(now).as_millis());
    }
    assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
}

#[test]
fn a_page_without_use_is_told_and_retried() {
    let now = Instant::now();
    let mut follower = following(now, 1);
    follower.on_events(now, published(9));
    let due = follower.poll_timeout().expect("something is missing");
    follower.poll_fetch(due).expect("asks");
    let useless = follower.on_page(now, page(4..=5, 9));
    assert_eq!(useless, Err(PageError::NoProgress { expected: EventIndex(2), last: EventIndex(9) }));
    assert!(follower.poll_timeout().is_some());
}

#[test]
fn a_snapshot_stands_for_everything_before_it() {
    let now = Instant::now();
    let mut follower = Follower::default();
    follower.on_master(now, node("m"), leads(1, "m"));
    follower.on_events(now, published(8));
    follower.poll_fetch(now).expect("asks");
    let mut state = State::default();
    for idx in 1..=7 {
        apply(&mut state, &event(1, "m", idx));
    }
    let answer = snapshot(7, encode_state(&state).expect("encodes"));
    follower.on_page(now, answer).expect("of use");
    assert_eq!(at(&follower), 8, "the event that came before the snapshot follows it");
}

#[test]
fn a_damaged_snapshot_changes_nothing() {
    let now = Instant::now();
    let mut follower = Follower::default();
    follower.on_master(now, node("m"), leads(1, "m"));
    follower.poll_fetch(now).expect("asks");
    assert!(matches!(follower.on_page(now, snapshot(7, vec![1, 2, 3])), Err(PageError::Snapshot(_))));
    assert_eq!(at(&follower), 0);
}

#[test]
fn the_state_stays_when_the_master_goes_and_goes_on_when_it_is_back() {
    let now = Instant::now();
    let mut follower = following(now, 3);
    follower.on_master_left(now, &node("m"));
    let view = follower.take_change().expect("news");
    assert_eq!((view.leader, view.state.last_event_applied_idx), (None, EventIndex(3)));
    assert!(view.session.is_some());
    follower.on_master(now, node("m"), leads(1, "m"));
    follower.on_events(now, published(4));
    assert_eq!(at(&follower), 4);
}

#[test]
fn who_was_cut_off_asks_the_first_master_that_is_back_though_nobody_leads() {
    let start = Instant::now();
    let mut follower = following(start, 3);
    follower.on_master_left(start, &node("m"));
    follower.on_master(start, node("o"), member(false, 2));
    let fetch = follower.poll_fetch(start + GAP_DELAY).expect("asks");
    assert_eq!((fetch.from, fetch.request.since), (node("o"), EventIndex(4)));
    follower.on_page(start, page(4..=5, 5)).expect("of use");
    follower.on_master(start, node("o"), member(false, 3));
    assert_eq!((at(&follower), follower.poll_fetch(start + GAP_DELAY)), (5, None), "once");
}

#[test]
fn only_a_larger_session_is_switched_to() {
    let now = Instant::now();
    let mut follower = following(now, 3);
    follower.on_master(now, node("a"), leads(1, "a"));
    assert_eq!(follower.take_change().and_then(|view| view.leader), Some(node("m")));
    follower.on_master(now, node("a"), leads(2, "a"));
    assert_eq!(follower.take_change().and_then(|view| view.leader), Some(node("m")), "its leader hands over first");
    follower.on_master_left(now, &node("m"));
    let view = follower.take_change().expect("news");
    assert_eq!(view.session, Some(candidate(2, "a").session));
    assert!(!view.is_joined(), "the old State is kept until the new one comes");
    assert_eq!(view.state.last_event_applied_idx, EventIndex(3));
    let fetch = follower.poll_fetch(now).expect("asks the new one");
    assert_eq!((fetch.from, fetch.request.since), (node("a"), EventIndex(1)));
    let empty = EventLogPage::empty(candidate(2, "a").session, EventIndex(1));
    let first = EventLogPage { events: vec![event(2, "a", 1)], ..empty };
    follower.on_page(now, first).expect("of use");
    let view = follower.take_change().expect("news");
    assert!(view.is_joined());
    assert_eq!(view.state.last_event_applied_idx, EventIndex(1));
}

#[test]
fn a_log_that_went_back_for_good_is_followed_from_its_beginning() {
    let now = Instant::now();
    let mut follower = following(now, 9);
    let ends = |last| ElectionMessage { candidate: candidate(1, "m"), last_index: EventIndex(last) };
    follower.on_announcement(now, &ends(4));
    follower.on_announcement(now + WENT_BACK / 2, &ends(4));
    assert_eq!(follower.poll_timeout(), None, "a new leader may have to catch up with itself");
    follower.on_announcement(now + WENT_BACK, &ends(4));
    let again = follower.poll_fetch(now + WENT_BACK).expect("asks again");
    assert_eq!(again.request.since, EventIndex(1));
    follower.on_page(now, page(1..=4, 4)).expect("of use");
    assert_eq!(at(&follower), 4);
}

#[test]
fn a_leader_that_says_an_older_end_now_and_then_resets_nobody() {
    let now = Instant::now();
    let mut follower = following(now, 9);
    for (second, last) in [(0, 8), (2, 9), (4, 8), (6, 9), (8, 8), (12, 9)] {
        let message = ElectionMessage { candidate: candidate(1, "m"), last_index: EventIndex(last) };
        follower.on_announcement(now + Duration::from_secs(second), &message);
    }
    assert_eq!((at(&follower), follower.poll_timeout()), (9, None));
}

#[test]
fn a_change_of_leader_inside_a_session_goes_on_where_it_was() {
    let now = Instant::now();
    let mut follower = following(now, 5);
    follower.on_master(now, node("n"), member(false, 1));
    assert_eq!(follower.take_change().and_then(|view| view.leader), Some(node("m")));
    // The new one is heard of before the old one is known to be gone.
    follower.on_master(now, node("n"), member(true, 2));
    let view = follower.take_change().expect("news");
    assert!(view.is_joined(), "no reset");
    assert_eq!((view.leader, view.masters.len()), (Some(node("n")), 2));
    let fetch = follower.poll_fetch(now + GAP_DELAY).expect("what the old one committed last may be missing");
    assert_eq!((fetch.from, fetch.request.since), (node("n"), EventIndex(6)));
    let behind = follower.on_page(now, EventLogPage { events: vec![], ..page(1..=1, 3) });
    assert_eq!(behind, Err(PageError::Behind { applied: EventIndex(5), last: EventIndex(3) }));
    follower.on_master_left(now, &node("m"));
    follower.on_announcement(now, &ElectionMessage { candidate: candidate(1, "m"), last_index: EventIndex(7) });
    let fetch = follower.poll_fetch(now + RETRY_MAX).expect("asks again");
    follower.on_page(now, page(6..=7, 7)).expect("of use");
    assert_eq!((fetch.from, at(&follower)), (node("n"), 7));
}

#[test]
fn when_the_leader_does_not_answer_another_master_is_asked() {
    let now = Instant::now();
    let mut follower = following(now, 1);
    for name in ["a", "z"] {
        follower.on_master(now, node(name), member(false, 1));
    }
    follower.on_events(now, published(4));
    let mut asked = Vec::new();
    for _ in 0..4 {
        let due = follower.poll_timeout().expect("something is missing");
        asked.push(follower.poll_fetch(due).expect("asks").from.to_string());
        follower.on_fetch_failed(now);
    }
    assert_eq!(asked, ["m", "a", "z", "m"]);
    // Without any leader too: what is committed is the same everywhere.
    follower.on_master_left(now, &node("m"));
    let due = follower.poll_timeout().expect("something is missing");
    assert!(follower.poll_fetch(due).is_some());
    follower.on_page(now, page(2..=3, 4)).expect("of use");
    assert_eq!(at(&follower), 4);
}

#[test]
fn a_leader_that_does_not_hand_over_is_left_in_the_end() {
    let now = Instant::now();
    let mut follower = following(now, 3);
    follower.on_master(now, node("a"), leads(2, "a"));
    assert_eq!(follower.poll_timeout(), Some(now + masters::HAND_OVER));
    follower.handle_timeout(now + masters::HAND_OVER);
    let view = follower.take_change().expect("news");
    assert_eq!((view.session, view.leader), (Some(candidate(2, "a").session), Some(node("a"))));
}

#[test]
fn the_leader_of_the_later_term_is_the_leader() {
    let now = Instant::now();
    let mut follower = Follower::default();
    for (name, leading, term, expect) in
        [("a", false, 1, None), ("b", true, 1, Some("b")), ("c", true, 2, Some("c")), ("c", false, 2, Some("b"))]
    {
        follower.on_master(now, node(name), member(leading, term));
        assert_eq!(follower.take_change().and_then(|view| view.leader), expect.map(node), "{name}");
    }
}

#[test]
fn a_session_is_not_left_for_a_smaller_one_while_its_masters_elect() {
    let now = Instant::now();
    let mut follower = following(now, 1);
    follower.on_master_left(now, &node("m"));
    follower.on_master(now, node("a"), leads(1, "a"));
    assert_eq!(follower.take_change().and_then(|view| view.session), Some(candidate(1, "m").session));
}

#[test]
fn parts_that_do_not_fit_together_are_refused_and_asked_for_anew() {
    let now = Instant::now();
    let ask = |follower: &mut Follower| follower.poll_fetch(now + RETRY_MAX).expect("asks").request.part;
    for (name, wrong) in [
        ("a hole", part(7, 10, 6, vec![0; 4])),
        ("more than there is room for", part(7, 10, 4, vec![0; 7])),
        ("nothing", part(7, 10, 4, vec![])),
        ("of another", part(8, 10, 4, vec![0; 4])),
        ("far too large", part(9, u64::MAX, 0, vec![0; 4])),
    ] {
        let mut follower = Follower::default();
        follower.on_master(now, node("m"), leads(1, "m"));
        assert_eq!(ask(&mut follower), None);
        follower.on_page(now, part(7, 10, 0, vec![0; 4])).expect("of use");
        assert_eq!(ask(&mut follower), Some(exo_types::SnapshotMark { index: EventIndex(7), offset: 4 }));
        assert!(matches!(follower.on_page(now, wrong), Err(PageError::Part(_))), "{name}");
        assert_eq!(ask(&mut follower), None, "{name}: from its beginning");
    }
}

#[test]
fn what_was_folded_can_be_read_once_and_is_bounded() {
    let now = Instant::now();
    let mut follower = following(now, 3);
    let indices = |follower: &mut Follower| follower.take_folded().iter().map(|event| event.idx.0).collect::<Vec<_>>();
    assert_eq!(indices(&mut follower), [1, 2, 3]);
    follower.on_events(now, published(4));
    assert_eq!(indices(&mut follower), [4]);
    let last = FOLDED as u64 + 100;
    for idx in 5..=last {
        follower.on_events(now, published(idx));
    }
    let folded = indices(&mut follower);
    assert_eq!((folded.len(), folded.last()), (FOLDED, Some(&last)));
}

proptest! {
    /// Whatever is lost, repeated or swapped: with a page for each gap the State is the master's.
    #[test]
    fn every_order_ends_in_the_same_state(deliveries in prop::collection::vec(2u64..30, 0..60)) {
        let now = Instant::now();
        let mut follower = following(now, 1);
        for idx in deliveries {
            follower.on_events(now, published(idx));
        }
        let message = ElectionMessage { candidate: candidate(1, "m"), last_index: EventIndex(29) };
        follower.on_announcement(now, &message);
        while let Some(due) = follower.poll_timeout() {
            let since = follower.poll_fetch(due).expect("it is due").request.since.0;
            follower.on_page(due, page(since..=(since + 3).min(29), 29)).expect("of use");
        }
        let mut expect = State::default();
        for idx in 1..=29 {
            apply(&mut expect, &event(1, "m", idx));
        }
        prop_assert_eq!(&**follower.states.front(), &expect);
    }
}

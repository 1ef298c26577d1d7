use super::*;
use crate::testing::{arrival, decide_ok, delete, fold, node, place, told};
use exo_types::{InstanceId, IntentId, JoinTokenId, JoinTokenRecord, KeyFingerprint, Millis, RunnerStatus, SessionId};
use proptest::prelude::*;

const READY: RunnerStatus = RunnerStatus::RunnerReady { incarnation: 1 };

fn adopted(state: State, other: &State) -> State {
    let mut draft = Draft::new(state);
    adopt(&mut draft, other);
    exo_state::check_invariants(draft.state()).expect("invariants hold");
    draft.state().clone()
}

/// The State, gone on in another session.
fn opened(state: &State, generation: u64, name: &str) -> State {
    let session = SessionId { generation, master_node_id: node(name) };
    fold(state.clone(), [Event::SessionOpened { session, when: Millis(0) }])
}

fn done(state: &State, id: &str, command: &exo_types::Command) -> State {
    fold(state.clone(), decide_ok(state, id, command).events)
}

/// A cluster of one node, with "m" placed there under that name and ready.
fn serving(node: &str, command: &str) -> State {
    let state = fold(opened(&State::default(), 1, node), arrival(node, 2000));
    fold(done(&state, command, &place("m", 1)), [told(&format!("{command}-0"), READY)])
}

#[test]
fn what_runs_goes_on_under_its_name() {
    let (one, two) = (serving("a", "c1"), serving("b", "c2"));
    let both = adopted(one.clone(), &two);
    assert_eq!(both.instances.len(), 2);
    assert!(both.instances.values().all(|instance| both.is_ready(instance)));
    assert_eq!((both.intents.len(), both.open_intents().count()), (2, 0));
    assert_eq!(both.topology.nodes.len(), 2);
    assert_eq!(both.session, one.session, "the session is its own");
    assert_eq!(adopted(both.clone(), &two), both, "twice is once");
}

#[test]
fn what_is_taken_stays_as_it_is() {
    let (one, two) = (serving("a", "c1"), serving("b", "c1"));
    let both = adopted(one.clone(), &two);
    assert_eq!(both.instances, one.instances);
    assert_eq!(both.runners, one.runners);
    assert_eq!(both.topology.nodes.len(), 2);
}

#[test]
fn an_empty_session_brings_nothing() {
    let one = serving("a", "c1");
    let empty =
        State { session: Some(SessionId { generation: 9, ..one.session.clone().expect("one") }), ..State::default() };
    assert_eq!(adopted(one.clone(), &empty), one);
}

#[test]
fn what_the_survivor_deleted_does_not_come_back_with_the_one_it_survived() {
    let common = serving("a", "c1");
    let winner = done(&opened(&common, 2, "b"), "c2", &delete("c1"));
    // It was ahead of the survivor by something.
    let loser = fold(common, arrival("z", 7));
    let both = adopted(winner, &loser);
    assert!(both.instances.is_empty() && both.intents.is_empty(), "{both:?}");
    assert!(both.topology.nodes.contains(&node("z")), "what was new comes along");
}

#[test]
fn what_either_side_deleted_while_they_were_apart_is_gone() {
    let common = done(&serving("a", "c1"), "c2", &place("m", 1));
    let winner = done(&done(&opened(&common, 2, "a"), "d1", &delete("c1")), "c3", &place("m", 1));
    let loser = done(&done(&opened(&common, 2, "b"), "d2", &delete("c2")), "c4", &place("m", 1));
    let both = adopted(winner, &loser);
    let names: Vec<&str> = both.instances.keys().map(InstanceId::as_str).collect();
    assert_eq!(names, ["c3", "c4"]);
    assert_eq!(both.intents.keys().map(IntentId::as_str).collect::<Vec<_>>(), names);
    assert_eq!(adopted(both.clone(), &loser), both, "twice is once");
}

#[test]
fn an_older_version_that_does_not_know_where_things_came_in_takes_nothing_away() {
    let common = serving("a", "c1");
    let loser = done(&opened(&common, 2, "b"), "c2", &place("m", 1));
    let both = adopted(opened(&common, 2, "a"), &loser.clone().reborn());
    let names: Vec<&str> = both.instances.keys().map(InstanceId::as_str).collect();
    assert_eq!(names, ["c1", "c2"]);
    assert_eq!(adopted(opened(&common.reborn(), 2, "a"), &loser).instances, both.instances);
}

#[test]
fn a_command_that_both_carried_out_is_one_and_what_it_made_is_deleted_once() {
    let common = fold(opened(&State::default(), 1, "a"), arrival("a", 2000));
    let accepted = |state: &State, id: &str, command: &exo_types::Command| {
        let command_id = exo_types::CommandId::new(id).expect("a good id");
        fold(done(state, id, command), [Event::CommandAccepted { command_id, task_id: None, instance_id: None }])
    };
    let kept = accepted(&opened(&common, 2, "a"), "c1", &place("m", 1));
    let deleted = accepted(&opened(&common, 2, "b"), "c1", &place("m", 1));
    let deleted = accepted(&deleted, "d1", &delete("c1"));
    for both in [adopted(kept.clone(), &deleted), adopted(deleted, &kept)] {
        assert!(both.intents.is_empty() && both.instances.is_empty(), "{both:?}");
    }
}

#[test]
fn what_both_carried_out_stays_when_a_third_session_knows_only_one_of_them() {
    let common = fold(opened(&State::default(), 1, "a"), arrival("a", 2000));
    let accepted = |state: &State| {
        let command_id = exo_types::CommandId::new("c1").expect("a good id");
        fold(
            done(state, "c1", &place("m", 1)),
            [token("t"), admit("b", 2), Event::NodeDrained { node_id: node("a"), drained: true }]
                .into_iter()
                .chain([Event::CommandAccepted { command_id, task_id: None, instance_id: None }]),
        )
    };
    let (winner, loser) = (accepted(&opened(&common, 2, "a")), accepted(&opened(&common, 2, "b")));
    // A master of the session that was given up goes on from it, beside the one that survived it.
    let third = opened(&loser, 3, "c");
    let both = adopted(winner, &loser);
    for all in [adopted(third.clone(), &both), adopted(both, &third)] {
        assert!(all.intents.len() == 1 && all.instances.len() == 1, "{all:?}");
        assert_eq!((all.identity.join_tokens.len(), all.identity.admitted.len(), all.drained_nodes.len()), (1, 1, 1));
    }
}

#[test]
fn a_node_that_was_let_in_anew_has_its_new_key() {
    let common = fold(opened(&State::default(), 1, "a"), [admit("b", 2)]);
    let loser = fold(opened(&common, 2, "b"), [Event::NodeRemoved { node_id: node("b") }, admit("b", 3)]);
    let both = adopted(opened(&common, 2, "a"), &loser);
    assert_eq!(both.identity.admitted.get(&node("b")), Some(&key(3)));
}

#[test]
fn a_wish_that_was_taken_back_is_not_granted_by_what_the_other_side_placed_anew() {
    let common = serving("a", "c1");
    let winner = done(&opened(&common, 2, "a"), "d1", &delete("c1"));
    let again = common.instances.values().next().expect("placed").clone();
    let name = |name: &str| InstanceId::new(name).expect("a good id");
    let placed_anew = [
        Event::InstanceDeleted { instance_id: name("c1") },
        Event::InstanceCreated { instance: Instance { instance_id: name("c1.again-9"), ..again } },
    ];
    let loser = fold(opened(&common, 2, "b"), placed_anew.clone());
    assert!(adopted(winner.clone(), &loser).instances.is_empty());
    assert!(adopted(loser, &winner).instances.is_empty(), "nor the other way round");
    // Placed anew is not taken away: what runs here runs on.
    let both = adopted(opened(&common, 2, "a"), &fold(opened(&common, 2, "b"), placed_anew));
    assert!(both.instances.contains_key(&name("c1")), "{:?}", both.instances);
}

#[test]
fn a_wish_has_one_instance_also_when_one_side_placed_it_anew() {
    let common = serving("a", "c1");
    let again = InstanceId::new("c1.again-9").expect("a good id");
    let elsewhere = done(&common, again.as_str(), &place("m", 1)).instances[&again].clone();
    let first = common.instances.values().next().expect("placed").clone();
    let placed_anew = [
        Event::InstanceDeleted { instance_id: first.instance_id },
        Event::InstanceCreated { instance: Instance { intent: first.intent, ..elsewhere } },
    ];
    let idle = RunnerStatus::RunnerIdle;
    for (ours, theirs, stays) in
        [(&READY, &READY, "c1"), (&READY, &idle, "c1"), (&idle, &idle, "c1"), (&idle, &READY, "c1.again-9")]
    {
        let winner = fold(opened(&common, 2, "a"), [told("c1-0", ours.clone())]);
        let loser = fold(opened(&common, 2, "b"), placed_anew.clone());
        let loser = fold(loser, [told("c1.again-9-0", theirs.clone())]);
        let both = adopted(winner.clone(), &loser);
        assert_eq!(both.instances.keys().map(InstanceId::as_str).collect::<Vec<_>>(), [stays]);
        assert_eq!(adopted(both.clone(), &loser), both, "twice is once");
        let deleted = done(&both, "d1", &delete(stays));
        assert!(deleted.instances.is_empty() && deleted.intents.is_empty(), "{deleted:?}");
        let other_way = adopted(loser, &winner);
        assert_eq!(other_way.instances.keys().collect::<Vec<_>>(), [&again], "what runs there runs on");
    }
}

fn key(number: u8) -> KeyFingerprint {
    KeyFingerprint::new(format!("{number:02x}").repeat(32)).expect("64 digits")
}

fn admit(name: &str, number: u8) -> Event {
    Event::NodeAdmitted { node_id: node(name), key_fingerprint: key(number) }
}

fn token_id(name: &str) -> JoinTokenId {
    JoinTokenId::new(name).expect("a good id")
}

fn token(name: &str) -> Event {
    let public_key = "00".repeat(32);
    let token = JoinTokenRecord { id: token_id(name), public_key, created: Millis(0), expires: None, reusable: false };
    Event::JoinTokenCreated { token }
}

fn used(name: &str, by: &str) -> Event {
    Event::JoinTokenUsed { id: token_id(name), node_id: node(by) }
}

#[test]
fn who_belongs_to_the_cluster_comes_along() {
    let common = fold(serving("a", "c1"), [admit("a", 1), admit("b", 2), admit("e", 5), token("t"), token("u")]);
    let revoke = |name: &str| Event::NodeRevoked { node_id: node(name) };
    let winner = fold(opened(&common, 2, "a"), [admit("c", 3), Event::JoinTokenDeleted { id: token_id("u") }]);
    let winner = fold(winner, [revoke("e")]);
    let apart = [revoke("b"), used("t", "d"), admit("d", 4), used("u", "f"), token("v")];
    let both = adopted(winner, &fold(opened(&common, 2, "b"), apart));
    let admitted: Vec<&str> = both.identity.admitted.keys().map(NodeId::as_str).collect();
    assert_eq!(admitted, ["a", "c", "d"]);
    assert_eq!(both.identity.revoked.keys().collect::<Vec<_>>(), [&key(2), &key(5)], "out is out");
    let tokens = &both.identity.join_tokens;
    assert!(tokens[&token_id("t")].is_used_up(), "it let a node in");
    assert!(tokens.contains_key(&token_id("v")) && !tokens.contains_key(&token_id("u")), "{tokens:?}");
}

#[test]
fn a_revoked_key_is_out_though_its_node_is_known_under_another_or_not_at_all() {
    let winner = fold(opened(&State::default(), 2, "a"), [admit("b", 9)]);
    let out = |name: &str, number| [admit(name, number), Event::NodeRevoked { node_id: node(name) }];
    let loser = fold(fold(opened(&State::default(), 1, "b"), out("b", 2)), out("x", 3));
    let both = adopted(winner, &loser);
    assert_eq!(both.identity.revoked.len(), 2);
    assert_eq!(both.identity.admitted.get(&node("b")), Some(&key(9)));
}

#[test]
fn a_known_node_is_drained_or_used_again_as_was_said_last() {
    let drain = |name: &str, drained| Event::NodeDrained { node_id: node(name), drained };
    let common = fold(serving("a", "c1"), arrival("b", 7).into_iter().chain(arrival("c", 7)));
    let common = fold(common, [drain("b", true), drain("c", true)]);
    let winner = fold(opened(&common, 2, "a"), [drain("c", false)]);
    let loser = fold(opened(&common, 2, "b"), [drain("a", true), drain("b", false)]);
    assert_eq!(adopted(winner, &loser).drained_nodes.iter().collect::<Vec<_>>(), [&node("a")]);
}

#[test]
fn a_command_that_either_accepted_is_known() {
    let accepted = |name: String| {
        let command_id = exo_types::CommandId::new(name).expect("a good id");
        Event::CommandAccepted { command_id, task_id: None, instance_id: None }
    };
    let commands = |name: &'static str, count| (0..count).map(move |number| accepted(format!("{name}{number}")));
    let common = fold(serving("a", "c1"), commands("common", 3));
    let winner = fold(opened(&common, 2, "a"), commands("w", 500));
    let loser = fold(opened(&common, 2, "b"), commands("l", 600));
    let both = adopted(winner.clone(), &loser);
    for name in ["w0", "w499", "l599", "l99"] {
        let id = exo_types::CommandId::new(name).expect("a good id");
        assert!(both.accepted_commands.get(&id).is_some(), "{name}");
    }
    assert_eq!(both.commands_seen, winner.commands_seen + COMMANDS as u64);
}

/// What a user does.
#[derive(Debug, Clone)]
enum Deed {
    Place(u8),
    Delete(u8),
    Drain(u8, bool),
    Token(u8),
    Drop(u8),
    Admit(u8, u8),
    Revoke(u8),
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let name = || 0..3u8;
    let deed = prop_oneof![
        3 => name().prop_map(Deed::Place),
        2 => name().prop_map(Deed::Delete),
        2 => (name(), any::<bool>()).prop_map(|(name, drained)| Deed::Drain(name, drained)),
        1 => name().prop_map(Deed::Token),
        1 => name().prop_map(Deed::Drop),
        2 => (name(), 0..2u8).prop_map(|(name, key)| Deed::Admit(name, key)),
        1 => name().prop_map(Deed::Revoke),
    ];
    prop::collection::vec(deed, 0..8)
}

type Thing = (&'static str, String, LogPlace);

/// Everything that can be taken away, each with where it came in.
fn things(state: &State) -> Vec<Thing> {
    fn of<K: ToString>(kind: &'static str, births: &BTreeMap<K, LogPlace>) -> Vec<Thing> {
        births.iter().map(|(name, place)| (kind, name.to_string(), place.clone())).collect()
    }
    let births = &state.lineage.births;
    let all = [
        of("intent", &births.intents),
        of("instance", &births.instances),
        of("token", &births.join_tokens),
        of("admitted", &births.admitted),
        of("drained", &births.drained),
    ];
    all.concat()
}

/// The State after the deeds; what they took away is added.
fn after(mut state: State, deeds: &[Deed], taken: &mut Vec<Thing>) -> State {
    for deed in deeds {
        let name = |number: &u8| format!("n{number}");
        let events = match deed {
            Deed::Place(number) => {
                let id = exo_types::CommandId::new(name(number)).expect("a good id");
                let decision = crate::decide::decide(&state, &id, &place("m", 1), &crate::testing::CIRCUMSTANCES);
                decision.map(|decision| decision.events).unwrap_or_default()
            }
            Deed::Delete(number) => {
                let id = exo_types::CommandId::new("d").expect("a good id");
                let decision =
                    crate::decide::decide(&state, &id, &delete(&name(number)), &crate::testing::CIRCUMSTANCES);
                decision.map(|decision| decision.events).unwrap_or_default()
            }
            Deed::Drain(number, drained) => {
                vec![Event::NodeDrained { node_id: node(&name(number)), drained: *drained }]
            }
            Deed::Token(number) => vec![token(&name(number))],
            Deed::Drop(number) => vec![Event::JoinTokenDeleted { id: token_id(&name(number)) }],
            Deed::Admit(number, key) => vec![admit(&name(number), number * 2 + key)],
            Deed::Revoke(number) => vec![Event::NodeRevoked { node_id: node(&name(number)) }],
        };
        let before = things(&state);
        state = fold(state, events);
        let left = things(&state);
        taken.extend(before.into_iter().filter(|thing| !left.contains(thing)));
    }
    state
}

proptest! {
    #[test]
    fn what_was_taken_away_stays_away_and_nothing_else_is_lost(
        (first, ours, theirs, later, last) in (deeds(), deeds(), deeds(), deeds(), deeds())
    ) {
        let mut taken = Vec::new();
        let common = after(serving("a", "c1"), &first, &mut taken);
        let winner = after(opened(&common, 2, "a"), &ours, &mut taken);
        // A second master of the session that is given up is a little behind, and comes later.
        let behind = after(opened(&common, 2, "b"), &theirs[..theirs.len() / 2], &mut taken);
        let loser = after(behind.clone(), &theirs[theirs.len() / 2..], &mut taken);
        let both = adopted(winner.clone(), &loser);
        prop_assert_eq!(&adopted(both.clone(), &loser), &both, "twice is once");
        check(&both, [&winner, &loser], &taken)?;
        let mut taken_later = Vec::new();
        let both = after(both, &later, &mut taken_later);
        // What both had under one name went as one.
        let same = |thing: &Thing| taken_later.iter().any(|(kind, name, _)| (*kind, name) == (thing.0, &thing.1));
        taken.extend(things(&loser).into_iter().filter(same));
        taken.extend(taken_later.iter().cloned());
        let all = adopted(both.clone(), &behind);
        check(&all, [&both, &behind], &taken)?;
        // And one that went on from there, the other way round.
        let third = after(opened(&all, 3, "c"), &last, &mut taken);
        check(&adopted(third.clone(), &all), [&third, &all], &taken)?;
    }

    #[test]
    fn a_third_session_that_knows_only_one_of_two_that_met_loses_nothing(
        (first, ours, theirs, later, last) in (deeds(), deeds(), deeds(), deeds(), deeds())
    ) {
        let mut taken = Vec::new();
        let common = after(serving("a", "c1"), &first, &mut taken);
        let winner = after(opened(&common, 2, "a"), &ours, &mut taken);
        let loser = after(opened(&common, 2, "b"), &theirs, &mut taken);
        let mut taken_later = Vec::new();
        let both = after(adopted(winner, &loser), &later, &mut taken_later);
        let same = |thing: &Thing| taken_later.iter().any(|(kind, name, _)| (*kind, name) == (thing.0, &thing.1));
        taken.extend(things(&loser).into_iter().filter(same));
        taken.extend(taken_later.iter().cloned());
        let third = after(opened(&loser, 3, "c"), &last, &mut taken);
        check(&adopted(third.clone(), &both), [&third, &both], &taken)?;
        check(&adopted(both.clone(), &third), [&third, &both], &taken)?;
    }
}

fn check(merged: &State, sources: [&State; 2], taken: &[Thing]) -> Result<(), TestCaseError> {
    let there = things(merged);
    for thing in &there {
        prop_assert!(!taken.contains(thing), "{thing:?} is back");
    }
    let out = |(kind, name, _): &Thing| {
        let key = |state: &State| state.identity.admitted.get(&node(name)).cloned();
        let is_out = |key| merged.identity.revoked.contains_key(&key);
        match *kind {
            "admitted" => sources.iter().any(|source| key(source).is_some_and(is_out)),
            // With its node.
            "drained" => key(merged).is_none() && sources.iter().any(|source| key(source).is_some()),
            _ => false,
        }
    };
    for thing in sources.iter().flat_map(|source| things(source)).filter(|thing| !taken.contains(thing) && !out(thing))
    {
        let (kind, name, _) = &thing;
        prop_assert!(there.iter().any(|(k, n, _)| k == kind && n == name), "{thing:?} is lost");
    }
    for source in sources {
        for key in source.identity.revoked.keys() {
            prop_assert!(merged.identity.revoked.contains_key(key), "{key} is nobody's any more");
        }
    }
    Ok(())
}

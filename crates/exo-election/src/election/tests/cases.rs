//! Cases recorded from EXO's election, as far as this design keeps them.
//!
//! Translated: EXO's clock is the generation here. Left out: `elect-order-07`, `elect-13` and `elect-14`, since there are
//! no candidates that must not win (a node without a master takes no part); `elect-01`'s instant victory with clock 0,
//! since a master listens before it founds. Turned round: `elect-05` (seniority grew with the messages that were
//! counted), `elect-07` and `elect-17` (a link that comes or goes started a round).

use super::*;

#[test]
fn the_order_of_candidates_is_exos() {
    let candidate = |generation, seniority, commands_seen, master: &str| Candidate {
        session: session(generation, master),
        seniority,
        commands_seen,
    };
    for (id, winner, loser) in [
        ("elect-order-01", candidate(2, 0, 0, "a"), candidate(1, 99, 0, "b")),
        ("elect-order-02", candidate(1, 3, 0, "a"), candidate(1, 2, 1000, "b")),
        ("elect-order-03", candidate(1, 0, 6, "a"), candidate(1, 0, 5, "z")),
        ("elect-order-04", candidate(1, 0, 0, "node-9"), candidate(1, 0, 0, "node-10")),
        ("elect-order-05", candidate(1, 0, 0, "a"), candidate(1, 0, 0, "Z")),
    ] {
        assert!(winner > loser, "{id}");
    }
}

/// A master "ME" that leads its own session, which has done so much.
fn leader_of_its_own(commands_seen: u64) -> (Election, Instant) {
    let now = start();
    let own = leading(OwnLog { commands_seen, ..log(1, "ME", &["ME"]) });
    let mut election = Election::new(now, options("ME"), own);
    pass(&mut election, now, LISTEN);
    (election, now + LISTEN)
}

#[test]
fn elect_01_a_master_alone_leads() {
    let (mut election, now) = leader_of_its_own(0);
    assert!(election.may_serve() && pass(&mut election, now, TAKE_OVER * 9).is_empty());
}

#[test]
fn elect_05_seniority_is_what_is_configured_however_many_were_heard() {
    let (mut election, now) = leader_of_its_own(9);
    for name in ["A", "B"] {
        see(&mut election, now, name, presence(1, name, 0, &[name]));
    }
    pass(&mut election, now, SETTLE * 9);
    let own = leading(OwnLog { commands_seen: 10, term: 2, ..log(1, "ME", &["ME"]) });
    election.on_log(now + SETTLE * 9, own);
    let said = outputs(&mut election);
    let seniorities = said.iter().filter_map(|output| match output {
        Output::Present(presence) => Some(presence.candidate.seniority),
        _ => None,
    });
    assert_eq!(seniorities.collect::<Vec<_>>(), [0]);
}

#[test]
fn elect_07_and_17_links_that_come_and_go_start_nothing() {
    let (mut election, now) = leader_of_its_own(0);
    for round in 0..9 {
        let at = now + Duration::from_millis(10) * round;
        election.on_process(at, "w".to_owned(), node("w"), true, None);
        election.on_process_left(at, "w");
        assert_eq!(deeds(&mut election), []);
    }
}

#[test]
fn elect_08_more_commands_break_the_tie() {
    let (mut election, now) = leader_of_its_own(50);
    see(&mut election, now, "PEER", presence(1, "PEER", 5, &["PEER"]));
    assert_eq!(pass(&mut election, now, SETTLE * 9), []);
}

#[test]
fn elect_10_the_larger_generation_counts_whenever_it_comes() {
    let (mut election, now) = leader_of_its_own(0);
    see(&mut election, now, "A", presence(2, "A", 0, &["A"]));
    assert_eq!(pass(&mut election, now, SETTLE / 3), []);
    let larger = MasterPresence { term: 9, ..presence(3, "B", 0, &["B"]) };
    see(&mut election, now + SETTLE / 3, "B", larger);
    assert_eq!(pass(&mut election, now + SETTLE / 3, SETTLE), [join(3, "B", "B")]);
}

/// exo#2197: with equal clocks, a message that came after the round was counted never, and two masters led.
#[test]
fn exo_2197_equal_claims_do_not_wedge() {
    for late in [Duration::ZERO, SETTLE, TAKE_OVER, TAKE_OVER * 100] {
        let (mut me, now) = leader_of_its_own(0);
        let own = leading(OwnLog { commands_seen: 0, ..log(1, "YOU", &["YOU"]) });
        let mut you = Election::new(now, options("YOU"), own);
        pass(&mut you, now, LISTEN);
        see(&mut me, now + late, "YOU", presence(1, "YOU", 0, &["YOU"]));
        see(&mut you, now + late, "ME", presence(1, "ME", 0, &["ME"]));
        let (of_me, of_you) = (pass(&mut me, now + late, SETTLE), pass(&mut you, now + late, SETTLE));
        assert_eq!((of_me, of_you), (vec![join(1, "YOU", "YOU")], vec![]), "after {late:?}");
    }
}

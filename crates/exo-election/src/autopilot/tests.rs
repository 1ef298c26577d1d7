use super::*;
use proptest::prelude::*;

const GRACE: Duration = Duration::from_secs(10);

fn member(name: &str) -> LogMember {
    LogMember { node_id: node(name), raft_id: 1 }
}

fn node(name: &str) -> NodeId {
    NodeId::new(name).expect("a good id")
}

fn set(names: &str) -> BTreeSet<LogMember> {
    names.split_whitespace().map(member).collect()
}

/// Everybody is there and has everything, unless they are named.
fn members(voters: &str, learners: &str, away: &str, behind: &str, gone: &str) -> Members {
    let roster = Roster { voters: set(voters), learners: set(learners) };
    let all: BTreeSet<LogMember> = roster.voters.union(&roster.learners).cloned().collect();
    Members {
        caught_up: all.difference(&set(behind)).cloned().collect(),
        absent: away.split_whitespace().map(|name| (node(name), GRACE)).collect(),
        gone: gone.split_whitespace().map(node).collect(),
        current: BTreeMap::new(),
        own: None,
        roster,
    }
}

fn names(members: &BTreeSet<LogMember>) -> String {
    members.iter().map(|member| member.node_id.as_str()).collect::<Vec<_>>().join(" ")
}

#[test]
fn voters_are_few_odd_and_there() {
    for (voters, learners, away, behind, gone, expect) in [
        ("a", "", "", "", "", None),
        ("a", "b", "", "", "", Some(("a b", ""))),
        ("a", "b", "", "b", "", None),
        ("a b", "c", "", "", "", Some(("a b c", ""))),
        ("a b c", "d", "", "", "", None),
        ("a b c", "d e", "", "", "", Some(("a b c d e", ""))),
        ("a b c", "d e f g", "", "", "", Some(("a b c d e", "f g"))),
        // A voter that is away is replaced, if there is somebody.
        ("a b c", "", "c", "", "", None),
        ("a b c", "d", "c", "", "", Some(("a b d", ""))),
        ("a b c", "d", "c", "d", "", None),
        ("a b c", "d", "c d", "", "", None),
        ("a b c d e", "", "d e", "", "", None),
        ("a b c d e", "f", "d e", "", "", Some(("a b c e f", ""))),
        // Who leaves is taken out, and the number stays odd.
        ("a b c", "", "", "", "c", Some(("a b", ""))),
        ("a b", "", "", "", "b", Some(("a", ""))),
        ("a b c", "d", "", "", "c", Some(("a b d", ""))),
        ("a b c d e", "", "", "", "e", Some(("a b c", "d"))),
        ("a b c d e", "", "b", "", "e", Some(("a c d", ""))),
        ("a b c", "d", "", "", "d", Some(("a b c", ""))),
        // Not when those who are left could not acknowledge it.
        ("a b c", "d", "a", "d", "b", None),
        ("a b c", "d", "a", "", "b", Some(("c d", ""))),
        ("a b c", "", "a", "", "b", None),
        ("a", "", "", "", "a", None),
    ] {
        let plan = plan_roster(&members(voters, learners, away, behind, gone), GRACE);
        let plan = plan.map(|roster| (names(&roster.voters), names(&roster.learners)));
        let expect = expect.map(|(voters, learners): (&str, &str)| (voters.to_owned(), learners.to_owned()));
        assert_eq!(plan, expect, "voters {voters}, learners {learners}, away {away}, behind {behind}, gone {gone}");
    }
}

#[test]
fn a_restart_changes_nothing() {
    let mut members = members("a b c", "d e", "", "d e", "");
    for seconds in 0..10 {
        members.absent.insert(node("c"), Duration::from_secs(seconds));
        assert_eq!(plan_roster(&members, GRACE), None);
    }
}

#[test]
fn a_node_that_lost_its_log_does_not_vote_with_the_old_one() {
    let mut members = members("a b c", "", "", "", "");
    let again = LogMember { raft_id: 2, ..member("c") };
    members.roster.learners.insert(again.clone());
    members.current.insert(node("c"), 2);
    let roster = plan_roster(&members, GRACE).expect("the old one goes");
    assert_eq!((names(&roster.voters).as_str(), roster.learners.contains(&again)), ("a b", true));
    members.caught_up.insert(again.clone());
    let roster = plan_roster(&members, GRACE).expect("the old one is replaced");
    assert!(roster.voters.len() == 3 && roster.voters.contains(&again));
}

#[test]
fn a_learner_that_is_away_for_long_is_not_sent_the_log() {
    let mut members = members("a", "b", "", "b", "");
    members.absent.insert(node("b"), GRACE * LEARNER_GRACES - Duration::from_secs(1));
    assert_eq!(plan_roster(&members, GRACE), None);
    members.absent.insert(node("b"), GRACE * LEARNER_GRACES);
    assert_eq!(plan_roster(&members, GRACE), Some(Roster { voters: set("a"), learners: set("") }));
}

fn any_members() -> impl Strategy<Value = Members> {
    let one = || (0u8..4, any::<bool>(), prop::option::of(0u64..2000), prop::bool::weighted(0.2), 0u64..5);
    prop::collection::vec(one(), 1..9).prop_map(|all| {
        let mut members = Members::default();
        let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
        for ((kind, caught_up, absent, gone, current), name) in all.into_iter().zip(names) {
            let member = member(name);
            let may_vote = members.roster.voters.len() < MOST_VOTERS;
            let set = if kind < 3 && may_vote { &mut members.roster.voters } else { &mut members.roster.learners };
            set.insert(member.clone());
            if caught_up {
                members.caught_up.insert(member);
            }
            if let Some(seconds) = absent.filter(|_| name != "a") {
                members.absent.insert(node(name), Duration::from_secs(seconds));
            }
            if gone {
                members.gone.insert(node(name));
            }
            if current == 2 {
                members.current.insert(node(name), 2);
            }
        }
        members
    })
}

proptest! {
    #[test]
    fn a_plan_is_sound_and_final(members in any_members()) {
        let Some(roster) = plan_roster(&members, GRACE) else { return Ok(()) };
        let before = &members.roster;
        prop_assert!(!roster.voters.is_empty() && roster.voters.len() <= MOST_VOTERS);
        prop_assert!(roster.voters.len() <= 2 || roster.voters.len() % 2 == 1);
        prop_assert!(roster.voters.is_disjoint(&roster.learners));
        for voter in &roster.voters {
            let is_new = !before.voters.contains(voter);
            prop_assert!(!is_new || (before.learners.contains(voter) && members.caught_up.contains(voter)));
            prop_assert!(!members.gone.contains(&voter.node_id));
        }
        let there = roster.voters.iter().filter(|voter| !members.absent.contains_key(&voter.node_id)).count();
        prop_assert!(roster.voters == before.voters || there * 2 > roster.voters.len());
        let is_away = |voter: &&LogMember| members.absent.get(&voter.node_id).is_some_and(|absent| *absent >= GRACE);
        let away_before = before.voters.iter().filter(is_away).count();
        prop_assert!(roster.voters.iter().filter(is_away).count() <= away_before);
        let after = Members { roster: roster.clone(), ..members };
        prop_assert_eq!(plan_roster(&after, GRACE), None, "and then nothing has to change: {:?}", roster);
    }
}

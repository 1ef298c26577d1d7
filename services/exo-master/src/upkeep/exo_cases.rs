//! Cases recorded from EXO's master about nodes that are gone.
//!
//! Translated: EXO counts 30 s from the last message of a node, here the grace counts from the end of its presence; it is
//! 30 s here too, so that the recorded times mean the same. Turned round: liveness-01 (there the instance was deleted, and
//! its requests waited for ever; here it is placed anew).

use super::tests::{nodes_of, placed};
use super::*;
use crate::presence::{Patience, Presence};
use crate::testing::{CIRCUMSTANCES, node};
use std::time::{Duration, Instant};

const GRACE: Duration = Duration::from_secs(30);

/// Where "m" runs, which was placed on a and b, and who is there when b was last seen so long ago.
fn with_b_gone_for(seconds: u64) -> (Vec<Vec<String>>, Vec<String>) {
    let now = Instant::now();
    let grace = Patience { lost: GRACE, placed: GRACE };
    let mut presence = Presence::new(grace, grace);
    for name in ["a", "b"] {
        presence.on_joined(now - GRACE, name.to_owned(), node(name));
    }
    presence.on_left(now - Duration::from_secs(seconds), "b");
    let lost = Lost { now: presence.lost(now).cloned().collect(), lately: presence.left_lately(now) };
    let mut draft = Draft::new(placed(&[("a", 2000), ("b", 2000)], 2));
    let complaints = upkeep(&mut draft, &lost, &[], &CIRCUMSTANCES);
    assert!(complaints.is_empty(), "{complaints:?}");
    let owned = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect();
    let there = draft.state().topology.nodes.iter().map(ToString::to_string).collect();
    (nodes_of(draft.state()).into_iter().map(owned).collect(), there)
}

#[test]
fn liveness_01_what_a_node_held_that_is_gone_is_placed_anew() {
    assert_eq!(with_b_gone_for(30), (vec![vec!["a".to_owned()]], vec!["a".to_owned()]));
}

#[test]
fn liveness_03_a_node_that_was_heard_29_s_ago_is_not_marked() {
    let both = vec!["a".to_owned(), "b".to_owned()];
    assert_eq!(with_b_gone_for(29), (vec![both.clone()], both));
}

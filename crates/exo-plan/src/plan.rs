//! The plan itself.

mod reports;

pub(crate) use reports::moved_enough;
mod runners;

use crate::{Action, Backoff, LocalNode};
use exo_state::State;
use std::time::Instant;

/// What to do now, and when to ask again if nothing happens before.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// In this order.
    pub actions: Vec<Action>,
    /// When a back-off ends.
    pub wake_at: Option<Instant>,
}

/// Says what the worker of a node does, given the State, what is on the node, and the time.
///
/// Without a session there is nothing to match, and nobody to tell: the plan is empty.
pub fn plan(state: &State, local: &LocalNode, backoff: &Backoff, now: Instant) -> Plan {
    let mut plan = Plan::default();
    if state.session.is_none() {
        return plan;
    }
    runners::stop_unwanted(state, local, &mut plan);
    runners::start_missing(state, local, backoff, now, &mut plan);
    runners::connect_loaded(state, local, &mut plan);
    reports::report_node(state, local, &mut plan);
    reports::report_downloads(state, local, &mut plan);
    reports::report_connections(state, local, &mut plan);
    reports::report_runners(state, local, &mut plan);
    plan
}

#[cfg(test)]
mod tests;

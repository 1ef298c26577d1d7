//! Starting, connecting and stopping runners.

use crate::{Action, Backoff, ConnectOrder, LocalNode, LocalRunner, PeerRank, Plan};
use exo_state::State;
use exo_types::{Instance, RunnerId, RunnerStatus};
use std::sync::Arc;
use std::time::Instant;

/// What no instance of the State gives this node is ended.
pub(super) fn stop_unwanted(state: &State, local: &LocalNode, plan: &mut Plan) {
    for (runner_id, runner) in &local.runners {
        let instance = state.instances.get(&runner.instance_id);
        let wanted = instance.and_then(|instance| instance.runner_on(&local.node_id));
        let is_wanted = wanted.is_some_and(|(id, _)| id == runner_id);
        if !is_wanted && runner.status != RunnerStatus::RunnerShuttingDown {
            let instance_id = runner.instance_id.clone();
            plan.actions.push(Action::StopRunner { runner_id: runner_id.clone(), instance_id });
        }
    }
}

/// What an instance gives this node and does not run is started, at once or when its back-off ends.
pub(super) fn start_missing(state: &State, local: &LocalNode, backoff: &Backoff, now: Instant, plan: &mut Plan) {
    for instance in state.instances.values() {
        let Some((runner_id, shard)) = instance.runner_on(&local.node_id) else { continue };
        let Some((at, losses)) = start_time(local.runners.get(runner_id), backoff, now) else { continue };
        if at > now {
            plan.wake_at = Some(plan.wake_at.map_or(at, |earlier| earlier.min(at)));
            continue;
        }
        plan.actions.push(Action::StartRunner {
            runner_id: runner_id.clone(),
            instance: Arc::new(instance.clone()),
            shard: shard.clone(),
            losses,
        });
    }
}

/// When to start it, after how many losses; none if it runs or another try cannot help.
fn start_time(runner: Option<&LocalRunner>, backoff: &Backoff, now: Instant) -> Option<(Instant, u32)> {
    let Some(runner) = runner else { return Some((now, 0)) };
    match &runner.status {
        RunnerStatus::RunnerShutdown => Some((now, 0)),
        RunnerStatus::RunnerFailed { failure } if failure.retry => {
            Some((runner.since + backoff.after(failure.attempt), failure.attempt))
        }
        _ => None,
    }
}

/// Runners that have loaded connect when every rank has. Each is told once, and again as long as it is not ready when
/// the State shows another life of a rank that it calls: the one that it was told of is gone and will never answer.
pub(super) fn connect_loaded(state: &State, local: &LocalNode, plan: &mut Plan) {
    for (runner_id, runner) in &local.runners {
        let (RunnerStatus::RunnerLoaded { incarnation, .. } | RunnerStatus::RunnerConnecting { incarnation, .. }) =
            runner.status
        else {
            continue;
        };
        let Some(instance) = state.instances.get(&runner.instance_id) else { continue };
        if !others_have_loaded(state, instance, runner_id) {
            continue;
        }
        let Some(peers) = peers(state, instance, runner_id) else { continue };
        let order = ConnectOrder { incarnation, peers };
        if runner.told_to_connect.as_ref() != Some(&order) {
            plan.actions.push(Action::ConnectRunner { runner_id: runner_id.clone(), order });
        }
    }
}

/// Whether every other rank has its layers. One that is ready already is one that this rank is not needed for, or one
/// that has yet to notice a broken link: waiting for it would let two ranks wait for each other.
fn others_have_loaded(state: &State, instance: &Instance, own: &RunnerId) -> bool {
    use RunnerStatus::{RunnerConnecting, RunnerLoaded, RunnerReady};
    let mut others = instance.shard_assignments.runner_to_shard.keys().filter(|id| *id != own);
    others.all(|id| {
        let status = state.runners.get(id);
        matches!(status, Some(RunnerLoaded { .. } | RunnerConnecting { .. } | RunnerReady { .. }))
    })
}

/// The ranks that it calls; none while one of them does not listen.
fn peers(state: &State, instance: &Instance, own: &RunnerId) -> Option<Vec<PeerRank>> {
    let ranks = instance.ranks();
    let (_, _, shard) = ranks.iter().find(|(_, runner, _)| *runner == own)?;
    let peer = |rank: u32| {
        let (node_id, runner_id, _) = ranks.get(rank as usize)?;
        // A ready one has its links: that is a life of it that has not noticed the loss yet.
        let (endpoint, incarnation) = match state.runners.get(*runner_id)? {
            RunnerStatus::RunnerLoaded { tensor_endpoint, incarnation }
            | RunnerStatus::RunnerConnecting { tensor_endpoint, incarnation } => {
                (tensor_endpoint.clone()?, *incarnation)
            }
            _ => return None,
        };
        Some(PeerRank { rank, node_id: (*node_id).clone(), runner_id: (*runner_id).clone(), endpoint, incarnation })
    };
    shard.calls().into_iter().map(peer).collect()
}

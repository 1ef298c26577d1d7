//! `GET /cluster`: who leads, who votes, how far each log is.

use crate::app::App;
use crate::models::json;
use crate::other_clusters::OtherClusters;
use crate::refusals::{Refusals, refusals, standing};
use exo_http::{Reply, Route};
use exo_types::{EventIndex, MasterRole, MasterStanding, NodeId, SessionId};
use futures::future::join_all;
use serde::Serialize;
use std::collections::BTreeSet;
use std::sync::Arc;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Cluster {
    /// The session that this node follows.
    session: Option<SessionId>,
    leader: Option<NodeId>,
    /// Of the leader; of whoever has the largest while there is none.
    term: u64,
    voters: BTreeSet<NodeId>,
    learners: BTreeSet<NodeId>,
    /// The last event in the State of this node.
    applied: EventIndex,
    /// The last event in the State of the leader, if it answers.
    leader_applied: Option<EventIndex>,
    masters: Vec<Master>,
    /// What this node refused since it started.
    refusals: Refusals,
    other_clusters: OtherClusters,
}

/// One master, as it says itself; only its name if it is silent.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Master {
    node_id: NodeId,
    reachable: bool,
    role: Option<MasterRole>,
    term: Option<u64>,
    applied: Option<EventIndex>,
    /// Entries of the log by which it is behind the leader, as the leader knows.
    lag: Option<u64>,
    /// Why its log takes no part, and what to do.
    fault: Option<String>,
}

pub(crate) fn routes(app: &Arc<App>) -> Vec<Route> {
    let app = app.clone();
    vec![Route::get("/cluster", move |_request| {
        let app = app.clone();
        async move { Ok(reply(&app).await) }
    })]
}

async fn reply(app: &App) -> Reply {
    let view = app.view();
    let ask = |node: NodeId| async move {
        let standing = standing(&app.bus, &node).await;
        (node, standing)
    };
    let answers = join_all(view.masters.iter().cloned().map(ask)).await;
    let of_session = |standing: &&MasterStanding| standing.session == view.session;
    let known = || answers.iter().filter_map(|(_, standing)| standing.as_ref()).filter(of_session);
    let leading = known().filter(|standing| standing.role == MasterRole::Leader).max_by_key(|standing| standing.term);
    let best = leading.or_else(|| known().max_by_key(|standing| standing.term)).cloned().unwrap_or_default();
    let silent = best.voters.iter().chain(&best.learners).filter(|node| !view.masters.contains(*node));
    let silent: Vec<_> = silent.map(|node| (node.clone(), None)).collect();
    let lag = |node: &NodeId| leading.and_then(|leader| leader.lag.get(node).copied());
    let master = |(node_id, standing): (NodeId, Option<MasterStanding>)| Master {
        reachable: standing.is_some(),
        role: standing.as_ref().map(|standing| standing.role),
        term: standing.as_ref().map(|standing| standing.term),
        applied: standing.as_ref().map(|standing| standing.applied),
        lag: lag(&node_id),
        fault: standing.and_then(|standing| standing.fault),
        node_id,
    };
    let own = answers.iter().find(|(node, _)| node == app.node.node_id());
    let own = own.and_then(|(_, standing)| standing.as_ref()).map(|standing| &standing.counters);
    let refusals = refusals(&app.bus, own);
    let leader_applied = leading.map(|standing| standing.applied);
    let masters = answers.clone().into_iter().chain(silent).map(master).collect();
    json(&Cluster {
        session: view.session.clone(),
        leader: view.leader.clone(),
        term: best.term,
        voters: best.voters,
        learners: best.learners,
        applied: view.state.last_event_applied_idx,
        leader_applied,
        masters,
        refusals,
        other_clusters: OtherClusters::of(app),
    })
}

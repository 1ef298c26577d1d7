//! What people read of a cluster: its masters, nodes, placed models and runners.

use crate::table::{bold, render};
use exo_state::State;
use exo_types::{EventIndex, Instance, Intent, MasterRole, NodeId, RunnerId, RunnerStatus, SessionId, Shard};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// What `GET /cluster` tells.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ClusterReport {
    pub(crate) session: Option<SessionId>,
    pub(crate) leader: Option<NodeId>,
    pub(crate) term: u64,
    pub(crate) voters: BTreeSet<NodeId>,
    pub(crate) applied: EventIndex,
    pub(crate) leader_applied: Option<EventIndex>,
    pub(crate) masters: Vec<MasterReport>,
    /// By part of exo and reason.
    pub(crate) refusals: BTreeMap<String, BTreeMap<String, u64>>,
    pub(crate) other_clusters: OtherClustersReport,
}

/// Clusters that this node does not belong to.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct OtherClustersReport {
    pub(crate) found: Vec<FoundCluster>,
    pub(crate) remedy: Option<String>,
}

/// One of them.
#[derive(Debug, Deserialize)]
pub(crate) struct FoundCluster {
    pub(crate) cluster: String,
    pub(crate) address: String,
}

/// One master.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MasterReport {
    pub(crate) node_id: NodeId,
    pub(crate) reachable: bool,
    pub(crate) role: Option<MasterRole>,
    pub(crate) term: Option<u64>,
    pub(crate) applied: Option<EventIndex>,
    pub(crate) lag: Option<u64>,
    #[serde(default)]
    pub(crate) fault: Option<String>,
}

impl ClusterReport {
    /// Who leads, and how far everybody is.
    pub(crate) fn render(&self, state: &State) -> String {
        let Some(session) = &self.session else {
            return format!("This node has not found the cluster yet.\n{}", self.others());
        };
        let opened_by = name_of(state, &session.master_node_id);
        let mut text = format!("{} {}, opened by {opened_by}\n", bold("Session:"), session.generation);
        match &self.leader {
            Some(leader) => {
                text.push_str(&format!("{} {}, term {}\n", bold("Leader:"), name_of(state, leader), self.term))
            }
            None => text.push_str(&format!("{} none; placed models go on, nothing new is accepted\n", bold("Leader:"))),
        }
        text.push_str(&format!("{} {}{}\n", bold("Log:"), self.log(), self.quorum()));
        text.push_str(&self.others());
        text.push_str(&self.refused());
        let rows: Vec<Vec<String>> = self.masters.iter().map(|master| master.row(self, state)).collect();
        text.push_str(&format!("\n{}\n", bold(&format!("Masters: {}", self.masters.len()))));
        text.push_str(&render(&["NAME", "NODE", "ROLE", "VOTES", "TERM", "EVENT", "BEHIND"], &rows));
        for master in &self.masters {
            if let Some(fault) = &master.fault {
                text.push_str(&format!("{} {fault}\n", bold(&format!("{}:", name_of(state, &master.node_id)))));
            }
        }
        text
    }

    /// Other clusters: what to do where this node is alone, else that they are there.
    fn others(&self) -> String {
        if let Some(remedy) = &self.other_clusters.remedy {
            return format!("{} {remedy}\n", bold("Attention:"));
        }
        let found = self.other_clusters.found.iter().map(|found| format!("{} at {}", found.cluster, found.address));
        let found: Vec<String> = found.collect();
        if found.is_empty() { String::new() } else { format!("{} {}\n", bold("Other clusters:"), found.join(", ")) }
    }

    /// What this node refused, if it refused anything.
    fn refused(&self) -> String {
        let of_part = |(part, reasons): (&String, &BTreeMap<String, u64>)| {
            let reasons: Vec<String> = reasons.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
            format!("{} ({part})", reasons.join(", "))
        };
        let parts = self.refusals.iter().filter(|(_, reasons)| !reasons.is_empty()).map(of_part);
        let parts: Vec<String> = parts.collect();
        if parts.is_empty() { String::new() } else { format!("{} {}\n", bold("Refused:"), parts.join("; ")) }
    }

    fn log(&self) -> String {
        match self.leader_applied {
            Some(leader) if leader > self.applied => {
                format!("event {leader}, this node is {} behind", leader.0 - self.applied.0)
            }
            _ => format!("event {}", self.applied),
        }
    }

    /// How many voters may fail.
    fn quorum(&self) -> String {
        let voters = self.voters.len();
        if voters == 0 {
            return String::new();
        }
        let is_there = |node: &&NodeId| self.masters.iter().any(|master| master.node_id == **node && master.reachable);
        let there = self.voters.iter().filter(is_there).count();
        let needed = voters / 2 + 1;
        match there.checked_sub(needed) {
            Some(spare) => format!(", {there} of {voters} voters are there, {spare} may fail"),
            None => format!(", {there} of {voters} voters are there, {needed} are needed"),
        }
    }
}

impl MasterReport {
    fn row(&self, cluster: &ClusterReport, state: &State) -> Vec<String> {
        let or_nothing = |number: Option<String>| number.unwrap_or_else(|| "-".to_owned());
        let behind = match (cluster.leader_applied, self.applied) {
            (Some(leader), Some(own)) => Some(leader.0.saturating_sub(own.0)),
            _ => self.lag,
        };
        let role = match (self.reachable, self.role) {
            (false, _) | (true, None) => "silent".to_owned(),
            (true, Some(role)) => role.to_string(),
        };
        vec![
            name_of(state, &self.node_id),
            short(self.node_id.as_str()).to_owned(),
            role,
            if cluster.voters.contains(&self.node_id) { "yes" } else { "no" }.to_owned(),
            or_nothing(self.term.map(|term| term.to_string())),
            or_nothing(self.applied.map(|applied| applied.to_string())),
            or_nothing(behind.map(|behind| behind.to_string())),
        ]
    }
}

/// Nodes, and what is placed on them.
pub(crate) fn overview(state: &State) -> String {
    let nodes: Vec<Vec<String>> = state.topology.nodes.iter().map(|node| node_row(state, node)).collect();
    let mut text = format!("{}\n", bold(&format!("Nodes: {}", nodes.len())));
    text.push_str(&render(&["NAME", "NODE", "ADDRESS", "CORES", "MEMORY FREE", "EXO", "USE"], &nodes));
    let instances: Vec<Vec<String>> =
        state.instances.values().flat_map(|instance| instance_rows(state, instance)).collect();
    text.push_str(&format!("\n{}\n", bold(&format!("Placed models: {}", state.instances.len()))));
    if instances.is_empty() {
        text.push_str("none; place one with `exo place MODEL`\n");
    } else {
        text.push_str(&render(&["MODEL", "INSTANCE", "RANK", "NODE", "LAYERS", "RUNNER"], &instances));
    }
    let open: Vec<Vec<String>> = state.open_intents().map(intent_row).collect();
    if !open.is_empty() {
        text.push_str(&format!("\n{}\n", bold(&format!("Wanted, and placed as soon as it fits: {}", open.len()))));
        text.push_str(&render(&["MODEL", "INTENT", "MIN NODES", "ONLY ON"], &open));
    }
    text
}

fn intent_row(intent: &Intent) -> Vec<String> {
    let only_on: Vec<&str> = intent.place.node_ids.iter().map(|node| short(node.as_str())).collect();
    vec![
        intent.place.model_id.to_string(),
        short(intent.id.as_str()).to_owned(),
        intent.place.min_nodes.to_string(),
        if only_on.is_empty() { "any".to_owned() } else { only_on.join(", ") },
    ]
}

fn node_row(state: &State, node: &NodeId) -> Vec<String> {
    let info = state.node_identities.get(node);
    let memory = state.node_memory.get(node);
    vec![
        name_of(state, node),
        short(node.as_str()).to_owned(),
        info.and_then(|info| info.addresses.first().cloned()).unwrap_or_default(),
        info.map(|info| info.cpu.physical_cores.to_string()).unwrap_or_default(),
        memory.map(|memory| format!("{} of {}", memory.ram_available, memory.ram_total)).unwrap_or_default(),
        info.map(|info| info.version.clone()).unwrap_or_default(),
        if state.drained_nodes.contains(node) { "drained" } else { "yes" }.to_owned(),
    ]
}

fn instance_rows(state: &State, instance: &Instance) -> Vec<Vec<String>> {
    let row = |(node, runner, shard): (&NodeId, &RunnerId, &Shard)| {
        vec![
            instance.model_card().model_id.to_string(),
            short(instance.instance_id.as_str()).to_owned(),
            shard.device_rank.to_string(),
            name_of(state, node),
            format!("{}-{} of {}", shard.start_layer, shard.end_layer.saturating_sub(1), shard.n_layers),
            describe(state.runners.get(runner)),
        ]
    };
    instance.ranks().into_iter().map(row).collect()
}

/// The name that people gave the node, else the end of its id.
pub(crate) fn name_of(state: &State, node: &NodeId) -> String {
    match state.node_identities.get(node) {
        Some(info) => info.friendly_name.clone(),
        None => short(node.as_str()).to_owned(),
    }
}

/// The last twelve characters: ids begin with the time, so that those of one day begin alike.
pub(crate) fn short(id: &str) -> &str {
    id.char_indices().rev().nth(11).map_or(id, |(start, _)| &id[start..])
}

/// What a runner is at.
pub(crate) fn describe(status: Option<&RunnerStatus>) -> String {
    match status {
        None => "waiting".to_owned(),
        Some(RunnerStatus::RunnerIdle) => "starting".to_owned(),
        Some(RunnerStatus::RunnerLoading { layers_loaded, total_layers }) => {
            format!("loading {layers_loaded}/{total_layers}")
        }
        Some(RunnerStatus::RunnerLoaded { .. }) => "loaded".to_owned(),
        Some(RunnerStatus::RunnerConnecting { .. }) => "connecting".to_owned(),
        Some(RunnerStatus::RunnerReady { .. }) => "ready".to_owned(),
        Some(RunnerStatus::RunnerShuttingDown | RunnerStatus::RunnerShutdown) => "ending".to_owned(),
        Some(RunnerStatus::RunnerFailed { failure }) => format!("failed: {}", failure.error_message),
    }
}

#[cfg(test)]
mod tests;

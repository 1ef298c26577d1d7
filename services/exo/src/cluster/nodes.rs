//! `exo cluster nodes`.

use crate::error::CliError;
use crate::output::{say, write};
use crate::overview::short;
use crate::table::render;
use clap::Args;
use exo_bus::{Neighbour, Traffic};
use exo_service::{CommonArgs, Visit};
use exo_state::State;
use exo_types::{KeyFingerprint, NodeId};
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

const DAY: u64 = 24 * 60 * 60;

/// How.
#[derive(Debug, Args)]
pub(crate) struct NodesArgs {
    #[command(flatten)]
    common: CommonArgs,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: NodesArgs) -> Result<(), CliError> {
    let visit = Visit::begin(&args.common).await?;
    let view = visit.view().await;
    let (mut neighbours, cluster) = (visit.bus.links().neighbours, visit.identity.cluster());
    // A visitor has no link to itself, but its own node is there.
    let own = Neighbour {
        node: visit.identity.node_id(),
        process: visit.bus.process(),
        addresses: Vec::new(),
        admits: false,
        certificate_ends: visit.identity.not_after(),
        traffic: Traffic::default(),
    };
    neighbours.push(own);
    visit.end().await;
    let state = view?.state;
    let members = members(&state, &neighbours);
    if args.json {
        let nodes: Vec<Value> = members.iter().map(Member::to_json).collect();
        return say(format_args!("{:#}", json!({ "cluster": cluster.to_string(), "nodes": nodes })));
    }
    say(format_args!("cluster {}", cluster.short()))?;
    let rows: Vec<Vec<String>> = members.iter().map(Member::to_row).collect();
    write(render(&["NAME", "NODE", "KEY", "STATE", "CERTIFICATE"], &rows))
}

struct Member {
    name: String,
    node: NodeId,
    key: KeyFingerprint,
    state: &'static str,
    /// When the certificate ends, of a node that is there.
    ends: Option<SystemTime>,
}

fn members(state: &State, neighbours: &[Neighbour]) -> Vec<Member> {
    let member = |node: &NodeId, key: &KeyFingerprint, revoked: bool| {
        let linked = neighbours.iter().filter(|neighbour| neighbour.node == *node && !revoked);
        let ends = linked.map(|neighbour| neighbour.certificate_ends).max();
        let state_of = match (revoked, ends) {
            (true, _) => "revoked",
            (false, Some(_)) => "here",
            (false, None) => "away",
        };
        let name = state.node_identities.get(node).map(|info| info.friendly_name.clone()).unwrap_or_default();
        Member { name, node: node.clone(), key: key.clone(), state: state_of, ends }
    };
    let admitted = state.identity.admitted.iter().map(|(node, key)| member(node, key, false));
    let revoked = state.identity.revoked.iter().map(|(key, node)| member(node, key, true));
    admitted.chain(revoked).collect()
}

impl Member {
    fn to_row(&self) -> Vec<String> {
        let key: String = self.key.as_str().chars().take(12).collect();
        let ends = self.ends.map(|ends| {
            let left = ends.duration_since(SystemTime::now()).unwrap_or_default();
            format!("{} days left", left.as_secs() / DAY)
        });
        let node = short(self.node.as_str()).to_owned();
        vec![self.name.clone(), node, key, self.state.to_owned(), ends.unwrap_or_default()]
    }

    fn to_json(&self) -> Value {
        let seconds = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        json!({
            "name": self.name,
            "nodeId": self.node.as_str(),
            "keyFingerprint": self.key.as_str(),
            "state": self.state,
            "certificateEnds": self.ends.map(seconds),
        })
    }
}

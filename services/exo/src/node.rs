//! `exo node`: taking machines out of use, and back.

use crate::cli::ApiArgs;
use crate::client::Client;
use crate::error::CliError;
use crate::output::say;
use crate::overview::{ClusterReport, name_of, short};
use clap::Subcommand;
use exo_state::State;
use exo_types::NodeId;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How often the State is looked at while a node empties.
const GLANCE: Duration = Duration::from_millis(250);
/// Loading a large model elsewhere takes minutes.
const PATIENCE: Duration = Duration::from_secs(900);

#[derive(Debug, Subcommand)]
pub(crate) enum NodeCommand {
    /// Place nothing on a node any more, and move away what runs there
    Drain {
        #[command(flatten)]
        api: ApiArgs,
        /// Its name, its id, or the end of its id as `exo status` shows it
        node: String,
        /// Wait until nothing runs there
        #[arg(long)]
        wait: bool,
    },
    /// Use a drained node again
    Undrain {
        #[command(flatten)]
        api: ApiArgs,
        /// Its name, its id, or the end of its id
        node: String,
    },
    /// Have a node's master give its vote away, so that the machine may go for good
    ///
    /// The others then decide without it: a cluster of three goes on with two, and still with one. Stop exo there
    /// afterwards, and forget the node with `exo node rm`. A node that is only rebooted need not leave.
    Leave {
        #[command(flatten)]
        api: ApiArgs,
        /// Its name, its id, or the end of its id; without it, the node whose api is asked
        node: Option<String>,
    },
    /// Forget a node that does not come back
    Rm {
        #[command(flatten)]
        api: ApiArgs,
        /// Its name, its id, or the end of its id
        node: String,
    },
}

impl NodeCommand {
    fn api(&self) -> &ApiArgs {
        match self {
            Self::Drain { api, .. } | Self::Undrain { api, .. } | Self::Leave { api, .. } | Self::Rm { api, .. } => api,
        }
    }
}

/// Does it.
pub(crate) async fn run(command: NodeCommand) -> Result<(), CliError> {
    let client = &command.api().client();
    let (state, cluster) = tokio::try_join!(client.state(), client.get::<ClusterReport>("/cluster"))?;
    let find = |name: &str| find(&state, &cluster, name);
    match command {
        NodeCommand::Drain { node, wait, .. } => {
            let node = find(&node)?;
            let name = name_of(&state, &node);
            client.post(&format!("/node/{node}/drain"), &json!({})).await?;
            if !wait {
                return say(format_args!("{name} is drained; `exo status` shows what still runs there"));
            }
            wait_until_empty(client, &node).await?;
            say(format_args!("{name} is drained and empty"))
        }
        NodeCommand::Undrain { node, .. } => {
            let node = find(&node)?;
            client.post(&format!("/node/{node}/undrain"), &json!({})).await?;
            say(format_args!("{} is used again", name_of(&state, &node)))
        }
        NodeCommand::Leave { node, .. } => {
            let node = match node {
                Some(node) => find(&node)?,
                None => client.get("/node_id").await?,
            };
            client.post(&format!("/node/{node}/leave"), &json!({})).await?;
            let name = name_of(&state, &node);
            say(format_args!("{name} has given its vote away; stop exo there, then `exo node rm {node}` forgets it"))
        }
        NodeCommand::Rm { node, .. } => {
            let node = find(&node)?;
            let _: Value = client.delete(&format!("/node/{node}")).await?;
            say(format_args!("{} is forgotten", name_of(&state, &node)))
        }
    }
}

async fn wait_until_empty(client: &Client, node: &NodeId) -> Result<(), CliError> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        let state = client.state().await?;
        if !state.instances.values().any(|instance| instance.runner_on(node).is_some()) {
            return Ok(());
        }
        sleep(GLANCE).await;
    }
    Err(CliError::TooLong { what: format!("emptying node {}", short(node.as_str())), seconds: PATIENCE.as_secs() })
}

/// The node that is meant. One that is gone from the State is known by its whole id only, or as a voter.
pub(crate) fn find(state: &State, cluster: &ClusterReport, name: &str) -> Result<NodeId, CliError> {
    let masters = cluster.masters.iter().map(|master| &master.node_id);
    let known: BTreeSet<&NodeId> =
        state.topology.nodes.iter().chain(&state.drained_nodes).chain(&cluster.voters).chain(masters).collect();
    let fits = |node: &&NodeId| {
        let friendly = state.node_identities.get(*node).map(|info| info.friendly_name.as_str());
        node.as_str() == name || short(node.as_str()) == name || friendly == Some(name)
    };
    let found: Vec<&NodeId> = known.into_iter().filter(fits).collect();
    match found.as_slice() {
        [one] => Ok((*one).clone()),
        [] => match NodeId::new(name) {
            Ok(node) if name.len() > 12 => Ok(node),
            _ => Err(CliError::NoNode(name.to_owned())),
        },
        many => {
            let ids: Vec<&str> = many.iter().map(|node| node.as_str()).collect();
            Err(CliError::ManyNodes { name: name.to_owned(), ids: ids.join(", ") })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use exo_types::{Event, EventIndex, IndexedEvent};

    #[test]
    fn a_node_is_found_by_name_by_id_and_by_the_end_of_its_id() {
        let mut state = State::default();
        for (idx, (id, name)) in (1..).zip([("0193c0de-1111111111aa", "atlas"), ("0193c0de-2222222222bb", "twin")]) {
            let info = json!({ "friendlyName": name, "version": "0" });
            let event = json!({ "NodeGatheredInfo": { "nodeId": id, "info": info } });
            let event: Event = serde_json::from_value(event).expect("an event");
            exo_state::apply(&mut state, &IndexedEvent { idx: EventIndex(idx), origin: None, event });
        }
        let voter = NodeId::new("0193c0de-3333333333cc").expect("a good id");
        let cluster = ClusterReport { voters: [voter].into(), ..ClusterReport::default() };
        let found = |name: &str| find(&state, &cluster, name).map(|node| node.to_string());
        for (name, expect) in [
            ("atlas", Some("0193c0de-1111111111aa")),
            ("0193c0de-1111111111aa", Some("0193c0de-1111111111aa")),
            (short("0193c0de-2222222222bb"), Some("0193c0de-2222222222bb")),
            (short("0193c0de-3333333333cc"), Some("0193c0de-3333333333cc")),
            ("0193c0de-gone-long-ago", Some("0193c0de-gone-long-ago")),
            ("nobody", None),
        ] {
            assert_eq!(found(name).ok().as_deref(), expect, "{name}");
        }
        let twin = state.node_identities.values().nth(1).cloned().expect("there");
        state.node_identities.values_mut().for_each(|info| info.clone_from(&twin));
        assert!(matches!(find(&state, &cluster, "twin"), Err(CliError::ManyNodes { .. })));
    }
}

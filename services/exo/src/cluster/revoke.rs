//! `exo cluster revoke`.

use super::token::send;
use crate::error::CliError;
use crate::output::say;
use clap::Args;
use exo_service::{CommonArgs, Visit};
use exo_state::State;
use exo_types::{Command, NodeId};

/// Whom.
#[derive(Debug, Args)]
pub(crate) struct RevokeArgs {
    #[command(flatten)]
    common: CommonArgs,
    /// Its name, its id, or the end of its id, as `exo cluster nodes` shows them
    node: String,
}

pub(super) async fn run(args: RevokeArgs) -> Result<(), CliError> {
    let visit = Visit::begin(&args.common).await?;
    let revoked = revoke(&visit, &args.node).await;
    visit.end().await;
    let node = revoked?;
    say(format_args!("Node {node} is out: its links are closed, and its key opens none any more."))
}

async fn revoke(visit: &Visit, name: &str) -> Result<NodeId, CliError> {
    let view = visit.view().await?;
    let node_id = find(&view.state, name)?;
    send(visit, Command::RevokeNode { node_id: node_id.clone() }).await?;
    Ok(node_id)
}

/// The one node that is meant.
fn find(state: &State, name: &str) -> Result<NodeId, CliError> {
    let is_called = |node: &NodeId| {
        let friendly = state.node_identities.get(node).map(|info| info.friendly_name.as_str());
        node.as_str() == name || friendly == Some(name) || (name.len() >= 6 && node.as_str().ends_with(name))
    };
    let found: Vec<&NodeId> = state.identity.admitted.keys().filter(|node| is_called(node)).collect();
    match found.as_slice() {
        [node] => Ok((*node).clone()),
        [] => Err(CliError::Cluster(format!("no node is called {name}; `exo cluster nodes` lists them"))),
        _ => Err(CliError::Cluster(format!("{} nodes are called {name}; name one by its id", found.len()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use exo_types::KeyFingerprint;

    #[test]
    fn a_node_is_found_by_its_id_and_by_the_end_of_it() {
        let mut state = State::default();
        for node in ["0193c0de-atlas", "0193c0de-attic", "0193c0df-attic"] {
            let key = KeyFingerprint::new("0".repeat(64)).expect("digits");
            state.identity.admitted.insert(NodeId::new(node).expect("a good id"), key);
        }
        let found = |name: &str| find(&state, name).map(|node| node.to_string()).map_err(|error| error.to_string());
        assert_eq!(found("0193c0de-atlas").as_deref(), Ok("0193c0de-atlas"));
        assert_eq!(found("e-attic").as_deref(), Ok("0193c0de-attic"));
        assert!(found("-attic").is_err_and(|error| error.contains("2 nodes")));
        assert!(found("atlas").is_err_and(|error| error.contains("exo cluster nodes")), "too short an end");
    }
}

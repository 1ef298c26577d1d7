//! Clusters that were found and that this node does not belong to.

use crate::app::App;
use exo_bus::ForeignCluster;
use exo_node::View;
use serde::Serialize;

/// What was found, and whether it is likely that this node is meant to belong to it.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OtherClusters {
    /// By fingerprint and address.
    found: Vec<Found>,
    /// No other node belongs to the cluster of this one: it began one of its own and has no token for the others.
    is_alone: bool,
    /// What to do, if this node is alone.
    remedy: Option<String>,
}

#[derive(Debug, Serialize)]
struct Found {
    cluster: String,
    address: String,
}

impl OtherClusters {
    pub(crate) fn of(app: &App) -> Self {
        Self::new(app.bus.links().foreign, &app.view())
    }

    fn new(foreign: Vec<ForeignCluster>, view: &View) -> Self {
        let is_alone = view.state.identity.admitted.len() <= 1;
        let remedy = foreign.first().filter(|_| is_alone).map(ForeignCluster::remedy);
        let found =
            foreign.into_iter().map(|foreign| Found { cluster: foreign.cluster, address: foreign.address.to_string() });
        Self { found: found.collect(), is_alone, remedy }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use exo_state::State;
    use exo_types::{KeyFingerprint, NodeId};
    use std::sync::Arc;

    fn view(nodes: usize) -> View {
        let mut state = State::default();
        for number in 0..nodes {
            let key = KeyFingerprint::new(format!("{number:064}")).expect("digits");
            state.identity.admitted.insert(NodeId::new(format!("n{number}")).expect("a good id"), key);
        }
        View { state: Arc::new(state), ..View::default() }
    }

    #[test]
    fn a_node_that_is_alone_beside_another_cluster_is_told_how_to_join() {
        let foreign = ForeignCluster { cluster: "0123456789ab".to_owned(), address: [10, 0, 0, 7].into() };
        let alone = OtherClusters::new(vec![foreign.clone()], &view(1));
        let remedy = alone.remedy.expect("a remedy");
        assert!(remedy.contains("exo cluster token") && remedy.contains("exo cluster join"), "{remedy}");
        let of_two = OtherClusters::new(vec![foreign], &view(2));
        assert!(of_two.remedy.is_none() && of_two.found.len() == 1, "two clusters side by side are nobody's mistake");
        assert!(OtherClusters::new(Vec::new(), &view(1)).remedy.is_none());
    }
}

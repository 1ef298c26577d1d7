//! Which nodes the cluster knows, and which keys it threw out.

use crate::certificate::Facts;
use crate::error::PeerRefused;
use crate::fingerprint::Fingerprint;
use exo_types::NodeId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What the cluster's State says about its nodes' keys.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Members {
    /// The nodes, and the key of each.
    pub admitted: BTreeMap<NodeId, Fingerprint>,
    /// Keys that were thrown out, and whose they were.
    pub revoked: BTreeMap<Fingerprint, NodeId>,
}

impl Members {
    /// Whether a good certificate is still one of ours. A node that is not known may be newer than what we know.
    pub fn check(&self, facts: &Facts) -> Result<(), PeerRefused> {
        let (key, node) = (facts.key_fingerprint(), &facts.name.node_id);
        if let Some(node) = self.revoked.get(&key) {
            return Err(PeerRefused::Revoked { node: node.to_string() });
        }
        match self.admitted.get(node) {
            Some(known) if *known != key => Err(PeerRefused::OtherKey { node: node.to_string() }),
            _ => Ok(()),
        }
    }

    /// Whether any node but this one is in the cluster.
    pub fn has_others(&self, own: &NodeId) -> bool {
        self.admitted.keys().any(|node| node != own)
    }
}

//! Who belongs to the cluster.

use exo_types::{JoinTokenId, JoinTokenRecord, KeyFingerprint, NodeId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A join token, and whom it admitted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JoinTokenState {
    /// How it is known.
    pub token: JoinTokenRecord,
    /// Whom it admitted.
    #[serde(default)]
    pub used_by: BTreeSet<NodeId>,
}

impl JoinTokenState {
    /// Whether it has admitted all whom it can.
    pub fn is_used_up(&self) -> bool {
        !self.token.reusable && !self.used_by.is_empty()
    }
}

/// Who was let in, and who was thrown out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IdentityState {
    /// What nodes may come in with.
    pub join_tokens: BTreeMap<JoinTokenId, JoinTokenState>,
    /// The key of each node that was let in: nobody else comes under its name.
    pub admitted: BTreeMap<NodeId, KeyFingerprint>,
    /// Keys of nodes that were thrown out: their certificates are refused for as long as they are valid.
    pub revoked: BTreeMap<KeyFingerprint, NodeId>,
}

impl IdentityState {
    /// Whether nobody was ever let in.
    pub fn is_empty(&self) -> bool {
        self.join_tokens.is_empty() && self.admitted.is_empty() && self.revoked.is_empty()
    }
}

//! An identity as bytes, for the disk and for a runner.

use crate::members::Members;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Everything that makes an identity. Shows nothing of it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IdentityParts {
    /// The node's key, as PKCS#8: the secret.
    pub key: Vec<u8>,
    /// Its certificate.
    pub certificate: Vec<u8>,
    /// The authority's certificate.
    pub authority: Vec<u8>,
    /// The authority's key, on nodes that have a master; never given to a runner.
    #[serde(default)]
    pub authority_key: Option<Vec<u8>>,
}

impl fmt::Debug for IdentityParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdentityParts")
    }
}

/// What a runner of a node needs for its links, which are its node's: never the authority's key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunnerIdentity {
    pub(crate) parts: IdentityParts,
    #[serde(default)]
    pub(crate) members: Members,
}

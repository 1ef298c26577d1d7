//! Whom a certificate names: `exo://<cluster>/<namespace>/<node>`.

use crate::fingerprint::Fingerprint;
use exo_types::NodeId;
use std::fmt;

const SCHEME: &str = "exo://";
/// Longest namespace: it stands in every key of the bus.
const NAMESPACE_LIMIT: usize = 64;

/// Which node of which cluster, in which namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerName {
    /// Fingerprint of the authority's certificate.
    pub cluster: Fingerprint,
    /// Processes of different namespaces never exchange a message.
    pub namespace: String,
    /// The node.
    pub node_id: NodeId,
}

impl PeerName {
    /// As it stands in the certificate.
    pub fn to_uri(&self) -> String {
        // `%` stands in no node id, so that this can be undone.
        format!("{SCHEME}{}/{}/{}", self.cluster, self.namespace, self.node_id.as_str().replace('/', "%2F"))
    }

    /// Undoes [`Self::to_uri`]; none for anything else.
    pub fn from_uri(uri: &str) -> Option<Self> {
        let mut parts = uri.strip_prefix(SCHEME)?.split('/');
        let (cluster, namespace, node) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() || !is_namespace(namespace) {
            return None;
        }
        let node_id = NodeId::new(node.replace("%2F", "/")).ok()?;
        Some(Self { cluster: cluster.parse().ok()?, namespace: namespace.to_owned(), node_id })
    }
}

impl fmt::Display for PeerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_uri())
    }
}

/// Whether a text can be a namespace: 1 to 64 ASCII letters, digits and `- _ .`.
pub fn is_namespace(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !text.is_empty() && text.len() <= NAMESPACE_LIMIT && text.chars().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_name_comes_back(node in "[a-zA-Z0-9._/:-]{1,192}", namespace in "[a-zA-Z0-9._-]{1,64}") {
            let node_id = NodeId::new(node).expect("a good id");
            let name = PeerName { cluster: Fingerprint::of(b"ca"), namespace, node_id };
            prop_assert_eq!(PeerName::from_uri(&name.to_uri()), Some(name));
        }

        #[test]
        fn no_text_panics(text in ".{0,200}") {
            let _ = PeerName::from_uri(&text);
            let _ = PeerName::from_uri(&format!("exo://{text}"));
        }
    }

    #[test]
    fn anything_else_is_no_name() {
        let ca = Fingerprint::of(b"ca");
        for bad in [
            String::new(),
            format!("exo://{ca}/lab"),
            format!("exo://{ca}/lab/a/b"),
            format!("exo://{ca}//a"),
            format!("exo://{ca}/l*b/a"),
            format!("exo://{ca}/lab/a%20b"),
            format!("spiffe://{ca}/lab/a"),
            "exo://short/lab/a".to_owned(),
        ] {
            assert_eq!(PeerName::from_uri(&bad), None, "{bad}");
        }
    }
}

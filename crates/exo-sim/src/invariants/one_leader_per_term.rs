//! At most one master leads in each term of a session.

use super::Holds;
use exo_types::{NodeId, SessionId};
use std::collections::BTreeMap;

pub(crate) const NAME: &str = "one leader per term";

#[derive(Debug, Default)]
pub(crate) struct OneLeaderPerTerm {
    leaders: BTreeMap<(SessionId, u64), NodeId>,
}

impl OneLeaderPerTerm {
    /// A master says that it leads.
    pub(crate) fn on_leader(&mut self, session: &SessionId, term: u64, node: &NodeId) -> Holds {
        let first = self.leaders.entry((session.clone(), term)).or_insert_with(|| node.clone());
        if first == node { Ok(()) } else { Err(format!("{first} and {node} both lead {session} in term {term}")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_leaders_of_one_term_are_seen() {
        let node = |name| NodeId::new(name).expect("a good id");
        let session = SessionId { generation: 1, master_node_id: node("a") };
        let mut invariant = OneLeaderPerTerm::default();
        assert!(invariant.on_leader(&session, 1, &node("a")).is_ok());
        assert!(invariant.on_leader(&session, 1, &node("a")).is_ok());
        assert!(invariant.on_leader(&session, 2, &node("b")).is_ok());
        assert!(invariant.on_leader(&session, 1, &node("b")).is_err());
    }
}

//! What a process knows of the cluster.

use exo_state::State;
use exo_types::{NodeId, SessionId};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The cluster as this process sees it now.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// The session that is followed; none before the first was found.
    pub session: Option<SessionId>,
    /// The master that leads it, while it is there.
    pub leader: Option<NodeId>,
    /// All masters of it that are there; each has its log.
    pub masters: BTreeSet<NodeId>,
    /// The State, as far as events have come; kept while there is no master.
    pub state: Arc<State>,
}

impl View {
    /// Whether the State is one that some master's log gave, so that it can be acted upon.
    pub fn is_joined(&self) -> bool {
        self.session.is_some() && self.state.session == self.session
    }
}

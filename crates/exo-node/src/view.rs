//! What a process knows of the cluster.

use exo_state::State;
use exo_types::{ModelId, NodeId, SessionId};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Models that a summary names; a line is for people.
const NAMED: usize = 3;

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

    /// One line for people: session, leader, and the models that answer.
    pub fn summary(&self) -> String {
        let Some(session) = self.session.as_ref().filter(|_| self.is_joined()) else {
            return "looking for the cluster".to_owned();
        };
        let leader = match &self.leader {
            Some(leader) => format!("led by {}", self.name(leader)),
            None => "no master".to_owned(),
        };
        format!("session {}, {leader}, {}", session.generation, serving(&self.state))
    }

    fn name<'a>(&'a self, node: &'a NodeId) -> &'a str {
        self.state.node_identities.get(node).map_or(node.as_str(), |info| &info.friendly_name)
    }
}

/// The models of a State that answer, in words.
pub fn serving(state: &State) -> String {
    let ready = state.instances.values().filter(|instance| state.is_ready(instance));
    let models: BTreeSet<&ModelId> = ready.map(|instance| &instance.model_card().model_id).collect();
    if models.is_empty() {
        return "no model is ready".to_owned();
    }
    let named: Vec<&str> = models.iter().take(NAMED).map(|model| model.as_str()).collect();
    match models.len() - named.len() {
        0 => format!("serving {}", named.join(", ")),
        more => format!("serving {} and {more} more", named.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_tells_what_is_known() {
        let mut view = View::default();
        assert_eq!(view.summary(), "looking for the cluster");
        let master = NodeId::new("m").expect("an id");
        let session = SessionId { generation: 3, master_node_id: master.clone() };
        view.session = Some(session.clone());
        assert_eq!(view.summary(), "looking for the cluster", "no State of that session yet");
        view.state = Arc::new(State { session: Some(session), ..State::default() });
        assert_eq!(view.summary(), "session 3, no master, no model is ready");
        view.leader = Some(master);
        assert_eq!(view.summary(), "session 3, led by m, no model is ready");
    }
}

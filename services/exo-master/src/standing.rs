//! How the log of this master stands, for those who ask.

use exo_log::{LogRole, LogStanding, Member};
use exo_types::{MasterRole, MasterStanding, NodeId};
use std::collections::BTreeSet;

/// As others read it; a master without a session stands by.
pub(crate) fn describe(standing: Option<&LogStanding>) -> MasterStanding {
    let Some(standing) = standing else { return MasterStanding::default() };
    MasterStanding {
        session: standing.session.clone(),
        role: match standing.role {
            LogRole::Leader => MasterRole::Leader,
            LogRole::Follower => MasterRole::Follower,
            LogRole::Learner => MasterRole::Learner,
            LogRole::Candidate => MasterRole::Candidate,
            LogRole::Stopped => MasterRole::StandingBy,
        },
        term: standing.term,
        leader: standing.leader.clone(),
        voters: nodes(&standing.members.voters),
        learners: nodes(&standing.members.learners),
        last_entry: standing.last_log,
        applied: standing.applied,
        lag: standing.lag.iter().map(|(node, lag)| (node.clone(), lag.entries)).collect(),
    }
}

fn nodes(members: &BTreeSet<Member>) -> BTreeSet<NodeId> {
    members.iter().map(|member| member.node_id.clone()).collect()
}

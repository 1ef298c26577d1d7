//! How the log of this master stands, for those who ask.

use exo_bus::Bus;
use exo_log::{LogCounters, LogRole, LogStanding, Member};
use exo_types::{MasterCounters, MasterRole, MasterStanding, NodeId};
use std::collections::BTreeSet;

/// As others read it; a master without a session stands by.
pub(crate) fn describe(bus: &Bus, standing: Option<&LogStanding>, log: LogCounters) -> MasterStanding {
    let counters = counters(bus, log);
    let Some(standing) = standing else { return MasterStanding { counters, ..MasterStanding::default() } };
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
        fault: standing.fault.clone(),
        counters,
    }
}

fn counters(bus: &Bus, log: LogCounters) -> MasterCounters {
    MasterCounters {
        process: bus.process().to_string(),
        refused_by_bus: bus.links().refused,
        refused_by_log: log.refused().into_iter().map(|(reason, count)| (reason.to_owned(), count)).collect(),
        events: log.events,
        record_bytes: log.record_bytes,
        file_bytes: log.file_bytes,
    }
}

fn nodes(members: &BTreeSet<Member>) -> BTreeSet<NodeId> {
    members.iter().map(|member| member.node_id.clone()).collect()
}

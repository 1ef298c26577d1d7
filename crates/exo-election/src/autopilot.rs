//! Who votes. The leader asks this whenever something changed, and lets the log carry it out.
//!
//! Up to five vote, an odd number when there are more than two: an even one survives no more and needs one more to
//! agree. Who restarts stays what it is. A voter that is away for longer than the grace is replaced by a learner that
//! has everything, and stays if there is none: fewer voters would survive less when it comes back. Who leaves for good
//! is taken out before its process ends, once a majority of those who are left is there: others could not even
//! acknowledge the change.

use exo_types::{LogMember, NodeId};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// More voters make every write wait for more disks, and few clusters lose three masters at once.
const MOST_VOTERS: usize = 5;
/// A learner that is away for so many graces is not sent the log any more; it asks when it is back.
const LEARNER_GRACES: u32 = 60;

/// Who takes part in the log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roster {
    /// Whose majority decides.
    pub voters: BTreeSet<LogMember>,
    /// Who is sent the log.
    pub learners: BTreeSet<LogMember>,
}

/// What the leader knows of the members.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Members {
    /// As they are.
    pub roster: Roster,
    /// Those that have everything, or all but what is on the way.
    pub caught_up: BTreeSet<LogMember>,
    /// How long those have not been seen that are not there.
    pub absent: BTreeMap<NodeId, Duration>,
    /// Nodes that leave, or that were removed or thrown out.
    pub gone: BTreeSet<NodeId>,
    /// The log that each node has now, as far as it told: another one of that node will never come back.
    pub current: BTreeMap<NodeId, u64>,
    /// The leader: it goes last.
    pub own: Option<NodeId>,
}

/// Who should take part from now on; none if nothing has to change. `grace`: how long a voter may be away.
pub fn plan_roster(members: &Members, grace: Duration) -> Option<Roster> {
    let is_gone = |member: &LogMember| {
        let has_another = members.current.get(&member.node_id).is_some_and(|raft_id| *raft_id != member.raft_id);
        has_another || members.gone.contains(&member.node_id)
    };
    let is_away = |member: &LogMember, patience: Duration| {
        members.absent.get(&member.node_id).is_some_and(|absent| *absent >= patience)
    };
    let stay = members.roster.voters.iter().filter(|voter| !is_gone(voter)).cloned();
    let (away, mut voters): (BTreeSet<_>, BTreeSet<_>) = stay.partition(|voter| is_away(voter, grace));
    let fit = |learner: &&LogMember| {
        let is_there = !members.absent.contains_key(&learner.node_id);
        is_there && !is_gone(learner) && members.caught_up.contains(*learner)
    };
    let mut spares = members.roster.learners.iter().filter(fit).cloned();
    for voter in away {
        voters.insert(spares.next().unwrap_or(voter));
    }
    let spares: Vec<LogMember> = spares.collect();
    let size = best_size(voters.len() + spares.len());
    let missing = size.saturating_sub(voters.len());
    voters.extend(spares.into_iter().take(missing));
    let surplus = voters.len() - best_size(voters.len());
    for _ in 0..surplus {
        let last = voters
            .iter()
            .max_by_key(|voter| {
                let is_own = members.own.as_ref() == Some(&voter.node_id);
                (is_away(voter, grace), !is_own, voter.node_id.clone())
            })
            .cloned();
        last.map(|last| voters.remove(&last));
    }
    let answering = voters.iter().filter(|voter| !members.absent.contains_key(&voter.node_id)).count();
    if voters.is_empty() || (voters != members.roster.voters && answering * 2 <= voters.len()) {
        return None;
    }
    let replaced = members.roster.voters.difference(&voters).filter(|voter| !is_away(voter, grace));
    let learners = members.roster.learners.iter().filter(|learner| !is_away(learner, grace * LEARNER_GRACES));
    let learners = learners.chain(replaced).filter(|learner| !is_gone(learner) && !voters.contains(*learner));
    let roster = Roster { learners: learners.cloned().collect(), voters };
    (roster != members.roster).then_some(roster)
}

/// How many of so many should vote.
fn best_size(available: usize) -> usize {
    match available.min(MOST_VOTERS) {
        few @ 0..=2 => few,
        more => more - usize::from(more % 2 == 0),
    }
}

#[cfg(test)]
mod tests;

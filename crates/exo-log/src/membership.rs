//! Changing who takes part.

use crate::raft_types::{PeerNode, Raft};
use crate::{EventLog, LogRole, Member, MemberError};
use openraft::ChangeMembers;
use openraft::error::{ChangeMembershipError, ClientWriteError, RaftError};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::timeout;

/// For a change of the members with all its steps.
const DEADLINE: Duration = Duration::from_secs(30);

/// A voter-to-be that lacks more waits as a learner: until it has them, it would only be one more that does not answer.
const BEHIND: u64 = 64;

type Change = ChangeMembers<u64, PeerNode>;

impl EventLog {
    /// Makes these the members. Leader only. New ones become learners first; then the voters change, in two steps so
    /// that no two majorities ever decide apart; then who is none of them any more is removed.
    pub async fn set_members(&self, voters: BTreeSet<Member>, learners: BTreeSet<Member>) -> Result<(), MemberError> {
        let raft = self.shared.raft().ok_or(MemberError::Closed)?;
        check(&voters, &learners)?;
        let changed = timeout(DEADLINE, self.change_members(&raft, &voters, &learners)).await;
        changed.map_err(|_| MemberError::Unknown { reason: "no majority acknowledged it in time".to_owned() })?
    }

    async fn change_members(
        &self,
        raft: &Raft,
        voters: &BTreeSet<Member>,
        learners: &BTreeSet<Member>,
    ) -> Result<(), MemberError> {
        let now = self.shared.machine.members();
        let known: BTreeSet<u64> = now.iter().map(|member| member.raft_id.0).collect();
        let wanted: BTreeMap<u64, PeerNode> = voters.iter().chain(learners).map(node).collect();
        let new: BTreeMap<_, _> = wanted.clone().into_iter().filter(|(id, _)| !known.contains(id)).collect();
        if !new.is_empty() {
            self.change(raft, ChangeMembers::AddNodes(new)).await?;
        }
        let standing = self.standing().borrow().clone();
        if voters != &now.voters || standing.joint {
            self.check_lag(voters, &now.voters)?;
            let ids = voters.iter().map(|member| member.raft_id.0).collect();
            self.change(raft, ChangeMembers::ReplaceAllVoters(ids)).await?;
        }
        let gone: BTreeSet<u64> = known.into_iter().filter(|id| !wanted.contains_key(id)).collect();
        if !gone.is_empty() {
            self.change(raft, ChangeMembers::RemoveNodes(gone)).await?;
        }
        Ok(())
    }

    /// A voter that cannot acknowledge anything yet would only weaken the majority.
    fn check_lag(&self, voters: &BTreeSet<Member>, now: &BTreeSet<Member>) -> Result<(), MemberError> {
        let standing = self.standing().borrow().clone();
        if standing.role != LogRole::Leader {
            return Err(MemberError::NotLeader { leader: standing.leader });
        }
        for member in voters.difference(now).filter(|member| **member != self.shared.own) {
            // Who was added just now stands nowhere yet.
            let lag = standing.lag.get(&member.node_id);
            let entries = lag.map_or(standing.last_log, |lag| lag.entries);
            if entries > BEHIND || lag.is_none_or(|lag| lag.heard.is_none()) {
                return Err(MemberError::Behind { node_id: member.node_id.clone(), entries });
            }
        }
        Ok(())
    }

    async fn change(&self, raft: &Raft, change: Change) -> Result<(), MemberError> {
        let changed = raft.change_membership(change, true).await;
        self.shared.wake.notify_one();
        changed.map(drop).map_err(|error| match error {
            RaftError::APIError(ClientWriteError::ForwardToLeader(forward)) => {
                MemberError::NotLeader { leader: forward.leader_node.and_then(|node| node.0) }
            }
            RaftError::APIError(ClientWriteError::ChangeMembershipError(error)) => match error {
                ChangeMembershipError::InProgress(_) => MemberError::Busy,
                ChangeMembershipError::EmptyMembership(_) | ChangeMembershipError::LearnerNotFound(_) => {
                    MemberError::Invalid { reason: error.to_string() }
                }
            },
            RaftError::Fatal(fatal) => MemberError::Unknown { reason: fatal.to_string() },
        })
    }
}

fn node(member: &Member) -> (u64, PeerNode) {
    (member.raft_id.0, PeerNode(Some(member.node_id.clone())))
}

fn check(voters: &BTreeSet<Member>, learners: &BTreeSet<Member>) -> Result<(), MemberError> {
    let invalid = |reason: &str| Err(MemberError::Invalid { reason: reason.to_owned() });
    if voters.is_empty() {
        return invalid("nobody votes");
    }
    let all: Vec<&Member> = voters.iter().chain(learners).collect();
    let ids: BTreeSet<_> = all.iter().map(|member| member.raft_id).collect();
    let nodes: BTreeSet<_> = all.iter().map(|member| &member.node_id).collect();
    if ids.len() < all.len() || nodes.len() < all.len() {
        return invalid("a node is named twice");
    }
    Ok(())
}

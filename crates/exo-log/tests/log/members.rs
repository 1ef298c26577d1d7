//! Who takes part.

use crate::support::*;
use exo_log::{LogRole, Member, MemberError, RaftId};
use std::collections::BTreeSet;
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn a_learner_gets_everything_and_votes_when_it_has_it() {
    let mut cluster = Cluster::of_one(40).await;
    cluster.append(1..=500).await.expect("appends");
    cluster.add_learner("b").await;
    role(cluster.log("b"), LogRole::Learner).await;
    applied(cluster.log("b"), 500).await;
    assert_eq!(cluster.standing("a").members.learners, BTreeSet::from([cluster.log("b").member()]));
    cluster.promote_all().await;
    role(cluster.log("b"), LogRole::Follower).await;
    let standing = cluster.standing("a");
    assert_eq!((standing.members.voters.len(), standing.members.learners.len(), standing.joint), (2, 0, false));
    assert!(standing.lag.contains_key(&node("b")));
}

#[tokio::test(start_paused = true)]
async fn five_masters_vote_and_go_on_without_two() {
    let mut cluster = Cluster::of_three(41).await;
    cluster.add_learner("d").await;
    cluster.add_learner("e").await;
    cluster.promote_all().await;
    cluster.append(1..=10).await.expect("appends");
    for _ in 0..2 {
        let leader = cluster.leader().await;
        cluster.kill(leader.as_str());
        cluster.append(11..=11).await.expect("goes on");
    }
    cluster.caught_up(12).await;
    cluster.check_agreement();
}

#[tokio::test(start_paused = true)]
async fn a_dead_voter_is_replaced() {
    let mut cluster = Cluster::of_three(42).await;
    let leader = cluster.leader().await;
    let dead = cluster.logs.keys().find(|name| **name != leader).cloned().expect("another one");
    cluster.kill(dead.as_str());
    cluster.add_learner("d").await;
    cluster.promote_all().await;
    let members = cluster.standing(cluster.leader().await.as_str()).members;
    assert!(members.iter().all(|member| member.node_id != dead));
    assert_eq!(members.voters.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_takes_itself_out_leaves_the_others_a_leader() {
    let mut cluster = Cluster::of_three(43).await;
    let leader = cluster.leader().await;
    let rest: BTreeSet<Member> =
        cluster.logs.iter().filter(|(name, _)| **name != leader).map(|(_, log)| log.member()).collect();
    cluster.log(leader.as_str()).set_members(rest.clone(), BTreeSet::new()).await.expect("goes");
    let gone = cluster.logs.remove(&leader).expect("was there");
    role(&gone, LogRole::Learner).await;
    cluster.network.unplug(&leader);
    gone.close().await;
    cluster.append(1..=1).await.expect("goes on");
    assert_eq!(cluster.standing(cluster.leader().await.as_str()).members.voters, rest);
}

#[tokio::test(start_paused = true)]
async fn members_that_make_no_sense_are_refused() {
    let cluster = Cluster::of_three(44).await;
    let leader = cluster.leader().await;
    let log = cluster.log(leader.as_str());
    let members = cluster.standing(leader.as_str()).members;
    let none = log.set_members(BTreeSet::new(), BTreeSet::new()).await;
    assert!(matches!(none, Err(MemberError::Invalid { .. })), "{none:?}");
    let twice = Member { raft_id: RaftId(1), ..log.member() };
    let twice = log.set_members(members.voters.clone(), BTreeSet::from([twice])).await;
    assert!(matches!(twice, Err(MemberError::Invalid { .. })), "{twice:?}");
    let follower = cluster.logs.values().find(|log| log.member().node_id != leader).expect("another one");
    let refused = follower.set_members(members.voters, BTreeSet::from([member("z")])).await;
    assert_eq!(refused, Err(MemberError::NotLeader { leader: Some(leader) }));
}

fn member(name: &str) -> Member {
    Member { node_id: node(name), raft_id: RaftId(7) }
}

#[tokio::test(start_paused = true)]
async fn who_has_nothing_yet_does_not_vote() {
    let cluster = Cluster::of_three(45).await;
    cluster.append(1..=1).await.expect("appends");
    let leader = cluster.leader().await;
    let log = cluster.log(leader.as_str());
    let mut voters = cluster.standing(leader.as_str()).members.voters;
    voters.insert(member("nobody"));
    let refused = log.set_members(voters, BTreeSet::new()).await;
    assert!(matches!(refused, Err(MemberError::Behind { .. })), "{refused:?}");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(cluster.standing(leader.as_str()).members.learners, BTreeSet::from([member("nobody")]));
    cluster.append(2..=2).await.expect("nobody is missed");
}

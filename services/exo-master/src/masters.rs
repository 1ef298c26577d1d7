//! The other masters of the session, as the leader needs them to decide who votes. Pure: `now` is an argument.

use exo_election::{Members, Roster, plan_roster};
use exo_log::{LogStanding, Member, RaftId};
use exo_types::{LogMember, MasterPresence, NodeId, SessionId};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// A voter that is away for so long is replaced: a restart takes less.
const VOTER_GRACE: Duration = Duration::from_secs(10);
/// What a learner may miss and vote: a few rounds under way.
const CAUGHT_UP: u64 = 256;
/// A peer that has not answered for longer has not everything, whatever it had: a heartbeat comes every two seconds, and
/// again after a little more than one if it is lost.
const HEARD: Duration = Duration::from_millis(3500);

/// Who is there, who leaves, and which log each has.
#[derive(Debug, Default)]
pub(crate) struct Masters {
    /// Announcement → node and session.
    there: BTreeMap<String, (NodeId, SessionId)>,
    absent_since: BTreeMap<NodeId, Instant>,
    leaving: BTreeSet<NodeId>,
    current: BTreeMap<NodeId, u64>,
}

impl Masters {
    pub(crate) fn on_joined(&mut self, announcement: String, node: NodeId, presence: &MasterPresence) {
        self.there.insert(announcement, (node, presence.candidate.session.clone()));
    }

    pub(crate) fn on_left(&mut self, announcement: &str) {
        self.there.remove(announcement);
    }

    /// The nodes whose masters are there, in whatever session, the own one included.
    pub(crate) fn running(&self, own: &NodeId) -> BTreeSet<NodeId> {
        self.there.values().map(|(node, _)| node).chain([own]).cloned().collect()
    }

    /// A master asks to be in: it is there, seen or not yet, it is not leaving, and that is the log that it has.
    pub(crate) fn on_asked(&mut self, member: &LogMember) {
        self.absent_since.remove(&member.node_id);
        self.leaving.remove(&member.node_id);
        self.current.insert(member.node_id.clone(), member.raft_id);
    }

    /// A master leaves, or was removed.
    pub(crate) fn on_leaving(&mut self, node: NodeId) {
        self.leaving.insert(node);
    }

    /// Who should take part. `asked` are not known to the log yet. `outcasts` must not take part.
    pub(crate) fn plan(
        &mut self,
        now: Instant,
        own: &NodeId,
        standing: &LogStanding,
        asked: &BTreeSet<LogMember>,
        outcasts: &BTreeSet<NodeId>,
    ) -> Option<Roster> {
        let known = roster_of(standing);
        let mut roster = known.clone();
        roster.learners.extend(asked.iter().filter(|member| !roster.voters.contains(*member)).cloned());
        self.look(now, own, &standing.session, &roster);
        let members = Members {
            caught_up: caught_up(own, standing),
            absent: self.absent_since.iter().map(|(node, since)| (node.clone(), now - *since)).collect(),
            gone: self.leaving.union(outcasts).filter(|node| *node != own).cloned().collect(),
            current: self.current.clone(),
            own: Some(own.clone()),
            roster,
        };
        let planned = plan_roster(&members, VOTER_GRACE).unwrap_or(members.roster);
        // Half a change is one that an earlier leader left: nobody else ends it.
        (planned != known || standing.joint).then_some(planned)
    }

    /// When somebody's absence will count.
    pub(crate) fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        self.absent_since.values().map(|since| *since + VOTER_GRACE).filter(|due| *due > now).min()
    }

    /// Starts the clock for those who are not there, and stops it for those who are.
    fn look(&mut self, now: Instant, own: &NodeId, session: &Option<SessionId>, roster: &Roster) {
        let there = self.there.values().filter(|(_, of)| Some(of) == session.as_ref()).map(|(node, _)| node);
        let there: BTreeSet<&NodeId> = there.chain([own]).collect();
        let members: BTreeSet<&NodeId> =
            roster.voters.iter().chain(&roster.learners).map(|member| &member.node_id).collect();
        self.absent_since.retain(|node, _| members.contains(node) && !there.contains(node));
        for node in members.difference(&there) {
            self.absent_since.entry((*node).clone()).or_insert(now);
        }
    }
}

fn caught_up(own: &NodeId, standing: &LogStanding) -> BTreeSet<LogMember> {
    let is_close = |member: &&Member| {
        member.node_id == *own
            || standing
                .lag
                .get(&member.node_id)
                .is_some_and(|lag| lag.entries <= CAUGHT_UP && lag.heard.is_some_and(|since| since <= HEARD))
    };
    standing.members.iter().filter(is_close).map(log_member).collect()
}

pub(crate) fn roster_of(standing: &LogStanding) -> Roster {
    let named = |members: &BTreeSet<Member>| members.iter().map(log_member).collect();
    Roster { voters: named(&standing.members.voters), learners: named(&standing.members.learners) }
}

pub(crate) fn log_member(member: &Member) -> LogMember {
    LogMember { node_id: member.node_id.clone(), raft_id: member.raft_id.0 }
}

pub(crate) fn members_of(members: &BTreeSet<LogMember>) -> BTreeSet<Member> {
    let member = |member: &LogMember| Member { node_id: member.node_id.clone(), raft_id: RaftId(member.raft_id) };
    members.iter().map(member).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use exo_log::{Members as LogMembers, PeerLag};
    use exo_types::Candidate;

    fn node(name: &str) -> NodeId {
        NodeId::new(name).expect("a good id")
    }

    fn member(name: &str) -> Member {
        Member { node_id: node(name), raft_id: RaftId(name.len() as u64) }
    }

    /// `a` leads; `a`, `b` and `c` vote, and `d` has everything that they have.
    fn standing() -> LogStanding {
        let named = |names: &[&str]| names.iter().map(|name| member(name)).collect();
        let heard = PeerLag { entries: 0, heard: Some(Duration::ZERO) };
        LogStanding {
            session: Some(session()),
            members: LogMembers { voters: named(&["a", "b", "c"]), learners: named(&["d"]) },
            lag: ["b", "c", "d"].map(|name| (node(name), heard)).into(),
            ..LogStanding::default()
        }
    }

    fn session() -> SessionId {
        SessionId { generation: 1, master_node_id: node("a") }
    }

    /// Seen by `a`: `b` and `d`, but not `c`.
    fn without_c() -> Masters {
        let candidate = Candidate { session: session(), seniority: 0, commands_seen: 0 };
        let presence = MasterPresence { candidate, leading: false, term: 1, voters: BTreeSet::new() };
        let mut masters = Masters::default();
        ["b", "d"].into_iter().for_each(|name| masters.on_joined(name.to_owned(), node(name), &presence));
        masters
    }

    fn plan(masters: &mut Masters, now: Instant) -> Option<Roster> {
        masters.plan(now, &node("a"), &standing(), &BTreeSet::new(), &BTreeSet::new())
    }

    #[test]
    fn half_a_change_is_ended_though_nobody_came_or_left() {
        let (begin, mut masters) = (Instant::now(), without_c());
        assert_eq!(plan(&mut masters, begin), None);
        let half = LogStanding { joint: true, ..standing() };
        let roster = masters.plan(begin, &node("a"), &half, &BTreeSet::new(), &BTreeSet::new());
        assert_eq!(roster, Some(roster_of(&half)));
    }

    #[test]
    fn who_asks_is_there_before_it_is_seen() {
        let begin = Instant::now();
        let mut masters = without_c();
        assert_eq!(plan(&mut masters, begin), None);
        let back = begin + VOTER_GRACE * 2;
        masters.on_asked(&log_member(&member("c")));
        assert_eq!(plan(&mut masters, back), None, "it asked just now");
        let roster = plan(&mut masters, back + VOTER_GRACE).expect("it was never seen");
        assert!(!roster.voters.contains(&log_member(&member("c"))), "{roster:?}");
    }
}

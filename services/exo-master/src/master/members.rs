//! Masters that come into the session and leave it.

use super::{Leading, Master, reply};
use crate::job;
use crate::lead::Work;
use crate::masters::roster_of;
use exo_bus::Incoming;
use exo_state::decode_state;
use exo_types::{JoinSession, LeaveSession, LogMember, NodeId, SessionReply};
use std::collections::BTreeSet;
use tokio::time::Instant;

/// Masters that wait to be in, or out.
#[derive(Default)]
pub(super) struct Asked {
    /// What they bring is not written yet.
    bringing: Vec<Incoming<JoinSession, SessionReply>>,
    joins: Vec<Incoming<JoinSession, SessionReply>>,
    leaves: Vec<Incoming<LeaveSession, SessionReply>>,
}

impl Asked {
    /// So many of those that bring something have it written.
    pub(super) fn on_brought(&mut self, count: usize) {
        self.joins.extend(self.bringing.drain(..count.min(self.bringing.len())));
    }

    /// It was not written.
    pub(super) fn on_not_brought(&mut self, count: usize) {
        let message = "what it brings could not be written; try again".to_owned();
        for incoming in self.bringing.drain(..count.min(self.bringing.len())) {
            reply(incoming, &SessionReply::Refused { message: message.clone() });
        }
    }

    pub(super) fn refuse_all(&mut self, why: &str) {
        let answer = SessionReply::Refused { message: why.to_owned() };
        self.bringing.drain(..).chain(self.joins.drain(..)).for_each(|incoming| reply(incoming, &answer));
        self.leaves.drain(..).for_each(|incoming| reply(incoming, &answer));
    }

    fn wanted(&self) -> BTreeSet<LogMember> {
        self.joins.iter().map(|incoming| incoming.request.member.clone()).collect()
    }
}

impl Master {
    pub(super) fn on_join(&mut self, incoming: Incoming<JoinSession, SessionReply>, work: &mut Work) {
        if let Some(answer) = self.refusal(&incoming.request.session, &incoming.from, &incoming.request.member) {
            return reply(incoming, &answer);
        }
        if self.appending && incoming.request.brings.is_some() {
            let message = "a round is being written; try again".to_owned();
            return reply(incoming, &SessionReply::Refused { message });
        }
        self.masters.on_asked(&incoming.request.member);
        match incoming.request.brings.as_ref().map(|bytes| decode_state(&bytes.0.0)) {
            None => self.asked.joins.push(incoming),
            Some(Ok(state)) => {
                work.brought.push(state);
                self.asked.bringing.push(incoming);
            }
            Some(Err(error)) => {
                let message = format!("what it brings cannot be read: {error}");
                reply(incoming, &SessionReply::Refused { message });
            }
        }
    }

    pub(super) fn on_leave(&mut self, incoming: Incoming<LeaveSession, SessionReply>) {
        if let Some(answer) = self.refusal(&incoming.request.session, &incoming.from, &incoming.request.member) {
            return reply(incoming, &answer);
        }
        self.masters.on_leaving(incoming.request.member.node_id.clone());
        self.asked.leaves.push(incoming);
    }

    /// Why this master does not decide that now. A master speaks for itself.
    fn refusal(&self, session: &exo_types::SessionId, from: &NodeId, member: &LogMember) -> Option<SessionReply> {
        let leads = matches!(self.leading, Leading::Yes(..)) && self.election.may_serve();
        let own = self.session.as_ref().map(|own| &own.id);
        if *from != member.node_id {
            let message = format!("node {from} cannot speak for node {}", member.node_id);
            return Some(SessionReply::Refused { message });
        }
        if own != Some(session) {
            let message = match own {
                Some(own) => format!("this master belongs to session {own}"),
                None => "this master belongs to no session".to_owned(),
            };
            return Some(SessionReply::Refused { message });
        }
        let leader = || self.standing().and_then(|standing| standing.leader).filter(|node| node != self.bus.node());
        (!leads).then(|| SessionReply::NotLeader { leader: leader() })
    }

    /// Lets in who asks, and keeps the right ones voting. One change at a time.
    pub(super) fn keep_members(&mut self) {
        let Leading::Yes(_, lead) = &self.leading else {
            self.asked.refuse_all("this master does not lead any more");
            return;
        };
        let identity = &lead.state().identity;
        let is_out = |node: &&NodeId| !identity.admitted.contains_key(*node);
        let outcasts: BTreeSet<NodeId> = identity.revoked.values().filter(is_out).cloned().collect();
        let now = Instant::now();
        if self.changing_members || self.change_after.is_some_and(|at| at > now) {
            return;
        }
        self.change_after = None;
        // Not before: who is struck off takes part until the change ends, and would never ask again.
        self.answer_asked();
        let Some((standing, session)) = self.standing().zip(self.session.as_ref()) else { return };
        let asked = self.asked.wanted();
        let Some(roster) = self.masters.plan(now.into_std(), self.bus.node(), &standing, &asked, &outcasts) else {
            return;
        };
        tracing::info!(voters = ?names(&roster.voters), learners = ?names(&roster.learners), "the members change");
        self.changing_members = true;
        self.jobs.push(job::change_members(self.life, session.log.clone(), roster));
    }

    fn answer_asked(&mut self) {
        let Some(standing) = self.standing() else { return };
        let roster = roster_of(&standing);
        let is_in = |member: &LogMember| roster.voters.contains(member) || roster.learners.contains(member);
        let joined = self.asked.joins.extract_if(.., |incoming| is_in(&incoming.request.member));
        joined.for_each(|incoming| reply(incoming, &SessionReply::Done));
        let left = self.asked.leaves.extract_if(.., |incoming| !is_in(&incoming.request.member));
        left.for_each(|incoming| reply(incoming, &SessionReply::Done));
    }
}

fn names(members: &BTreeSet<LogMember>) -> Vec<&str> {
    members.iter().map(|member| member.node_id.as_str()).collect()
}

//! Leading: the log says who does, and rounds are written one after the other.

use super::{Leading, Master, wall_clock};
use crate::job;
use crate::lead::{Lead, MasterNodes, Work, refuse};
use crate::upkeep::Lost;
use exo_log::{DraftEvent, LogRole};
use exo_types::{Event, EventIndex};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Before this master tries again to lead, after that failed.
pub(super) const LEAD_PAUSE: Duration = Duration::from_millis(100);

impl Master {
    /// Begins or ends to lead, as the log says.
    pub(super) fn follow_log(&mut self) {
        let Some(session) = &self.session else { return };
        let (role, term) = {
            let standing = session.standing.borrow();
            (standing.role, standing.term)
        };
        let leads_now = role == LogRole::Leader;
        match &self.leading {
            Leading::Preparing(of) | Leading::Yes(of, _) if leads_now && *of == term => {}
            // A round of this term may still come true: what it did is waited for.
            _ if leads_now && self.lead_after.is_some_and(|at| at > Instant::now()) => {}
            _ if leads_now && !self.appending => {
                self.stop_leading();
                self.begin_to_lead(term);
            }
            Leading::No => {}
            _ => self.stop_leading(),
        }
    }

    fn begin_to_lead(&mut self, term: u64) {
        let Some(session) = &self.session else { return };
        self.leading = Leading::Preparing(term);
        let (id, log) = (session.id.clone(), session.log.clone());
        self.jobs.push(job::prepare(self.life, term, id, log, wall_clock()));
    }

    pub(super) fn on_prepared(&mut self, life: u64, term: u64, result: Result<(), String>) {
        let is_awaited = matches!(self.leading, Leading::Preparing(of) if of == term);
        let Some(session) = self.session.as_ref().filter(|_| life == self.life && is_awaited) else { return };
        match result {
            Ok(()) => {
                let state = Arc::unwrap_or_clone(session.state());
                session.publisher.set_leading(true);
                let now = Instant::now().into_std();
                self.presence.begin(now, &state.topology.nodes);
                self.leading = Leading::Yes(term, Box::new(Lead::new(now, state)));
            }
            Err(reason) => {
                tracing::warn!(reason, "this master was elected and cannot lead yet");
                self.leading = Leading::No;
                self.lead_after = Some(Instant::now() + LEAD_PAUSE);
            }
        }
    }

    /// One round, if none is under way.
    pub(super) fn lead_on(&mut self, work: Work) {
        let now = Instant::now().into_std();
        let may_serve = self.election.may_serve();
        let leader = self.standing().and_then(|standing| standing.leader);
        let masters = MasterNodes { members: self.member_nodes(), running: self.masters.running(self.bus.node()) };
        let Some(session) = &self.session else { return refuse(work.commands, None) };
        let Leading::Yes(_, lead) = &mut self.leading else {
            let leader = leader.filter(|leader| leader != self.bus.node());
            return refuse(work.commands, leader.as_ref());
        };
        if !may_serve {
            return refuse(work.commands, None);
        }
        if self.appending {
            debug_assert!(work.is_empty(), "nothing is taken while a round is under way");
            return;
        }
        let lost = Lost { now: self.presence.lost(now).cloned().collect(), lately: self.presence.left_lately(now) };
        let joins = work.brought.len();
        let proposal = lead.round(now, wall_clock(), &self.options, work, &lost, &masters);
        self.presence.expect(now, &lead.state().topology.nodes);
        if proposal.events.is_empty() {
            lead.on_written(proposal.waiting);
            self.asked.on_brought(joins);
            return;
        }
        self.appending = true;
        let removed = |draft: &DraftEvent| match &draft.event {
            Event::NodeRemoved { node_id } => Some(node_id.clone()),
            _ => None,
        };
        self.removing = proposal.events.iter().filter_map(removed).collect();
        let log = session.log.clone();
        let last = EventIndex(proposal.base.0 + proposal.events.len() as u64);
        let told = session.publisher.told(last);
        self.jobs.push(job::append(self.life, log, proposal.base, proposal.events, proposal.waiting, joins, told));
    }

    fn member_nodes(&self) -> BTreeSet<exo_types::NodeId> {
        let standing = self.standing().unwrap_or_default();
        standing.members.iter().map(|member| member.node_id.clone()).collect()
    }
}

//! The machine.

use crate::{Options, OwnLog};
use exo_types::{Candidate, ElectionMessage, EventIndex, SessionId};
use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

/// Where a master stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It has just started, or waits for an absent leader that others follow.
    Listening,
    /// It leads.
    Leading(Candidate),
    /// Another one leads, or led when it was last heard.
    Following(Candidate),
}

/// What the driver does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Lead the session of the own log.
    Resume(SessionId),
    /// Open the session: its first event is written to the log, which is empty.
    Open(SessionId),
    /// Stop leading: accept nothing more, put the log into the archive.
    StepDown {
        /// Who stays.
        winner: Candidate,
    },
    /// Put the own log into the archive: another session stays, and this one was never led in this life.
    Archive {
        /// Who stays.
        winner: Candidate,
    },
    /// Another master leads.
    Follow(Candidate),
    /// Tell everybody.
    Announce(ElectionMessage),
    /// Others follow a session whose leader is away: this master waits for it.
    WaitFor(SessionId),
}

/// Decides for one master.
#[derive(Debug)]
pub struct Election {
    options: Options,
    log: OwnLog,
    standing: Standing,
    /// When listening ends, or when the next announcement is due.
    timeout: Option<Instant>,
    /// Which session each other process follows.
    followed: BTreeMap<String, SessionId>,
    waiting_for: Option<SessionId>,
    outputs: VecDeque<Output>,
}

impl Election {
    /// Starts to listen.
    pub fn new(now: Instant, options: Options, log: OwnLog) -> Self {
        Self {
            timeout: Some(now + options.listen),
            options,
            log,
            standing: Standing::Listening,
            followed: BTreeMap::new(),
            waiting_for: None,
            outputs: VecDeque::new(),
        }
    }

    /// Where this master stands.
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// Another master claims to lead.
    pub fn on_announcement(&mut self, now: Instant, message: &ElectionMessage) {
        let heard = &message.candidate;
        if heard.session.master_node_id == self.options.node_id {
            return;
        }
        match &self.standing {
            Standing::Leading(own) if heard > own => {
                self.outputs.push_back(Output::StepDown { winner: heard.clone() });
                self.follow(heard);
            }
            Standing::Leading(_) => {}
            Standing::Listening => match self.own_candidate() {
                Some(own) if own > *heard => self.lead(now),
                Some(_) => {
                    self.outputs.push_back(Output::Archive { winner: heard.clone() });
                    self.follow(heard);
                }
                None => self.follow(heard),
            },
            Standing::Following(known) if known.session == heard.session => {
                self.standing = Standing::Following(heard.clone());
            }
            Standing::Following(known) if heard > known => self.follow(heard),
            Standing::Following(_) => {}
        }
    }

    /// A process tells which session it follows. `follower` names the process, also when it is of this node.
    pub fn on_followed(&mut self, follower: String, session: Option<SessionId>) {
        match session {
            Some(session) => drop(self.followed.insert(follower, session)),
            None => self.on_follower_left(&follower),
        }
    }

    /// A process is gone. That of the leader changes nothing else: a standby waits until it is back.
    pub fn on_follower_left(&mut self, follower: &str) {
        self.followed.remove(follower);
    }

    /// The own log grew.
    pub fn on_progress(&mut self, last: EventIndex, commands_seen: u64) {
        self.log.last = last;
        self.log.commands_seen = commands_seen;
        if let Standing::Leading(candidate) = &mut self.standing {
            candidate.commands_seen = commands_seen;
        }
    }

    /// Call it when [`Election::poll_timeout`] says so.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.timeout.is_none_or(|at| at > now) {
            return;
        }
        match &self.standing {
            Standing::Listening => self.end_listening(now),
            Standing::Leading(_) => self.announce(now),
            Standing::Following(_) => self.timeout = None,
        }
    }

    /// When something is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timeout
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn end_listening(&mut self, now: Instant) {
        match self.awaited().cloned() {
            None => self.lead(now),
            Some(session) => {
                self.timeout = Some(now + self.options.listen);
                if self.waiting_for.as_ref() != Some(&session) {
                    self.waiting_for = Some(session.clone());
                    self.outputs.push_back(Output::WaitFor(session));
                }
            }
        }
    }

    /// The largest session of another master that is followed, unless the own one is at least as large.
    fn awaited(&self) -> Option<&SessionId> {
        let of_others = self.followed.values().filter(|session| session.master_node_id != self.options.node_id);
        let largest = of_others.max()?;
        let own_is_enough = self.log.session.as_ref().is_some_and(|own| own >= largest);
        (!own_is_enough).then_some(largest)
    }

    /// A generation that nobody has seen of this master: its log may be lost while others still follow it.
    fn next_generation(&self) -> u64 {
        let own = self.followed.values().filter(|session| session.master_node_id == self.options.node_id);
        own.map(|session| session.generation).max().unwrap_or(0).saturating_add(1)
    }

    fn own_candidate(&self) -> Option<Candidate> {
        let session = self.log.session.clone()?;
        Some(Candidate { session, seniority: self.options.seniority, commands_seen: self.log.commands_seen })
    }

    fn lead(&mut self, now: Instant) {
        let candidate = match self.own_candidate() {
            Some(candidate) => {
                self.outputs.push_back(Output::Resume(candidate.session.clone()));
                candidate
            }
            None => {
                let master_node_id = self.options.node_id.clone();
                let session = SessionId { generation: self.next_generation(), master_node_id };
                self.log.session = Some(session.clone());
                self.outputs.push_back(Output::Open(session.clone()));
                Candidate { session, seniority: self.options.seniority, commands_seen: 0 }
            }
        };
        self.standing = Standing::Leading(candidate);
        self.announce(now);
    }

    fn announce(&mut self, now: Instant) {
        let Standing::Leading(candidate) = &self.standing else { return };
        let message = ElectionMessage { candidate: candidate.clone(), last_index: self.log.last };
        self.outputs.push_back(Output::Announce(message));
        self.timeout = Some(now + self.options.announce_every);
    }

    fn follow(&mut self, leader: &Candidate) {
        self.standing = Standing::Following(leader.clone());
        self.log = OwnLog::default();
        self.timeout = None;
        self.outputs.push_back(Output::Follow(leader.clone()));
    }
}

#[cfg(test)]
mod tests;

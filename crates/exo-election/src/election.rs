//! The machine.

use crate::sightings::{Led, Sightings};
use crate::{Options, OwnLog};
use exo_types::{Candidate, ElectionMessage, EventIndex, MasterPresence, NodeId, SessionId, is_deserted};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// A learner lets voters go before it: they may know more.
const LEARNER_WAITS: Duration = Duration::from_secs(5);
/// Of an idle leader, every so many periods one announcement: enough to find an event that was lost on its way.
const IDLE_PERIODS: u32 = 3;
/// After so many that told the same end, whoever is linked has heard it: from then on each pause is twice the last one.
const REPEATS: u32 = 4;
/// No pause is longer.
const STILL_PERIODS: u32 = 60;

/// How much a session has done is told anew that often; it changes with every command, and everybody hears it.
const RETELL: Duration = Duration::from_secs(10);
/// A master that others go before listens so many times longer, in case none of them founds anything.
const PATIENCE: u32 = 3;

/// Where a master stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It has just started, or waits for an absent leader that others follow.
    Listening,
    /// It belongs to the session of its log.
    Member,
    /// It asks to be taken into another session, and accepts nothing meanwhile.
    Joining {
        /// Which session.
        session: SessionId,
        /// Who leads it.
        leader: NodeId,
    },
}

/// What the driver does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Found the session in an empty log, with this master as its only voter.
    Found(SessionId),
    /// Take part in the session of the own log.
    Resume(SessionId),
    /// Put the own log into the archive and found this session from its State.
    TakeOver(SessionId),
    /// Ask to be taken into the session, with the State of the own log if there is one. When it is done, put the own
    /// log into the archive and tell [`Election::on_joined`]; else tell [`Election::on_join_failed`].
    Join {
        /// Which session.
        session: SessionId,
        /// Whom to ask.
        leader: NodeId,
    },
    /// Ask the leader of the own session to keep this master in it, and tell how it ended in the same way.
    Ask {
        /// Whom to ask.
        leader: NodeId,
    },
    /// The leader is gone: let the log elect another one now.
    Campaign {
        /// The term in which it led: who knows of a later one has nothing to do.
        term: u64,
    },
    /// Say that of this master from now on.
    Present(MasterPresence),
    /// Tell everybody how far the log is.
    Announce(ElectionMessage),
    /// Others follow a session whose leader is away: this master waits for it.
    WaitFor(SessionId),
}

/// The end of the log, as it was told last.
#[derive(Debug, Clone, Copy)]
struct Announced {
    at: Instant,
    last: EventIndex,
    /// How often it was told again.
    repeats: u32,
}

/// Something that has to last before it counts.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Since<T> {
    what: T,
    since: Instant,
}

/// Decides for one master.
#[derive(Debug)]
pub struct Election {
    options: Options,
    log: OwnLog,
    standing: Standing,
    /// Where to return to when joining fails.
    is_member: bool,
    seen: Sightings,
    listen_until: Instant,
    extra_listens: u32,
    waiting_for: Option<SessionId>,
    /// A larger session.
    rival: Option<Since<SessionId>>,
    /// The own session has no leader.
    leaderless: Option<Since<()>>,
    /// The leader of the own session that was seen last, and its term.
    leader: Option<(NodeId, u64)>,
    /// The leader and the term to which this master is known to belong.
    kept_by: Option<(NodeId, u64)>,
    asking: bool,
    not_before: Option<Instant>,
    told: Option<Since<MasterPresence>>,
    announced: Option<Announced>,
    outputs: VecDeque<Output>,
}

impl Election {
    /// Starts to listen; a session with other voters is taken part in at once.
    pub fn new(now: Instant, options: Options, log: OwnLog) -> Self {
        let mut election = Self {
            seen: Sightings::new(options.node_id.clone()),
            listen_until: now + options.listen,
            options,
            standing: Standing::Listening,
            is_member: false,
            extra_listens: 0,
            waiting_for: None,
            rival: None,
            leaderless: None,
            leader: None,
            kept_by: None,
            asking: false,
            not_before: None,
            told: None,
            announced: None,
            outputs: VecDeque::new(),
            log,
        };
        election.step(now);
        election
    }

    /// Where this master stands.
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// Whether commands and facts may be taken: it belongs to a session that it is not about to give up.
    pub fn may_serve(&self) -> bool {
        self.standing == Standing::Member
    }

    /// A master says something of itself. `key` names the life of its process.
    pub fn on_master(&mut self, now: Instant, key: String, node: NodeId, presence: MasterPresence) {
        self.seen.on_master(key, node, presence);
        self.step(now);
    }

    /// A master is gone.
    pub fn on_master_left(&mut self, now: Instant, key: &str) {
        self.seen.on_master_left(key);
        self.step(now);
    }

    /// A process tells which session it follows, and whether it is a master.
    pub fn on_process(&mut self, now: Instant, key: String, node: NodeId, is_master: bool, session: Option<SessionId>) {
        self.seen.on_process(key, node, is_master, session);
        self.step(now);
    }

    /// A process is gone.
    pub fn on_process_left(&mut self, now: Instant, key: &str) {
        self.seen.on_process_left(key);
        self.step(now);
    }

    /// The own log changed.
    pub fn on_log(&mut self, now: Instant, log: OwnLog) {
        self.log = log;
        self.step(now);
    }

    /// The session that was asked took this master in, or kept it.
    pub fn on_joined(&mut self, now: Instant, log: OwnLog) {
        self.log = log;
        self.asking = false;
        if let Some(session) = &self.log.session {
            self.kept_by = self.seen.leader_of(session).map(|led| (led.leader, led.term));
        }
        if let Standing::Joining { .. } = self.standing {
            self.enter();
        }
        self.step(now);
    }

    /// It did not.
    pub fn on_join_failed(&mut self, now: Instant) {
        self.asking = false;
        self.not_before = Some(now + self.options.retry);
        if let Standing::Joining { .. } = self.standing {
            self.standing = if self.is_member { Standing::Member } else { Standing::Listening };
        }
        self.step(now);
    }

    /// Call it when [`Election::poll_timeout`] says so.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.step(now);
    }

    /// When something is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let of_standing = match self.standing {
            // What failed is tried again then; a session that is led is not listened for.
            Standing::Listening => {
                let listen_until = Some(self.listen_until).filter(|_| self.seen.largest_led(None).is_none());
                [self.not_before.or(listen_until), None]
            }
            Standing::Member => [self.due_of_giving_up(), self.due_of_takeover()],
            Standing::Joining { .. } => [None, None],
        };
        let seen = self.log.commands_seen;
        let is_old = |told: &&Since<MasterPresence>| told.what.leading && told.what.candidate.commands_seen != seen;
        // Nothing can be told of a log that nothing came into yet.
        let speaks = self.own_candidate().is_some();
        let retells = speaks && !self.is_joining();
        let retell = self.told.as_ref().filter(is_old).map(|told| told.since + RETELL).filter(|_| retells);
        let announce = self.announce_at().filter(|_| speaks && self.leads());
        let again = self.not_before.filter(|_| self.standing == Standing::Member && !self.asking);
        of_standing.into_iter().chain([retell, announce, again]).flatten().min()
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn step(&mut self, now: Instant) {
        if self.not_before.is_some_and(|at| at <= now) {
            self.not_before = None;
        }
        match self.standing {
            Standing::Listening => self.step_listening(now),
            Standing::Member => self.step_member(now),
            Standing::Joining { .. } => {}
        }
        self.present(now);
        self.announce(now);
    }

    fn step_listening(&mut self, now: Instant) {
        let own = self.own_candidate();
        let led = self.seen.largest_led(None);
        match (led, own) {
            _ if self.has_company() => self.resume(now),
            (Some(led), Some(own)) if led.candidate < own || led.candidate.session == own.session => self.resume(now),
            (Some(led), _) => {
                if self.not_before.is_none() && self.knows_its_log() {
                    self.join(led);
                }
            }
            (None, _) if now >= self.listen_until => self.end_listening(now),
            (None, _) => {}
        }
    }

    fn end_listening(&mut self, now: Instant) {
        if let Some(session) = self.awaited().cloned() {
            self.listen_until = now + self.options.listen;
            if self.waiting_for.as_ref() != Some(&session) {
                self.waiting_for = Some(session.clone());
                self.outputs.push_back(Output::WaitFor(session));
            }
        } else if self.log.session.is_some() {
            self.resume(now);
        } else if self.extra_listens < PATIENCE && self.seen.somebody_goes_first() {
            self.extra_listens += 1;
            self.listen_until = now + self.options.listen;
        } else {
            let session = self.next_session();
            self.log.session = Some(session.clone());
            self.log.voters = [self.options.node_id.clone()].into();
            self.become_member(Output::Found(session));
        }
    }

    /// The session that others have and this master has not, though nobody leads it now.
    fn awaited(&self) -> Option<&SessionId> {
        let own = self.options.node_id.clone();
        let followed = self.seen.followed().filter(|session| !self.log.taken_in.contains(*session)).max();
        let followed = followed.filter(|session| session.master_node_id != own);
        let awaited = followed.into_iter().chain(self.log.lost.as_ref()).max()?;
        let own_is_enough = self.log.session.as_ref().is_some_and(|own| own >= awaited);
        (!own_is_enough).then_some(awaited)
    }

    fn resume(&mut self, now: Instant) {
        if let Some(session) = self.log.session.clone() {
            self.become_member(Output::Resume(session));
            self.step_member(now);
        }
    }

    fn become_member(&mut self, output: Output) {
        self.outputs.push_back(output);
        self.enter();
    }

    /// A new session: nothing of the last one counts.
    fn enter(&mut self) {
        self.standing = Standing::Member;
        self.is_member = true;
        (self.rival, self.leaderless, self.leader, self.not_before) = (None, None, None, None);
        (self.announced, self.waiting_for, self.asking) = (None, None, false);
    }

    fn step_member(&mut self, now: Instant) {
        let Some(session) = self.log.session.clone() else { return };
        let led = self.seen.leader_of(&session);
        let lost_leader = self.look_for_leader(now, led.as_ref());
        if self.look_for_rival(now, &session, led.as_ref()) {
            return;
        }
        if let Some(term) = lost_leader.filter(|_| self.rival.is_none() && self.is_voter() && !self.log.leads) {
            self.outputs.push_back(Output::Campaign { term });
        }
        self.ask_to_be_kept(led.as_ref());
        if self.due_of_takeover().is_some_and(|due| due <= now) {
            let session = self.next_session();
            self.log = OwnLog { session: Some(session.clone()), leads: false, has_quorum: false, ..self.log.clone() };
            self.log.voters = [self.options.node_id.clone()].into();
            self.become_member(Output::TakeOver(session));
        }
    }

    /// The term of the leader that there was until now.
    fn look_for_leader(&mut self, now: Instant, led: Option<&Led>) -> Option<u64> {
        let leader = match led {
            _ if self.leads() => Some((self.options.node_id.clone(), self.log.term)),
            Some(led) => Some((led.leader.clone(), led.term)),
            None => None,
        };
        if leader.is_some() {
            self.leaderless = None;
        } else {
            self.leaderless.get_or_insert(Since { what: (), since: now });
            // Whom it does not see may not see it either, and strike it off.
            self.kept_by = None;
        }
        let is_led = leader.is_some();
        let before = std::mem::replace(&mut self.leader, leader);
        before.filter(|_| !is_led).map(|(_, term)| term)
    }

    /// True if this session is being given up.
    fn look_for_rival(&mut self, now: Instant, session: &SessionId, led: Option<&Led>) -> bool {
        let own = match (led, self.told.as_ref().map(|told| &told.what.candidate)) {
            (Some(led), _) if !self.leads() => Some(led.candidate.clone()),
            // What was told, not what is: both sides have to compare the same.
            (_, Some(told)) if self.leads() && told.session == *session => Some(told.clone()),
            // Without a leader nobody's seniority counts.
            _ if self.has_company() => self.own_candidate().map(|own| Candidate { seniority: 0, ..own }),
            _ => self.own_candidate(),
        };
        // Nobody leads a deserted session any more: the largest that is led is larger than it, whatever it holds.
        let has_gone = |voter: &NodeId| self.seen.has_gone_from(session, voter);
        let is_deserted = led.is_none() && !self.leads() && is_deserted(&self.log.voters, has_gone);
        let is_larger = |rival: &Led| is_deserted || own.is_none_or(|own| rival.candidate > own);
        let rival = self.seen.largest_led(Some(session)).filter(is_larger);
        let Some(rival) = rival else {
            self.rival = None;
            return false;
        };
        let is_same = self.rival.as_ref().is_some_and(|known| known.what == rival.candidate.session);
        if !is_same {
            self.rival = Some(Since { what: rival.candidate.session.clone(), since: now });
        }
        if self.due_of_giving_up().is_none_or(|due| due > now) {
            return false;
        }
        self.join(rival);
        true
    }

    /// When a larger session has been there for long enough. Followers stay as long as they have a leader: it gives the
    /// session up for all.
    fn due_of_giving_up(&self) -> Option<Instant> {
        let rival = self.rival.as_ref()?;
        if (self.leader.is_some() && !self.leads()) || !self.knows_its_log() {
            return None;
        }
        let due = rival.since + self.options.settle;
        Some(self.not_before.map_or(due, |not_before| due.max(not_before)))
    }

    fn due_of_takeover(&self) -> Option<Instant> {
        let (session, leaderless) = (self.log.session.as_ref()?, self.leaderless.as_ref()?);
        let patience = self.options.take_over_after?;
        // A larger session is led: this master is about to go there.
        if self.rival.is_some() {
            return None;
        }
        let voters = &self.log.voters;
        if voters.len() > 2 || voters.is_empty() {
            return None;
        }
        // Who has all it needs elects a leader.
        if self.is_voter() && self.seen.are_all_in(session, voters.iter()) {
            return None;
        }
        let patience = if self.is_voter() { patience } else { patience + LEARNER_WAITS };
        Some(leaderless.since + patience)
    }

    /// A leader that does not count this master among its voters may not know it at all.
    fn ask_to_be_kept(&mut self, led: Option<&Led>) {
        let Some(led) = led.filter(|_| !self.leads() && !self.asking && self.not_before.is_none()) else { return };
        let is_known = self.kept_by.as_ref().is_some_and(|(node, term)| *node == led.leader && *term == led.term);
        if led.has_me || is_known {
            return;
        }
        self.asking = true;
        self.outputs.push_back(Output::Ask { leader: led.leader.clone() });
    }

    fn join(&mut self, led: Led) {
        let (session, leader) = (led.candidate.session, led.leader);
        self.standing = Standing::Joining { session: session.clone(), leader: leader.clone() };
        self.outputs.push_back(Output::Join { session, leader });
    }

    /// A generation that nobody has seen: also after the own log was lost while others still follow it.
    fn next_session(&self) -> SessionId {
        let own = self.log.session.as_ref().or(self.log.lost.as_ref());
        let seen = own.into_iter().chain(self.seen.followed().max()).map(|session| session.generation);
        let generation = seen.max().unwrap_or(0).saturating_add(1);
        SessionId { generation, master_node_id: self.options.node_id.clone() }
    }

    /// None with a log that nothing came into yet: it stands for nothing.
    fn own_candidate(&self) -> Option<Candidate> {
        let session = self.log.session.clone().filter(|_| self.log.last.0 > 0 || !self.log.voters.is_empty())?;
        Some(Candidate { session, seniority: self.options.seniority, commands_seen: self.log.commands_seen })
    }

    fn has_company(&self) -> bool {
        self.log.voters.iter().any(|voter| *voter != self.options.node_id)
    }

    /// Whether all that was acknowledged here is in what would be compared and handed over. What a master wrote last, alone
    /// in its session, is applied when it leads again. With others, they have it too.
    fn knows_its_log(&self) -> bool {
        self.log.leads || self.has_company() || !self.is_voter()
    }

    fn is_joining(&self) -> bool {
        matches!(self.standing, Standing::Joining { .. })
    }

    fn is_voter(&self) -> bool {
        self.log.voters.contains(&self.options.node_id)
    }

    fn leads(&self) -> bool {
        self.is_member && self.log.leads && self.log.has_quorum
    }

    fn present(&mut self, now: Instant) {
        let Some(mut candidate) = self.own_candidate().filter(|_| self.is_member) else { return };
        let told = self.told.as_ref().map(|told| &told.what.candidate);
        // A session that is given up claims what it lost with: by a larger claim the other would be given up for it.
        if let Some(told) = told.filter(|told| self.is_joining() && told.session == candidate.session) {
            candidate = told.clone();
        }
        let presence =
            MasterPresence { candidate, leading: self.leads(), term: self.log.term, voters: self.log.voters.clone() };
        if self.told.as_ref().is_some_and(|told| !is_worth_telling(now, told, &presence)) {
            return;
        }
        self.told = Some(Since { what: presence.clone(), since: now });
        self.outputs.push_back(Output::Present(presence));
    }

    /// When the end of the log is told again; less often while it stays where it was.
    fn announce_at(&self) -> Option<Instant> {
        let told = self.announced?;
        let periods = if told.last == self.log.last { periods_after(told.repeats) } else { 1 };
        Some(told.at + self.options.announce_every * periods)
    }

    fn announce(&mut self, now: Instant) {
        if !self.leads() {
            self.announced = None;
            return;
        }
        let is_due = self.announce_at().is_none_or(|at| at <= now);
        let Some(candidate) = self.own_candidate().filter(|_| is_due) else { return };
        let last = self.log.last;
        let repeats = self.announced.filter(|told| told.last == last).map_or(0, |told| told.repeats.saturating_add(1));
        self.announced = Some(Announced { at: now, last, repeats });
        self.outputs.push_back(Output::Announce(ElectionMessage { candidate, last_index: last }));
    }
}

/// Until the same end is told again.
fn periods_after(repeats: u32) -> u32 {
    let doublings = repeats.saturating_sub(REPEATS - 1);
    IDLE_PERIODS.saturating_mul(2_u32.saturating_pow(doublings)).min(STILL_PERIODS)
}

/// How much was done matters to others only now and then, and only a leader's.
fn is_worth_telling(now: Instant, told: &Since<MasterPresence>, presence: &MasterPresence) -> bool {
    let mut same = told.what.clone();
    same.candidate.commands_seen = presence.candidate.commands_seen;
    same != *presence || (told.what != *presence && presence.leading && told.since + RETELL <= now)
}

#[cfg(test)]
mod tests;

//! What the election says is done here, and what was begun ends here.

use super::lead::LEAD_PAUSE;
use super::{AGAIN, Ending, Leading, Master};
use crate::error::MasterError;
use crate::job::{self, Done, Entry};
use crate::lead::answer_failure;
use exo_bus::topics;
use exo_election::Output;
use exo_log::AppendError;
use exo_types::{ElectionMessage, MasterPresence, NodeId, SessionId, SessionReply};
use std::time::Duration;
use tokio::time::Instant;

/// Between two tries to change the members.
const CHANGE_PAUSE: Duration = Duration::from_secs(1);

impl Master {
    pub(super) async fn carry_out(&mut self, output: Output) -> Result<(), MasterError> {
        match output {
            Output::Found(id) => {
                tracing::info!(session = %id, "nobody leads here; this master founds a session");
                let founded = self.sessions.found(id, None).await?;
                self.enter(founded);
            }
            Output::Resume(session) => tracing::info!(%session, "this master takes part in its session again"),
            Output::TakeOver(id) => self.take_over(id).await?,
            Output::Join { session, leader } => {
                tracing::info!(%session, %leader, "this master joins a session");
                self.join_wanted = Some((session, leader));
                self.begin_to_join();
            }
            Output::Ask { leader } => self.ask(leader),
            Output::Campaign { term } => {
                if let Some(session) = &self.session {
                    session.log.trigger_election(term);
                }
            }
            Output::Present(presence) => self.present(&presence).await?,
            Output::Announce(message) => self.announce(&message).await,
            Output::WaitFor(session) => tracing::warn!(
                %session,
                "others belong to a session whose leader is away; waiting for it. \
                 If it is lost for good: `exo cluster recover` on a node that has its log"
            ),
        }
        Ok(())
    }

    async fn take_over(&mut self, id: SessionId) -> Result<(), MasterError> {
        let Some(old) = self.session.take() else { return Ok(()) };
        tracing::warn!(old = %old.id, new = %id, "the leader is gone for too long; this master goes on with its State");
        self.stop_leading();
        let founded = self.sessions.take_over(old, id).await?;
        self.enter(founded);
        Ok(())
    }

    /// Another session: nothing of the one before counts.
    fn enter(&mut self, session: crate::sessions::OpenSession) {
        self.stop_leading();
        self.life += 1;
        self.appending = false;
        self.changing_members = false;
        self.change_after = None;
        self.asked.refuse_all("this master went to another session");
        self.lost = None;
        self.session = Some(session);
    }

    pub(super) fn stop_leading(&mut self) {
        self.leading = Leading::No;
        if let Some(session) = &self.session {
            session.publisher.set_leading(false);
        }
    }

    /// Waits for the round that is under way: what it acknowledges has to come along.
    pub(super) fn begin_to_join(&mut self) {
        if self.appending {
            return;
        }
        let Some((id, leader)) = self.join_wanted.take() else { return };
        let old = self.session.as_ref().map(|session| session.log.clone());
        let entry = self.entry.take().filter(|entry| entry.session == id);
        self.jobs.push(job::join(self.sessions.clone(), self.bus.clone(), entry, id, leader, old));
    }

    fn ask(&mut self, leader: NodeId) {
        let Some(session) = &self.session else { return };
        let (id, log) = (session.id.clone(), session.log.clone());
        self.jobs.push(job::ask_again(self.life, self.bus.clone(), id, leader, log));
    }

    async fn present(&mut self, presence: &MasterPresence) -> Result<(), MasterError> {
        let is_new = self.presented != Some((presence.leading, presence.term));
        self.presented = Some((presence.leading, presence.term));
        if presence.leading && is_new {
            tracing::info!(session = %presence.candidate.session, term = presence.term, "this master leads");
        }
        match &mut self.token {
            Some(token) => token.update(presence).await?,
            None => self.token = Some(self.bus.announce(topics::MASTER, presence).await?),
        }
        Ok(())
    }

    async fn announce(&mut self, message: &ElectionMessage) {
        if let Err(error) = self.bus.publish(topics::ELECTION_MESSAGES, message).await {
            tracing::warn!(%error, "how far the log is was not told; the next time follows");
        }
    }

    pub(super) async fn on_done(&mut self, done: Done) -> Result<(), MasterError> {
        match done {
            Done::Appended { life, waiting, joins, result } => self.on_appended(life, waiting, joins, result),
            Done::Prepared { life, term, result } => self.on_prepared(life, term, result),
            Done::Joined { entry, result } => self.on_joined(*entry, result).await?,
            Done::Asked { life, result } => self.on_asked(life, result),
            Done::Members { life, result } => {
                if life == self.life {
                    self.changing_members = false;
                    // Also after a change: one that nobody has acknowledged shows already, and asks for the one before.
                    let mut pause = AGAIN;
                    if let Err(error) = result {
                        tracing::info!(%error, "the members of the session could not be changed; trying again");
                        pause = CHANGE_PAUSE;
                    }
                    self.change_after = Some(Instant::now() + pause);
                }
            }
            Done::Left { result } => self.on_left(result).await,
        }
        Ok(())
    }

    fn on_appended(
        &mut self,
        life: u64,
        waiting: crate::lead::Waiting,
        joins: usize,
        result: Result<exo_log::Appended, AppendError>,
    ) {
        let is_current = life == self.life;
        if is_current {
            self.appending = false;
        }
        match (result, &mut self.leading) {
            (Ok(_), Leading::Yes(_, lead)) if is_current => {
                lead.on_written(waiting);
                self.asked.on_brought(joins);
                // A removed node votes no more.
                self.removing.drain(..).for_each(|node| self.masters.on_leaving(node));
            }
            // It is written, but the answer must not be remembered by who does not lead any more.
            (Ok(_), _) => crate::lead::answer_written(waiting),
            (Err(error), _) => {
                self.asked.on_not_brought(joins);
                answer_failure(waiting, &error);
                if is_current {
                    self.on_append_failed(&error);
                }
            }
        }
        self.begin_to_join();
    }

    /// What was decided did not come true: the next decision begins with what did.
    fn on_append_failed(&mut self, error: &AppendError) {
        match error {
            AppendError::Storage(error) => {
                tracing::error!(%error, "nothing is accepted until the log can be written again");
            }
            other => tracing::warn!(error = %other, "a round was not written"),
        }
        self.stop_leading();
        self.lead_after = Some(Instant::now() + LEAD_PAUSE);
    }

    async fn on_joined(
        &mut self,
        entry: Result<Entry, MasterError>,
        result: Result<(), String>,
    ) -> Result<(), MasterError> {
        let now = || Instant::now().into_std();
        match (entry, result) {
            (Ok(Entry { session, log, slot }), Ok(())) => {
                let old = self.session.take();
                if let Some(old) = &old {
                    tracing::warn!(session = %old.id, winner = %session, "a larger session stays; this one is archived");
                }
                let entered = self.sessions.end_join(old, session, log, slot).await?;
                self.enter(entered);
                self.election.on_joined(now(), self.own_log());
            }
            (entry, result) => {
                let reason = result.err().unwrap_or_default();
                tracing::info!(reason, "not taken in; trying again");
                self.entry = entry.ok();
                self.sessions.address(self.session.as_ref().map(|session| &session.log));
                self.election.on_join_failed(now());
            }
        }
        Ok(())
    }

    fn on_asked(&mut self, life: u64, result: Result<(), String>) {
        if life != self.life {
            return;
        }
        let now = Instant::now().into_std();
        match result {
            Ok(()) => self.election.on_joined(now, self.own_log()),
            Err(reason) => {
                tracing::info!(reason, "the leader does not count this master yet; trying again");
                self.election.on_join_failed(now);
            }
        }
    }

    async fn on_left(&mut self, result: Result<(), String>) {
        let answer = match result {
            Ok(()) => {
                tracing::info!("this master has left its session; it may be stopped now");
                self.stop_leading();
                self.has_left = true;
                self.token = None;
                self.sessions.address(None);
                if let Some(session) = self.session.take() {
                    drop(session.publisher);
                    session.log.close().await;
                }
                SessionReply::Done
            }
            Err(message) => {
                if matches!(self.ending, Ending::Leaving) {
                    tracing::warn!(message, "ended without being let go");
                }
                SessionReply::Refused { message }
            }
        };
        for incoming in std::mem::take(&mut self.leaving) {
            super::reply(incoming, &answer);
        }
        if matches!(self.ending, Ending::Leaving) {
            self.ending = Ending::Over;
        }
    }
}

//! A master that leads: the log, its State, and the way out.

use crate::answers::Answers;
use crate::decide::{Circumstances, Decision, decide};
use crate::draft::Draft;
use crate::master::{MasterError, wall_clock};
use crate::options::MasterOptions;
use crate::pages::Pages;
use crate::upkeep::upkeep;
use exo_bus::{Bus, Incoming, topics};
use exo_log::single::{AppendError, Appended, EventLog};
use exo_state::{AcceptedCommand, State};
use exo_types::{
    CommandId, CommandReply, Event, EventLogPage, ForwarderCommand, GlobalForwarderEvent, IndexedEvent,
    LocalForwarderEvent, NodeId, Refusal, RefusalCode, RequestEventLog, SessionId,
};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// A disk that takes longer for one write does not work.
const DISK_DEADLINE: Duration = Duration::from_secs(10);
/// A bus that takes longer for one event is stuck; followers ask for what they miss.
const PUBLISH_DEADLINE: Duration = Duration::from_secs(2);

/// A command that waits for its answer.
pub(crate) type CommandRequest = Incoming<ForwarderCommand, CommandReply>;

/// What came in since the last round.
#[derive(Default)]
pub(crate) struct Work {
    pub(crate) commands: Vec<CommandRequest>,
    pub(crate) facts: Vec<LocalForwarderEvent>,
    pub(crate) lost: Vec<NodeId>,
}

/// Leads one session.
pub(crate) struct Leader {
    session: SessionId,
    log: EventLog,
    state: Arc<State>,
    answers: Answers,
    pages: Pages,
    /// What could not be done in the last round, so that it is said once.
    complaints: BTreeSet<String>,
}

impl Leader {
    pub(crate) fn new(session: SessionId, log: EventLog, state: State) -> Self {
        Self {
            session,
            log,
            state: Arc::new(state),
            answers: Answers::default(),
            pages: Pages::default(),
            complaints: BTreeSet::new(),
        }
    }

    pub(crate) fn session(&self) -> &SessionId {
        &self.session
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// Writes the first event of a new session.
    pub(crate) async fn open_session(&mut self, bus: &Bus, when: exo_types::Millis) -> Result<(), MasterError> {
        let mut draft = Draft::new((*self.state).clone());
        draft.push(Event::SessionOpened { session: self.session.clone(), when });
        self.commit(bus, draft).await.map_err(MasterError::from)
    }

    /// One round: facts, commands and upkeep become events; then they are written, applied, published, answered.
    pub(crate) async fn work(&mut self, bus: &Bus, options: &MasterOptions, work: Work) -> Result<(), MasterError> {
        let mut draft = Draft::new((*self.state).clone());
        for fact in work.facts {
            draft.push_fact(fact);
        }
        let mut waiting: Vec<(CommandRequest, CommandReply)> = Vec::new();
        for incoming in work.commands {
            let same =
                |(other, _): &&(CommandRequest, CommandReply)| other.request.command_id == incoming.request.command_id;
            let reply = match waiting.iter().find(same) {
                Some((_, reply)) => reply.clone(),
                None => self.reply_to(&mut draft, &incoming.request, options),
            };
            waiting.push((incoming, reply));
        }
        let circumstances = Circumstances { defaults: options.defaults, now: wall_clock() };
        let complaints = upkeep(&mut draft, &work.lost, &options.wishes, circumstances);
        self.complain(complaints);
        let outcome = self.commit(bus, draft).await;
        self.answer(waiting, outcome.as_ref().err());
        match outcome {
            Ok(()) => Ok(()),
            // Commands were refused, facts come again: the disk may have room then.
            Err(CommitError::Log(AppendError::Storage(error))) => {
                tracing::error!(%error, "nothing is accepted until the log can be written again");
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn reply_to(&self, draft: &mut Draft, request: &ForwarderCommand, options: &MasterOptions) -> CommandReply {
        let id = &request.command_id;
        if let Some(first) = self.answers.get(id).cloned().or_else(|| answer_in_state(draft.state(), id)) {
            return first;
        }
        let circumstances = Circumstances { defaults: options.defaults, now: wall_clock() };
        match decide(draft.state(), id, &request.command, circumstances) {
            Ok(Decision { events, task_id, instance_id }) => {
                events.into_iter().for_each(|event| draft.push(event));
                draft.push(Event::CommandAccepted {
                    command_id: id.clone(),
                    task_id: task_id.clone(),
                    instance_id: instance_id.clone(),
                });
                CommandReply::Accepted { command_id: id.clone(), task_id, instance_id }
            }
            Err(refusal) => CommandReply::Refused(refusal),
        }
    }

    fn answer(&mut self, waiting: Vec<(CommandRequest, CommandReply)>, failure: Option<&CommitError>) {
        for (incoming, reply) in waiting {
            let reply = match failure {
                // Also refusals: they were decided on a draft that did not come true.
                Some(error) => {
                    let message = format!("nothing was changed: {error}");
                    CommandReply::Refused(Refusal::new(RefusalCode::LogUnavailable, message))
                }
                None => {
                    self.answers.remember(incoming.request.command_id.clone(), reply.clone());
                    reply
                }
            };
            if let Err(error) = incoming.reply(&reply) {
                tracing::warn!(%error, "an answer could not be sent");
            }
        }
    }

    async fn commit(&mut self, bus: &Bus, draft: Draft) -> Result<(), CommitError> {
        let (state, events) = draft.into_parts();
        if events.is_empty() {
            return Ok(());
        }
        let appended = timeout(DISK_DEADLINE, self.log.append(events.clone()));
        let Appended { snapshot_due, .. } = appended.await.map_err(|_| CommitError::Stuck)??;
        self.state = Arc::new(state);
        for event in events {
            self.publish(bus, event).await;
        }
        if snapshot_due {
            self.save_snapshot().await;
        }
        Ok(())
    }

    async fn publish(&self, bus: &Bus, event: IndexedEvent) {
        let message = GlobalForwarderEvent { session: self.session.clone(), event };
        match timeout(PUBLISH_DEADLINE, bus.publish(topics::GLOBAL_EVENTS, &message)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "an event was not published; followers will ask for it"),
            Err(_) => tracing::warn!("the bus takes no events; followers will ask for them"),
        }
    }

    /// A snapshot that cannot be saved costs only time at the next start.
    async fn save_snapshot(&self) {
        match timeout(DISK_DEADLINE, self.log.save_snapshot(self.state.clone())).await {
            Ok(Ok(())) => tracing::debug!(index = %self.state.last_event_applied_idx, "snapshot saved"),
            Ok(Err(error)) => tracing::warn!(%error, "no snapshot was saved"),
            Err(_) => tracing::warn!("the disk takes too long for a snapshot"),
        }
    }

    /// A part of the log, or the State where that is shorter.
    pub(crate) async fn page(&mut self, request: &RequestEventLog) -> Result<EventLogPage, String> {
        self.pages.answer(&self.log, &self.session, &self.state, request).await
    }

    fn complain(&mut self, complaints: Vec<String>) {
        let complaints: BTreeSet<String> = complaints.into_iter().collect();
        for news in complaints.difference(&self.complaints) {
            tracing::warn!("{news}");
        }
        self.complaints = complaints;
    }
}

/// The State tells of what was accepted before, by whichever master.
fn answer_in_state(state: &State, id: &CommandId) -> Option<CommandReply> {
    let AcceptedCommand { command_id, task_id, instance_id } = state.accepted_commands.get(id)?.clone();
    Some(CommandReply::Accepted { command_id, task_id, instance_id })
}

/// Why a round did not come true.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommitError {
    #[error(transparent)]
    Log(#[from] AppendError),
    #[error("the disk did not take the log's events within {DISK_DEADLINE:?}")]
    Stuck,
}

impl From<CommitError> for MasterError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Log(error) => Self::Log(error),
            CommitError::Stuck => Self::DiskStuck(DISK_DEADLINE),
        }
    }
}

//! A master that leads: decides on the State as it will be, and answers when that came true.

use crate::adopt::adopt;
use crate::answers::Answers;
use crate::decide::{Circumstances, Decision, decide};
use crate::draft::Draft;
use crate::options::MasterOptions;
use crate::upkeep::{Lost, upkeep};
use exo_ambient::{Bug, planted};
use exo_bus::Incoming;
use exo_log::{AppendError, DraftEvent};
use exo_state::{AcceptedCommand, State};
use exo_types::{
    CommandId, CommandReply, Event, EventIndex, ForwarderCommand, LocalForwarderEvent, Millis, NodeId, Refusal,
    RefusalCode,
};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Upkeep looks at everything; while facts pour in it does so that often.
const UPKEEP_EVERY: Duration = Duration::from_millis(50);

/// A command that waits for its answer.
pub(crate) type CommandRequest = Incoming<ForwarderCommand, CommandReply>;

/// What came in since the last round.
#[derive(Default)]
pub(crate) struct Work {
    pub(crate) commands: Vec<CommandRequest>,
    pub(crate) facts: Vec<LocalForwarderEvent>,
    /// States of sessions that were given up for this one.
    pub(crate) brought: Vec<State>,
}

impl Work {
    pub(crate) fn is_empty(&self) -> bool {
        self.commands.is_empty() && self.facts.is_empty() && self.brought.is_empty()
    }
}

/// The nodes that have masters.
#[derive(Debug, Clone, Default)]
pub(crate) struct MasterNodes {
    /// Those that take part in the log.
    pub(crate) members: BTreeSet<NodeId>,
    /// Those whose master runs.
    pub(crate) running: BTreeSet<NodeId>,
}

/// Commands and what they will be answered.
pub(crate) type Waiting = Vec<(CommandRequest, CommandReply)>;

/// What is to be written, in one piece.
pub(crate) struct Proposal {
    pub(crate) base: EventIndex,
    pub(crate) events: Vec<DraftEvent>,
    pub(crate) waiting: Waiting,
}

/// Leads one session in one term.
pub(crate) struct Lead {
    draft: Draft,
    answers: Answers,
    /// What could not be done in the last round, so that it is said once.
    complaints: BTreeSet<String>,
    upkeep_due: Instant,
    /// Something changed since the last upkeep.
    is_dirty: bool,
}

impl Lead {
    /// `state` has everything that was ever acknowledged.
    pub(crate) fn new(now: Instant, state: State) -> Self {
        Self {
            draft: Draft::new(state),
            answers: Answers::default(),
            complaints: BTreeSet::new(),
            upkeep_due: now,
            is_dirty: true,
        }
    }

    /// The State once everything proposed is written.
    pub(crate) fn state(&self) -> &State {
        self.draft.state()
    }

    /// When to go round though nothing came. An idle cluster needs no upkeep.
    pub(crate) fn upkeep_due(&self) -> Option<Instant> {
        Some(self.upkeep_due).filter(|_| self.is_dirty)
    }

    /// One round: facts, commands and upkeep become events.
    pub(crate) fn round(
        &mut self,
        now: Instant,
        time: Millis,
        options: &MasterOptions,
        work: Work,
        lost: &Lost,
        masters: &MasterNodes,
    ) -> Proposal {
        let MasterNodes { members, running } = masters.clone();
        let defaults = options.defaults;
        let circumstances = Circumstances { defaults, now: time, masters: members, running_masters: running };
        for state in &work.brought {
            adopt(&mut self.draft, state);
        }
        for fact in work.facts {
            self.draft.push_fact(fact);
        }
        let mut waiting: Waiting = Vec::new();
        for incoming in work.commands {
            let same =
                |(other, _): &&(CommandRequest, CommandReply)| other.request.command_id == incoming.request.command_id;
            let reply = match waiting.iter().find(same) {
                Some((_, reply)) => reply.clone(),
                None => self.reply_to(&incoming.request, &circumstances),
            };
            waiting.push((incoming, reply));
        }
        if now >= self.upkeep_due || !lost.now.is_empty() || !waiting.is_empty() {
            let complaints = upkeep(&mut self.draft, lost, &options.wishes, &circumstances);
            self.complain(complaints);
            self.upkeep_due = now + UPKEEP_EVERY;
            self.is_dirty = false;
        } else {
            self.is_dirty = true;
        }
        let (base, events) = self.draft.take();
        Proposal { base, events, waiting }
    }

    fn reply_to(&mut self, request: &ForwarderCommand, circumstances: &Circumstances) -> CommandReply {
        let id = &request.command_id;
        let first = self.answers.get(id).cloned().or_else(|| answer_in_state(self.state(), id));
        if let Some(first) = first.filter(|_| !planted(Bug::ForgetAnswers)) {
            return first;
        }
        match decide(self.draft.state(), id, &request.command, circumstances) {
            Ok(Decision { events, task_id, instance_id }) => {
                events.into_iter().for_each(|event| self.draft.push(event));
                let command_id = id.clone();
                let (task, instance) = (task_id.clone(), instance_id.clone());
                self.draft.push(Event::CommandAccepted { command_id, task_id: task, instance_id: instance });
                CommandReply::Accepted { command_id: id.clone(), task_id, instance_id }
            }
            Err(refusal) => CommandReply::Refused(refusal),
        }
    }

    /// It came true: answers leave.
    pub(crate) fn on_written(&mut self, waiting: Waiting) {
        for (incoming, reply) in waiting {
            let (id, name) = (incoming.request.command_id.clone(), incoming.request.command.name());
            self.answers.remember(id, reply.clone());
            send(incoming, &reply);
            // Who waits is answered before the journal is.
            if let CommandReply::Accepted { command_id, instance_id, .. } = &reply {
                let instance = instance_id.as_ref().map(tracing::field::display);
                tracing::info!(command = %command_id, instance, "a command is carried out: {name}");
            }
        }
    }

    fn complain(&mut self, complaints: Vec<String>) {
        let complaints: BTreeSet<String> = complaints.into_iter().collect();
        for news in complaints.difference(&self.complaints) {
            tracing::warn!("{news}");
        }
        self.complaints = complaints;
    }
}

/// It came true, and somebody else leads by now: the State will tell them the same.
pub(crate) fn answer_written(waiting: Waiting) {
    waiting.into_iter().for_each(|(incoming, reply)| send(incoming, &reply));
}

/// It did not come true, or nobody knows. Also refusals are taken back: they were decided on what did not happen.
pub(crate) fn answer_failure(waiting: Waiting, error: &AppendError) {
    let refusal = match error {
        AppendError::NotLeader { leader } => Refusal::not_leader(leader.clone()),
        AppendError::Unknown { reason } => {
            let message =
                format!("whether it was carried out is not known yet ({reason}); ask again under the same id");
            Refusal::new(RefusalCode::OutcomeUnknown, message)
        }
        AppendError::NotNext { .. }
        | AppendError::TooLarge { .. }
        | AppendError::Busy
        | AppendError::Storage(_)
        | AppendError::Closed => Refusal::new(RefusalCode::LogUnavailable, format!("nothing was changed: {error}")),
    };
    for (incoming, _) in waiting {
        send(incoming, &CommandReply::Refused(refusal.clone()));
    }
}

/// Nothing is accepted here.
pub(crate) fn refuse(commands: Vec<CommandRequest>, leader: Option<&NodeId>) {
    let reply = CommandReply::Refused(Refusal::not_leader(leader.cloned()));
    commands.into_iter().for_each(|incoming| send(incoming, &reply));
}

fn send(incoming: CommandRequest, reply: &CommandReply) {
    if let Err(error) = incoming.reply(reply) {
        tracing::warn!(%error, "an answer could not be sent");
    }
}

/// The State tells of what was accepted before, by whichever master.
fn answer_in_state(state: &State, id: &CommandId) -> Option<CommandReply> {
    let AcceptedCommand { command_id, task_id, instance_id } = state.accepted_commands.get(id)?.clone();
    Some(CommandReply::Accepted { command_id, task_id, instance_id })
}

//! Everything that can make the master do something.

use crate::leader::{CommandRequest, Work};
use exo_bus::{Bus, BusError, Incoming, PresenceChange, PresenceWatch, RecvError, Requests, Subscription, topics};
use exo_types::{
    CommandReply, ElectionMessage, EventLogPage, ForwarderCommand, LocalForwarderEvent, MasterPresence, NodePresence,
    RequestEventLog,
};
use futures::FutureExt;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Commands and facts that make up one round, at most.
const ROUND: usize = 256;

/// Why the loop goes round.
pub(crate) enum Cause {
    Command(Box<CommandRequest>),
    Fact(Box<LocalForwarderEvent>),
    LogWanted(Incoming<RequestEventLog, EventLogPage>),
    Claim(ElectionMessage),
    Master(PresenceChange<MasterPresence>),
    Node(PresenceChange<NodePresence>),
    Timeout,
    /// Something that cannot be read, or is lost; whoever sent it sends it again.
    Unreadable(RecvError),
    Stop,
}

/// What the master listens to.
pub(crate) struct Inputs {
    commands: Requests<ForwarderCommand, CommandReply>,
    facts: Subscription<LocalForwarderEvent>,
    log_wanted: Requests<RequestEventLog, EventLogPage>,
    claims: Subscription<ElectionMessage>,
    masters: PresenceWatch<MasterPresence>,
    nodes: PresenceWatch<NodePresence>,
}

impl Inputs {
    pub(crate) async fn open(bus: &Bus) -> Result<Self, BusError> {
        Ok(Self {
            commands: bus.serve(topics::COMMAND).await?,
            facts: bus.subscribe(topics::LOCAL_EVENTS).await?,
            log_wanted: bus.serve(topics::EVENT_LOG).await?,
            claims: bus.subscribe(topics::ELECTION_MESSAGES).await?,
            masters: bus.watch(topics::MASTER).await?,
            nodes: bus.watch(topics::NODE).await?,
        })
    }

    /// Waits for a cause, until `deadline` at most.
    pub(crate) async fn next(&mut self, deadline: Instant, stop: &CancellationToken) -> Cause {
        let read = tokio::select! {
            biased;
            () = stop.cancelled() => return Cause::Stop,
            change = self.masters.recv() => change.map(Cause::Master),
            claim = self.claims.recv() => claim.map(Cause::Claim),
            change = self.nodes.recv() => change.map(Cause::Node),
            fact = self.facts.recv() => fact.map(|fact| Cause::Fact(Box::new(fact))),
            command = self.commands.recv() => command.map(|command| Cause::Command(Box::new(command))),
            wanted = self.log_wanted.recv() => wanted.map(Cause::LogWanted),
            () = tokio::time::sleep_until(deadline) => return Cause::Timeout,
        };
        match read {
            Ok(cause) => cause,
            Err(RecvError::Closed) => Cause::Stop,
            Err(error) => Cause::Unreadable(error),
        }
    }

    /// Adds what waits already, so that one write to the disk serves all of it.
    pub(crate) fn drain(&mut self, work: &mut Work) {
        while work.facts.len() < ROUND
            && let Some(Ok(fact)) = self.facts.recv().now_or_never()
        {
            work.facts.push(fact);
        }
        while work.commands.len() < ROUND
            && let Some(Ok(command)) = self.commands.recv().now_or_never()
        {
            work.commands.push(command);
        }
    }
}

//! Everything that can make the master do something.

use crate::job::Done;
use crate::lead::{CommandRequest, Work};
use exo_bus::{Bus, BusError, Incoming, PresenceChange, PresenceWatch, RecvError, Requests, Subscription, topics};
use exo_types::{
    CommandReply, EventLogPage, ForwarderCommand, JoinSession, LeaveSession, LocalForwarderEvent, MasterPresence,
    MasterStanding, NodePresence, RequestEventLog, RequestLeave, RequestStanding, SessionReply,
};
use futures::FutureExt;

/// Commands and facts that make up one round, at most.
const ROUND: usize = 256;

/// Why the loop goes round.
pub(crate) enum Cause {
    Command(Box<CommandRequest>),
    Fact(Box<LocalForwarderEvent>),
    LogWanted(Incoming<RequestEventLog, EventLogPage>),
    StandingWanted(Incoming<RequestStanding, MasterStanding>),
    Join(Incoming<JoinSession, SessionReply>),
    Leave(Incoming<LeaveSession, SessionReply>),
    /// Somebody on this node wants this master to leave its session.
    LeaveCluster(Incoming<RequestLeave, SessionReply>),
    Master(PresenceChange<MasterPresence>),
    Node(PresenceChange<NodePresence>),
    /// The log stands otherwise.
    Log,
    /// Something that was begun has ended.
    Done(Done),
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
    standing_wanted: Requests<RequestStanding, MasterStanding>,
    joins: Requests<JoinSession, SessionReply>,
    leaves: Requests<LeaveSession, SessionReply>,
    leave_cluster: Requests<RequestLeave, SessionReply>,
    masters: PresenceWatch<MasterPresence>,
    nodes: PresenceWatch<NodePresence>,
}

impl Inputs {
    pub(crate) async fn open(bus: &Bus) -> Result<Self, BusError> {
        Ok(Self {
            commands: bus.serve(topics::COMMAND).await?,
            facts: bus.subscribe(topics::LOCAL_EVENTS).await?,
            log_wanted: bus.serve(topics::EVENT_LOG).await?,
            standing_wanted: bus.serve(topics::STANDING).await?,
            joins: bus.serve(topics::JOIN_SESSION).await?,
            leaves: bus.serve(topics::LEAVE_SESSION).await?,
            leave_cluster: bus.serve(topics::LEAVE_CLUSTER).await?,
            masters: bus.watch(topics::MASTER).await?,
            nodes: bus.watch(topics::NODE).await?,
        })
    }

    /// Waits for a cause; commands and facts stay where they are unless `takes_work`.
    pub(crate) async fn next(&mut self, takes_work: bool) -> Cause {
        let read = tokio::select! {
            biased;
            change = self.masters.recv() => change.map(Cause::Master),
            change = self.nodes.recv() => change.map(Cause::Node),
            asked = self.joins.recv() => asked.map(Cause::Join),
            asked = self.leaves.recv() => asked.map(Cause::Leave),
            asked = self.leave_cluster.recv() => asked.map(Cause::LeaveCluster),
            wanted = self.standing_wanted.recv() => wanted.map(Cause::StandingWanted),
            wanted = self.log_wanted.recv() => wanted.map(Cause::LogWanted),
            fact = self.facts.recv(), if takes_work => fact.map(|fact| Cause::Fact(Box::new(fact))),
            command = self.commands.recv(), if takes_work => command.map(|command| Cause::Command(Box::new(command))),
        };
        match read {
            Ok(cause) => cause,
            Err(RecvError::Closed) => Cause::Stop,
            Err(error) => Cause::Unreadable(error),
        }
    }

    /// Adds what waits already, so that one write to the disks serves all of it.
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

//! What travels on the bus, all of it, on one page.
//!
//! | name | kind | from → to | carries |
//! |---|---|---|---|
//! | `commands` | topic | anybody → master | [`ForwarderCommand`]: a command nobody waits for |
//! | `local_events` | topic | worker → master | [`LocalForwarderEvent`]: a fact, sent again until it is in the log |
//! | `global_events` | topic | master → all | [`GlobalForwarderEvent`]: the log, in order |
//! | `election_messages` | topic | masters | [`ElectionMessage`]: who leads what |
//! | `connection_messages` | topic | bus → this node | [`ConnectionMessage`]: who came and went |
//! | `command` | service | anybody → master | [`ForwarderCommand`] → [`CommandReply`], on disk when it comes |
//! | `event_log` | service | follower → master | [`RequestEventLog`] → [`EventLogPage`]: what was missed |
//! | `generate` | stream | api → worker of rank 0 | [`GenerateRequest`] → [`StreamChunk`]s: an answer |
//! | `node` | presence | every process | [`NodePresence`]: which roles it plays |
//! | `master` | presence | the leading master | [`MasterPresence`]: its session |
//!
//! Topics carry what may be lost and asked for again. What must be known to have arrived is a service.

use crate::{PresenceKind, Service, StreamService, Topic};
use exo_types::{
    CommandReply, ConnectionMessage, ElectionMessage, EventLogPage, ForwarderCommand, GenerateRequest,
    GlobalForwarderEvent, LocalForwarderEvent, MasterPresence, NodePresence, RequestEventLog, StreamChunk,
};

/// Commands nobody waits for.
pub const COMMANDS: Topic<ForwarderCommand> = Topic::new("commands");

/// Facts on their way to the master.
pub const LOCAL_EVENTS: Topic<LocalForwarderEvent> = Topic::new("local_events");

/// The log on its way to all.
pub const GLOBAL_EVENTS: Topic<GlobalForwarderEvent> = Topic::new("global_events");

/// Claims of masters.
pub const ELECTION_MESSAGES: Topic<ElectionMessage> = Topic::new("election_messages");

/// Who came and went.
pub const CONNECTION_MESSAGES: Topic<ConnectionMessage> = Topic::new("connection_messages");

/// Commands to the leading master, with their answer.
pub const COMMAND: Service<ForwarderCommand, CommandReply> = Service::new("command");

/// Catching up with the log.
pub const EVENT_LOG: Service<RequestEventLog, EventLogPage> = Service::new("event_log");

/// An answer of a placed model.
pub const GENERATE: StreamService<GenerateRequest, StreamChunk> = StreamService::new("generate");

/// Every process, for as long as it lives.
pub const NODE: PresenceKind<NodePresence> = PresenceKind::new("node");

/// The leading master, for as long as it leads.
pub const MASTER: PresenceKind<MasterPresence> = PresenceKind::new("master");

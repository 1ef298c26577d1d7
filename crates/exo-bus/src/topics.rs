//! What travels on the bus, all of it, on one page.
//!
//! | name | kind | from → to | carries |
//! |---|---|---|---|
//! | `commands` | topic | anybody → master | [`ForwarderCommand`]: a command nobody waits for |
//! | `local_events` | topic | worker → master | [`LocalForwarderEvent`]: a fact, sent again until it is in the log |
//! | `global_events` | topic | master → all | [`GlobalEvents`]: the log, in order |
//! | `election_messages` | topic | masters | [`ElectionMessage`]: who leads what |
//! | `connection_messages` | topic | bus → this node | [`ConnectionMessage`]: who came and went |
//! | `command` | service | anybody → master | [`ForwarderCommand`] → [`CommandReply`], on disk when it comes |
//! | `event_log` | service | follower → master | [`RequestEventLog`] → [`EventLogPage`]: what was missed |
//! | `raft` | service | master → master | [`Blob`] → [`Blob`]: the replicated log among its voters and learners |
//! | `join_session` | service | master → leading master | [`JoinSession`] → [`SessionReply`]: take me in |
//! | `leave_session` | service | master → leading master | [`LeaveSession`] → [`SessionReply`]: let me go |
//! | `standing` | service | anybody → master | [`RequestStanding`] → [`MasterStanding`]: how its log stands |
//! | `leave_cluster` | service | command line, api → master of a node | [`RequestLeave`] → [`SessionReply`]: leave for good |
//! | `renew` | service | any node → master | a wish for a certificate → the certificate: bytes of `exo-identity` |
//! | `generate` | stream | api → worker of rank 0 | [`GenerateRequest`] → [`StreamChunk`]s: an answer |
//! | `node` | presence | every process | [`NodePresence`]: which roles it plays |
//! | `master` | presence | masters of a session | [`MasterPresence`]: which session, and whether it leads it |
//!
//! Topics carry what may be lost and asked for again. What must be known to have arrived is a service.

use crate::{PresenceKind, Service, StreamService, Topic};
use exo_types::{
    Blob, CommandReply, ConnectionMessage, ElectionMessage, EventLogPage, ForwarderCommand, GenerateRequest,
    GlobalEvents, JoinSession, LeaveSession, LocalForwarderEvent, MasterPresence, MasterStanding, NodePresence,
    RequestEventLog, RequestLeave, RequestStanding, SessionReply, StreamChunk,
};

/// Commands nobody waits for.
pub const COMMANDS: Topic<ForwarderCommand> = Topic::new("commands");

/// Facts on their way to the master.
pub const LOCAL_EVENTS: Topic<LocalForwarderEvent> = Topic::new("local_events");

/// The log on its way to all.
pub const GLOBAL_EVENTS: Topic<GlobalEvents> = Topic::new("global_events");

/// Claims of masters.
pub const ELECTION_MESSAGES: Topic<ElectionMessage> = Topic::new("election_messages");

/// Who came and went.
pub const CONNECTION_MESSAGES: Topic<ConnectionMessage> = Topic::new("connection_messages");

/// Commands to the leading master, with their answer.
pub const COMMAND: Service<ForwarderCommand, CommandReply> = Service::new("command");

/// Catching up with the log.
pub const EVENT_LOG: Service<RequestEventLog, EventLogPage> = Service::new("event_log");

/// The replicated log among masters; what the bytes say is the log's business.
pub const RAFT: Service<Blob, Blob> = Service::new("raft");

/// A master comes into a session.
pub const JOIN_SESSION: Service<JoinSession, SessionReply> = Service::new("join_session");

/// A master leaves its session.
pub const LEAVE_SESSION: Service<LeaveSession, SessionReply> = Service::new("leave_session");

/// How the log of a master stands.
pub const STANDING: Service<RequestStanding, MasterStanding> = Service::new("standing");

/// A master is to leave its session, before it is stopped for good.
pub const LEAVE_CLUSTER: Service<RequestLeave, SessionReply> = Service::new("leave_cluster");

/// A new certificate before the old one ends.
pub const RENEW: Service<Blob, Blob> = Service::new("renew");

/// An answer of a placed model.
pub const GENERATE: StreamService<GenerateRequest, StreamChunk> = StreamService::new("generate");

/// Every process, for as long as it lives.
pub const NODE: PresenceKind<NodePresence> = PresenceKind::new("node");

/// Every master that belongs to a session, for as long as it does.
pub const MASTER: PresenceKind<MasterPresence> = PresenceKind::new("master");

//! One error per operation.

use exo_types::{EventIndex, NodeId, SessionId};

/// Why a log cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Somebody has it open.
    #[error("the log {path} is in use by another process; stop the other exo-master, or use another data directory")]
    InUse {
        /// Where.
        path: String,
    },
    /// It is not what was written, and nobody else has it.
    #[error(
        "the log {path} is damaged: {reason}; restore it from a backup (exo log restore), or begin a new session from what \
         can be read (exo cluster recover)"
    )]
    Damaged {
        /// Where.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Written by a newer exo.
    #[error("the log {path} was written by a newer exo ({reason}); use that version again")]
    Newer {
        /// Where.
        path: String,
        /// What is newer.
        reason: String,
    },
    /// Another node's, or another cluster's.
    #[error("the log {path} belongs to {owner}")]
    Foreign {
        /// Where.
        path: String,
        /// Whose it is.
        owner: LogOwner,
    },
    /// The system says no.
    #[error("the log {path} cannot be opened: {reason}; check the directory's owner and free space")]
    Unavailable {
        /// Where.
        path: String,
        /// The system's reason.
        reason: String,
    },
}

/// Whose log it is, if not this node's in this cluster.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogOwner {
    /// Another node's.
    #[error("node {0}; a log is never copied to another node: move it away and join again (exo cluster join)")]
    Node(NodeId),
    /// This node's, when it was in another cluster.
    #[error(
        "cluster {}, and this node is of cluster {} now; put the node's `identity` back from a backup, or join that \
         cluster again (exo cluster join), or go on in this cluster with what the log says (exo cluster recover)",
        short(.theirs), short(.ours)
    )]
    Cluster {
        /// The one that the log is of.
        theirs: String,
        /// The one that the node is of.
        ours: String,
    },
}

/// Enough of a fingerprint for a person to tell two apart.
fn short(fingerprint: &str) -> &str {
    fingerprint.get(..12).unwrap_or(fingerprint)
}

/// Why the disk did not do what it was told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the log {path} cannot {action}: {reason}; check free space and the disk")]
pub struct StorageError {
    /// Where.
    pub path: String,
    /// What was tried.
    pub action: &'static str,
    /// The reason.
    pub reason: String,
}

/// Why a session was not begun here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FoundError {
    /// There is one already.
    #[error("the log holds session {session} already; a new session begins in a directory of its own")]
    NotEmpty {
        /// Which.
        session: SessionId,
    },
    /// The disk.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The log was closed.
    #[error("the log is closed")]
    Closed,
}

/// Why events were not appended, or not known to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// They were decided on another State than the one they met. Nothing happened; decide again.
    #[error("the log went on to event {expected} since the events were decided; decide again")]
    NotNext {
        /// The last event there is.
        expected: EventIndex,
    },
    /// Another one leads, or nobody. Nothing happened.
    #[error("this master does not lead; {}", leader_text(.leader.as_ref()))]
    NotLeader {
        /// Who does.
        leader: Option<NodeId>,
    },
    /// They may be in the log, or not: look at the State before trying again.
    #[error("it is not known whether the events are in the log: {reason}")]
    Unknown {
        /// What happened on the way.
        reason: String,
    },
    /// More than one append may be. Nothing happened.
    #[error("the events are {bytes} bytes, one append is at most {limit}; append them in parts")]
    TooLarge {
        /// What it is.
        bytes: usize,
        /// What it may be.
        limit: usize,
    },
    /// Too many appends wait. Nothing happened.
    #[error("too many appends wait for the disk; try again later")]
    Busy,
    /// The disk refused. Nothing happened.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The log was closed, or has no session yet.
    #[error("the log is closed")]
    Closed,
}

/// Why events cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// They are in the State only.
    #[error("events before {first} are kept in the State only")]
    Purged {
        /// The first one kept.
        first: EventIndex,
    },
    /// The log was closed.
    #[error("the log is closed")]
    Closed,
}

/// Why it is not sure that the State is the latest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinearizeError {
    /// Another one leads, or nobody.
    #[error("this master does not lead; {}", leader_text(.leader.as_ref()))]
    NotLeader {
        /// Who does.
        leader: Option<NodeId>,
    },
    /// No majority answered in time.
    #[error("no majority of the masters answered in time")]
    NoMajority,
    /// The log was closed.
    #[error("the log is closed")]
    Closed,
}

/// Why the members are not as they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MemberError {
    /// Another one leads, or nobody.
    #[error("this master does not lead; {}", leader_text(.leader.as_ref()))]
    NotLeader {
        /// Who does.
        leader: Option<NodeId>,
    },
    /// A voter-to-be lacks too much; it goes on as a learner. Ask again.
    #[error("node {node_id} lacks {entries} records of the log; it can vote when it has them")]
    Behind {
        /// Who.
        node_id: NodeId,
        /// What it lacks.
        entries: u64,
    },
    /// Nobody would vote, or one node would be two members.
    #[error("these members are none: {reason}")]
    Invalid {
        /// Why.
        reason: String,
    },
    /// Another change is under way.
    #[error("another change of the members is under way; try again")]
    Busy,
    /// Part of it may be done: look at the standing.
    #[error("the change of the members is not known to be complete: {reason}")]
    Unknown {
        /// What happened on the way.
        reason: String,
    },
    /// The log was closed.
    #[error("the log is closed")]
    Closed,
}

/// Why leadership was not handed over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandOverError {
    /// It leads no longer, or never did.
    #[error("this master does not lead; {}", leader_text(.leader.as_ref()))]
    NotLeader {
        /// Who does.
        leader: Option<NodeId>,
    },
    /// Nobody else votes, or those who do are about to leave too.
    #[error("no other master votes and stays")]
    NobodyElse,
    /// Nobody took over in time.
    #[error("no other master took over in time")]
    Timeout,
    /// The log was closed.
    #[error("the log is closed")]
    Closed,
}

/// Why a tool did not do its work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ToolError {
    /// The log.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Nothing there.
    #[error("there is no log at {path}")]
    Missing {
        /// Where.
        path: String,
    },
    /// Something there that would be lost.
    #[error("{path} is not empty; restore into a new directory")]
    Occupied {
        /// Where.
        path: String,
    },
    /// Not a backup, or a damaged one.
    #[error("{path} is no whole backup: {reason}")]
    Backup {
        /// Where.
        path: String,
        /// Why.
        reason: String,
    },
    /// The system says no.
    #[error("{path}: {reason}")]
    File {
        /// Where.
        path: String,
        /// The system's reason.
        reason: String,
    },
}

fn leader_text(leader: Option<&NodeId>) -> String {
    leader.map_or_else(|| "nobody does at the moment".to_owned(), |leader| format!("node {leader} does"))
}

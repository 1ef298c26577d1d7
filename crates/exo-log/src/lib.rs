//! Io. The durable, replicated log of events: openraft over redb.
//! Knows nothing of who decides which events happen, of who follows them, nor of how bytes get to a peer.
//!
//! One [`EventLog`] is one member of one session. It appends, applies, reads, watches, and changes who votes:
//!
//! ```text
//! append ─▶ group of appends ─▶ Raft ─▶ log.redb (one fsync) ─▶ majority ─▶ fold (exo-state) ─▶ state, events, answers
//!                                 └─▶ PeerTransport ─▶ other masters' on_peer
//! ```
//!
//! What holds:
//! - An append is acknowledged after it is on the disks of a majority and in the State here.
//! - Events were decided on a State; they are applied on that State or not at all ([`AppendError::NotNext`]).
//! - An index of an event never changes its meaning within a session.
//! - What a record says is what was written: every record carries a checksum and its key. A torn tail is cut, anything
//!   else is damage, and damage never votes: the log goes to the quarantine, its node comes back under a new [`RaftId`].
//! - No wait without a deadline, nothing of a peer is believed before it is checked.
//! - Nothing random and no clock but tokio's: with a [`Disk`] in memory and one `entropy` a run replays.

mod appender;
mod batch;
mod counters;
mod dice;
mod disk;
mod error;
mod event_log;
mod feed;
mod heritage;
mod intake;
mod keeper;
mod log_store;
mod machine;
mod member;
mod members_file;
mod membership;
#[cfg(test)]
mod nesting;
mod network;
mod offline;
mod opening;
mod options;
mod pacemaker;
mod peers;
mod raft_types;
mod shared;
mod standing;
mod store;
mod succession;
mod watchers;
mod wire;

pub use batch::DraftEvent;
pub use counters::LogCounters;
pub use disk::{DirectoryDisk, Disk, DiskFile, FaultyDisk, Place, SmallFile};
pub use error::{
    AppendError, FoundError, HandOverError, LinearizeError, LogOwner, MemberError, OpenError, ReadError, StorageError,
    ToolError,
};
pub use event_log::{Appended, EventLog, Page};
pub use feed::{Feed, Subscription, SubscriptionError};
pub use member::{Member, Members, RaftId};
pub use offline::{
    Backup, Summary, export, read_backup, read_single, restore, retire_single, tail, verify, write_backup,
};
pub use opening::{Lost, Quarantined, Recovered};
pub use options::LogOptions;
pub use peers::{PeerCallError, PeerTransport};
pub use standing::{LogRole, LogStanding, PeerLag};
pub use succession::Declining;

//! Glue. Joins the bus, follows the log and keeps the State; tells facts, sends commands; owns the data directory.
//! Knows nothing of what services do with the State, nor of how the log is stored.
//!
//! Every service of a node holds one [`NodeHandle`]:
//! - [`NodeHandle::view`]: the latest [`View`]. Without a master it is the last one, and it stays.
//! - [`NodeHandle::facts`]: `report(event)` never waits; the fact is sent until it is seen in the log.
//! - [`NodeHandle::commands`]: `send(command, within)` ends in the master's answer or a typed error; one of them says that
//!   the outcome is unknown.
//! - [`NodeHandle::log`]: the events themselves, from an index on.
//!
//! The decisions ([`Follower`], the queue of facts) are sans-IO and tested without a clock; the tasks around them only
//! carry messages.

mod commands;
mod data_dir;
mod fact_queue;
mod facts;
mod follow;
mod follower;
mod log_reader;
mod node;
mod recent;
mod role;
mod snapshot_parts;
mod view;
mod views;

pub use commands::{CommandClient, CommandError};
pub use data_dir::{DataDir, DataDirError};
pub use fact_queue::{FactQueue, Outgoing};
pub use facts::FactSender;
pub use follower::{Fetch, Follower, PageError, PartError};
pub use log_reader::{LogReadError, LogReader};
pub use node::{Identity, JoinError, Node, NodeHandle};
pub use role::Role;
pub use snapshot_parts::SnapshotParts;
pub use view::{View, serving};

//! Many answers to one question, from one process to one other.
//!
//! The receiver opens with a request that names the stream; items then travel to the receiver's inbox, credits and
//! cancellation to the sender's. Items carry numbers from 0. A credit says how many items may have been sent in all,
//! so that a lost or repeated one does no harm. Both sides watch the other's life.

mod receiver;
mod sender;
mod table;

pub use receiver::StreamReceiver;
pub use sender::{IncomingStream, IncomingStreams, StreamSender};
pub(crate) use table::StreamTable;

use std::time::Duration;

/// Items in flight, at most: at 100 tokens a second more than half a second of network trouble.
pub(crate) const WINDOW: u64 = 64;

/// How long an opened stream waits to see the life of the process at the other end.
pub(crate) const INTRODUCTION: Duration = Duration::from_secs(2);

/// How long a sender waits for credit before it gives up on the receiver.
pub(crate) const STALL_LIMIT: Duration = Duration::from_secs(60);

//! Io. Topics, requests, presence and streams between the processes of a cluster.
//! Knows nothing of what the messages mean, of State, of elections or of models.
//!
//! Between processes every byte travels in TLS, and only processes that hold a certificate of the same cluster
//! ([`exo_identity`]) ever exchange one.
//!
//! A [`Bus`] is a cheap handle that every part of a process shares. Two adapters carry it: [`zenoh`](ZenohConfig)
//! between processes, and [`MemoryNetwork`] inside one, with delays, loss and partitions from a seed. Both go through
//! one [`Transport`] trait and one suite of contract tests (`tests/contract.rs`).
//!
//! ```
//! # use exo_bus::{MemoryNetwork, Topic};
//! # use exo_types::NodeId;
//! const NEWS: Topic<String> = Topic::new("news");
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let network = MemoryNetwork::new(1);
//! let writer = network.join(NodeId::new("writer")?).await?;
//! let reader = network.join(NodeId::new("reader")?).await?;
//!
//! let mut subscription = reader.subscribe(NEWS).await?;
//! writer.publish(NEWS, &"it works".to_owned()).await?;
//! assert_eq!(subscription.recv().await?, "it works");
//! # Ok(())
//! # }
//! ```
//!
//! What holds over both adapters:
//! - Messages of one publisher on one topic arrive in order, each at most once. What was lost is told
//!   ([`RecvError::Lagged`]), never passed over.
//! - A request is answered, refused, unreachable or timed out; it never hangs.
//! - Presence of a closed or killed process ends within a second. That of a lost machine ends within two and a half for
//!   the leader, and the leader's for everybody ([`Bus::follow`]); others may learn from it. While nobody is known to lead
//!   it ends within three for all, and so does a stream from a lost machine always.
//! - A stream has sequence numbers and credits: memory is bounded, a gap is an error, dropping the receiver cancels
//!   the sender, and either side notices the other's death.
//! - Bytes from a peer are checked: what cannot be read is a typed error.

mod bus;
mod envelope;
mod error;
mod keys;
mod links;
mod mailbox;
mod memory;
mod names;
mod presence;
mod refusals;
mod request;
mod stream;
mod subscription;
pub mod topics;
mod transport;
mod zenoh;

pub use bus::Bus;
pub use envelope::MESSAGE_LIMIT;
pub use error::{
    AnnounceError, BusError, OpenError, PublishError, RecvError, ReplyError, RequestError, SendError, StreamError,
};
pub use links::{ForeignCluster, LinkReport, Neighbour, Traffic};
pub use memory::{Faults, MemoryNetwork, Sent};
pub use names::{Message, PresenceKind, ProcessId, Service, StreamService, Topic};
pub use presence::{PresenceChange, PresenceToken, PresenceWatch, TokenId};
pub use request::{Incoming, Requests, Responder};
pub use stream::{IncomingStream, IncomingStreams, StreamReceiver, StreamSender};
pub use subscription::Subscription;
pub use transport::{Answer, CallError, Deliver, Registration, Reply, Sighting, Transport, TransportError, Witness};
pub use zenoh::{Scouting, ZenohConfig};

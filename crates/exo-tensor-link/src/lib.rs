//! Io. Carries activations from rank to rank, over TCP, encrypted.
//! Knows nothing of models, shards or requests, of the bus or of State.
//!
//! A [`Link`] joins two ranks of one life of one instance. Both sides show a certificate of the cluster
//! ([`exo_identity`]): nobody else gets as far as a handshake. A link blocks the thread that uses it: ranks compute on threads
//! of their own, and a wake-up through an async runtime costs more than a loopback round trip. A frame is a small blob
//! of metadata, the caller's, and the hidden states of the step.
//!
//! ```
//! use exo_identity::Identity;
//! use exo_tensor_link::{Handshake, Link, Listener, Precision};
//! use std::time::{Duration, Instant, SystemTime};
//!
//! let node = exo_types::NodeId::new("attic")?;
//! let identity = Identity::found(node, "exo", SystemTime::now())?;
//! let other = identity.clone();
//! let handshake = |rank, peer| Handshake {
//!     instance: "instance-1".to_owned(),
//!     incarnation: 1,
//!     rank,
//!     peer,
//!     world: 2,
//!     channel: 0,
//!     max_metadata: 1024,
//!     max_values: 4096,
//!     precision: Precision::F32,
//! };
//! let deadline = Instant::now() + Duration::from_secs(5);
//! let listener = Listener::bind("127.0.0.1:0".parse()?)?;
//! let address = listener.address();
//! let last = std::thread::spawn(move || listener.accept(&other, &handshake(1, 0), deadline));
//! let mut first = Link::connect(address, &identity, &handshake(0, 1), deadline)?;
//! let mut last = last.join().expect("the thread does not panic")?;
//!
//! first.send(b"step 1", &[0.5, -1.0], deadline)?;
//! let (mut metadata, mut values) = (Vec::new(), Vec::new());
//! last.recv_into(&mut metadata, &mut values, deadline)?;
//! assert_eq!((metadata.as_slice(), values.as_slice()), (b"step 1".as_slice(), [0.5, -1.0].as_slice()));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What holds:
//! - Every field of every frame is checked against what was agreed in the handshake; no length from the wire makes this
//!   allocate.
//! - Frames arrive whole, in order, once, or the link is over with a typed error.
//! - Every call has a deadline, and a [`Closer`] ends it from another thread.
//! - Nothing is allocated once the vectors of the caller have grown to their size, but for what TLS needs for a record.

mod closer;
mod error;
mod frame;
mod frame_reader;
mod group;
mod group_error;
mod handshake;
mod link;
mod listener;
mod receiver;
mod secure;
mod sender;
mod socket;
mod tensor_link;

pub use closer::Closer;
pub use error::{BindError, LinkError, ProtocolError};
pub use frame_reader::FrameReader;
pub use group::Group;
pub use group_error::GroupError;
pub use handshake::{Handshake, Precision};
pub use link::Link;
pub use listener::Listener;
pub use receiver::LinkReceiver;
pub use sender::LinkSender;
pub use tensor_link::TensorLink;

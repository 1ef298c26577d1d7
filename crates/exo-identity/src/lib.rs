//! Io. A node's key and certificate, and the authority of its cluster.
//! Knows nothing of the bus, the log or State.
//!
//! Each node has a key of its own; the first node of a cluster makes the cluster's authority. A node belongs to the
//! cluster because the authority signed a certificate that names the cluster, the namespace and the node. Every link
//! between nodes is TLS 1.3 with such certificates on both sides, made by the configurations that [`Identity`] gives.
//!
//! - [`Identity`]: what all parts of a process share. A renewal or a revocation reaches every TLS configuration at once.
//! - [`IdentityStore`]: its files. [`Identity::open`] finds, joins or founds.
//! - [`SharedKeys`]: what two nodes can compute and nobody else can, for what one of them writes to the other.
//! - [`JoinToken`]: one word that lets a node in. [`AdmissionRequest`], [`Approved`] and [`AdmissionReply`] are what the
//!   new node and a master tell each other.
//!
//! ```
//! use exo_identity::{Identity, IdentityParts, TENSOR};
//! use exo_types::NodeId;
//! use std::time::SystemTime;
//!
//! let now = SystemTime::now();
//! let first = Identity::found(NodeId::new("first")?, "exo", now)?;
//! let second = Identity::from_parts(&first.vouch(NodeId::new("second")?, now)?)?;
//! assert_eq!(first.cluster(), second.cluster());
//! let (server, client) = (first.server_config(TENSOR)?, second.client_config(TENSOR)?);
//! # let _ = (server, client);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What holds:
//! - Secrets are in no log line, no error and no `Debug`; their files are of the node's user alone.
//! - Bytes from the disk and from the network are checked; what cannot be read is a typed error with the remedy.
//! - Who reads the State, or passes a request on, can admit nobody: the State has the public half of a token only.
//! - Whoever has the authority's key can: it is on every node that has a master, and such a node is trusted with it even
//!   after it was revoked. Its old key is refused everywhere at once.

mod admission;
mod agreement;
mod authority;
mod certificate;
mod current;
mod desk;
mod error;
mod fingerprint;
mod identity;
mod join;
mod key;
mod members;
mod name;
mod open;
mod parts;
mod store;
mod tls;
mod token;

pub use admission::{
    ADMISSION_LIMIT, AdmissionRefused, AdmissionReply, AdmissionRequest, Approved, IssuedParts, RefusalKind,
    TokenStanding,
};
pub use agreement::{SHARED_KEY, SharedKeys};
pub use authority::{Authority, RENEWED_BEFORE, VALIDITY};
pub use certificate::Facts;
pub use desk::{Desk, NoAnswer, Visit};
pub use error::{CryptoError, IdentityError, JoinError, PeerRefused, TokenError};
pub use fingerprint::{Fingerprint, FingerprintError};
pub use identity::Identity;
pub use key::{Key, PUBLIC_KEY, PublicKey};
pub use members::Members;
pub use name::{PeerName, is_namespace};
pub use open::{Opened, Opening, read_token};
pub use parts::{IdentityParts, RunnerIdentity};
pub use store::IdentityStore;
pub use tls::{BUS, HandshakeRefused, JOIN, TENSOR, join_client_config, peer_of, refusal_of, server_name};
pub use token::{ADDRESSES, JoinToken, TOKEN_LIMIT, TokenVerifier};

//! Pure. Folds events into the cluster's State, and encodes what is stored of both.
//! Knows nothing of sockets, disks or clocks, nor of who decides which events happen.
//!
//! ```
//! use exo_state::{Applied, State, apply};
//! use exo_types::{Event, EventIndex, IndexedEvent, NodeId};
//!
//! let mut state = State::default();
//! let event = Event::NodeTimedOut { node_id: NodeId::new("a").expect("a good id") };
//! let first = IndexedEvent { idx: EventIndex(1), origin: None, event };
//! assert!(matches!(apply(&mut state, &first), Applied::Skipped(_)));
//! assert_eq!(state.last_event_applied_idx, EventIndex(1));
//! ```

mod accepted;
mod apply;
mod codec;
mod facts;
mod identity;
mod invariants;
#[cfg(test)]
mod issues;
mod lineage;
mod mirror;
mod queries;
mod state;
#[cfg(test)]
mod testing;

pub use accepted::{AcceptedCommand, AcceptedCommands};
pub use apply::{Applied, Skip, apply};
pub use codec::{CodecError, FORMAT_VERSION, decode_event, decode_state, encode_event, encode_state};
pub use facts::{FactAge, FactMark, Origins};
pub use identity::{IdentityState, JoinTokenState};
pub use invariants::{Violation, check_invariants};
pub use lineage::{Horizon, Lineage};
pub use mirror::Mirror;
pub use queries::NodeAddress;
pub use state::State;

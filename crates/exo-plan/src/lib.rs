//! Pure. Compares the State with what is and runs on a node, and says what its worker does next.
//! Knows nothing of processes, sockets or clocks: `now` is an argument, and who carries an action out decides nothing.
//!
//! The life of a runner, as the plan drives it:
//!
//! ```text
//! instance names it ─StartRunner─▶ Idle ─▶ Loading ─▶ Loaded ─(every rank has loaded)─ConnectRunner─▶ Connecting ─▶ Ready
//!                        ▲                              ▲                                                │  │
//!                        └─(back-off)─ Failed ◀─ crash  └── a link broke: weights kept, new incarnation ─┘  │
//!                                                 instance gone ─StopRunner─▶ forgotten ◀───────────────────┘
//! ```
//! Two ranks may lose each other at any time. One that waits for the life of another that is gone is told of the next.

mod action;
mod backoff;
mod local;
mod memory_news;
mod plan;

pub use action::{Action, ConnectOrder, PeerRank};
pub use backoff::Backoff;
pub use local::{LocalNode, LocalRunner};
pub use memory_news::MemoryNews;
pub use plan::{Plan, plan};

//! Pure. Decides which session a master belongs to: whether it leads, or stands by.
//! Knows nothing of the bus, the log or clocks: messages and `now` go in, outputs come out.
//!
//! ```text
//!             nothing heard, nobody follows another session
//! Listening ────────────────────────────────────────────────▶ Leading
//!     │                                                          │
//!     └── a leading session heard ──▶ Standing ◀── a larger one ─┘
//! ```
//!
//! A master listens when it starts. It follows the session that it finds, else it leads: the session of its own log,
//! or a new one. When two leading sessions meet, the larger [`exo_types::Candidate`] stays; the other steps down, its
//! log is put into the archive, and it follows.
//!
//! A standby waits: it does not take over when the leader is gone, because its own log is empty and a State lost would
//! stop the models that still serve. Placed models keep serving without a master. A master that starts while others
//! still follow an absent leader waits for that leader as well.

mod election;
mod options;

pub use election::{Election, Output, Standing};
pub use options::{Options, OwnLog};

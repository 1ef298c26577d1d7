//! Pure. Decides which session a master belongs to: which it founds, joins, gives up or takes over.
//! Knows nothing of the bus, the log or clocks: what is seen and `now` go in, outputs come out. Who leads inside a
//! session is decided by its replicated log, not here; who votes there is decided here too ([`plan_roster`]).
//!
//! ```text
//!            nothing found: found one                 a larger one is led: join it, bring the State along
//! Listening ───────────────────────────▶ Member ◀──────────────────────────────────────────┐
//!     │                                    │ └───────────────────────────────────────▶ Joining
//!     └── a session is led: join it ───────│─────────────────────────────────────────────▶ ▲
//!                                          └── one or two voters, no leader for long: take over
//! ```
//!
//! - A master listens when it starts. It joins the session that it finds; it founds one when nobody follows any. One
//!   that has a log takes part in that log's session again; alone in it, it listens first, and gives it up only when it
//!   leads it: before, it does not know all that is in it. A session that was taken into its own it does not wait for.
//! - When two sessions meet, the larger [`exo_types::Candidate`] stays. The leader of the other one gives it up, once
//!   the larger has been there for a while; what runs in it is handed over. Its followers leave with their leader. What
//!   it says of its size stays the same meanwhile, so that no two give themselves up for each other.
//! - Where so many voters went to other sessions that the rest cannot elect a leader, the session is deserted: who is
//!   left joins the largest that is led, also a smaller one, and brings along what this one holds.
//! - Takeover. With three or more voters the minority never accepts a command: nothing happens here, the log's majority
//!   elects. With one or two voters availability wins: a survivor that has not seen a leader for `take_over_after`
//!   opens the next generation from its own State; not while a larger session is led, which it goes to.
//! - Everything is decided on what is seen now, not on messages that may be lost: whatever order things are seen in,
//!   masters that see each other end in one session, and equal claims are told apart by the name of the node.
//! - Nothing is done because a link bounces: giving up and taking over need their cause to last.

mod autopilot;
mod election;
mod options;
mod sightings;

pub use autopilot::{Members, Roster, plan_roster};
pub use election::{Election, Output, Standing};
pub use options::{Options, OwnLog};

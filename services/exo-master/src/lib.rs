//! Service. The master: orders commands and facts into events, decides placement, keeps the log.
//! Knows nothing of processes, tensors or HTTP, and disturbs nobody when it ends: workers and apis keep their State.
//!
//! What is decided is pure ([`decide`], `upkeep`, `exo-election`, `exo-placement`); [`run`] carries it out:
//!
//! ```text
//! commands ─┐                                          ┌─▶ global_events
//! facts ────┼─▶ draft of events ─▶ log (fsync) ─▶ State ┤
//! timeouts ─┘   (decide, upkeep)                        └─▶ answers
//! ```
//!
//! Nothing is acknowledged, published or applied before it is on the disk. What is not on the disk never happened.

mod answers;
mod cause;
mod decide;
mod draft;
pub mod layout;
mod leader;
mod master;
mod options;
mod pages;
mod presence;
#[cfg(test)]
mod testing;
mod upkeep;

pub use decide::{Circumstances, Decision, decide};
pub use master::{LogSource, MasterContext, MasterError, run, run_over};
pub use options::MasterOptions;

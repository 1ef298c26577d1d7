//! Service. The master: orders commands and facts into events, decides placement, keeps the replicated log.
//! Knows nothing of processes, tensors or HTTP, and disturbs nobody when it ends: workers and apis keep their State.
//!
//! What is decided is pure ([`decide`], `upkeep`, `adopt`, `exo-election`, `exo-placement`); [`run`] carries it out:
//!
//! ```text
//! commands ─┐                                                                  ┌─▶ global_events
//! facts ────┼─▶ draft of events ─▶ log (fsync on a majority of masters) ─▶ State ┤
//! timeouts ─┘   (decide, upkeep)                                               └─▶ answers
//! ```
//!
//! Nothing is acknowledged, published or applied before it is on the disks of a majority. What was not acknowledged may
//! have happened all the same; a command asked again under its id gets the true answer, from whoever leads then.
//!
//! Several masters may run. Each belongs to one session (`exo-election` says which); the session's log says who leads in
//! it. The others keep the log and answer followers from it, so that nobody misses anything while nobody leads.
//! When the leader's presence ends, they elect at once. With three or more voters a minority never accepts a command.
//! With one or two, availability wins: a survivor that has not heard the leader for `election.takeoverAfter` goes on
//! from its own State in the next generation.

mod admission;
mod adopt;
mod answers;
mod args;
mod cause;
mod decide;
mod draft;
mod error;
mod home;
mod job;
pub mod layout;
mod lead;
mod master;
mod masters;
mod options;
mod pages;
mod peers;
mod presence;
mod publish;
mod sessions;
mod standing;
#[cfg(test)]
mod testing;
mod upkeep;

pub use admission::AdmissionDesk;
pub use args::Args;
pub use decide::{Circumstances, Decision, decide};
pub use error::MasterError;
pub use home::{DirectoryHome, LogHome, MemoryHome, Slot};
pub use master::{MasterContext, run, run_beside_others, run_over};
pub use options::MasterOptions;
pub use presence::Patience;

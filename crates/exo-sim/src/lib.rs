//! Test. A whole cluster in one process: one seed, virtual time, faults, invariants.
//! Knows nothing of real clocks, disks or sockets.
//!
//! Masters, workers and apis are the real ones, on a network in memory; runners and disks are made up. [`simulate`]
//! runs one seed on a thread of its own: some seconds of calm, a storm of faults drawn from the seed, and then
//! the cluster has to serve again. Clients write down what they were told; the invariants, one file each, compare it
//! with what happened. Chance and time come from the seed alone, so that a seed repeats itself to the same
//! [`Report::hash`].
//!
//! ```text
//! seed ─▶ Scenario ─▶ World ─ machines, each with a disk, a clock and up to three processes ─┐
//!                       │                                                                   ▼
//!                       └─ clients ─▶ Oracle ─▶ invariants ◀─ Observer ◀─ messages, States, logs
//! ```

mod bugs;
mod client;
mod fault;
mod finale;
mod findings;
mod invariants;
mod journal;
mod log_watch;
mod machine;
mod masters;
mod observer;
mod oracle;
mod run;
mod runners;
mod scenario;
mod tally;
mod trace;
mod workload;
mod world;

pub use bugs::{Hunt, hunt};
pub use exo_ambient::Bug;
pub use fault::{Fault, MachineNo, Part, Planned};
pub use findings::Violation;
pub use run::{Options, Report, simulate, simulate_many};
pub use scenario::Scenario;
pub use tally::Tally;
pub use trace::Keep;

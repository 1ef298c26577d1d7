//! Service. The runner: an isolated process that holds one shard of one model.
//! Knows nothing of the cluster, the bus or the State: its worker tells it everything over one socket.
//!
//! ```text
//! reader thread ── what the worker says ──▶┐
//! link threads ─── steps, broken links ───▶├─ inbox ─▶ the runner's own thread: load, connect, compute ─▶ worker
//! door, callers ── links to other ranks ──▶┘
//! ```
//!
//! The runner's thread is the only one that touches the model. Between two steps it looks into the inbox, so that a
//! cancelled request ends within one token. Without work every thread sleeps in a system call.
//!
//! A rank whose links break fails what it was answering, keeps its weights, opens a new listener under a new
//! incarnation, and says `Loaded` again; its worker then connects the ranks anew.
//!
//! The reader thread also takes in who was thrown out of the cluster, and closes the links to their nodes at once, whatever
//! the runner's thread is at.

mod convert;
mod credentials;
mod head;
mod inbox;
mod links;
mod load;
mod progress;
mod runner;
mod step_bytes;

pub use runner::{RunnerError, run};

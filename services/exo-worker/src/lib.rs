//! Service. The worker: makes its node match the State.
//! Knows nothing of HTTP, of how the log is kept, or of how a model is computed. It never writes State: it tells facts.
//!
//! One driver owns everything that changes and looks at a closed list of causes, [`cause::Cause`]:
//!
//! ```text
//! view changed ─┐                      ┌─▶ start, connect, stop runners
//! probes ───────┼─▶ driver ─ plan ─────┤
//! runners ──────┤     │                └─▶ facts
//! streams ──────┘     └─ chunks ─▶ one bounded buffer and one task for each answer ─▶ client
//! ```
//!
//! The driver never waits for a runner or a client. A client that does not take its answer fills its own buffer, and
//! its own request ends; a runner that does not read or does not move is killed and replaced. Losing the master changes
//! nothing for what runs.

mod answers;
mod args;
mod awake;
mod cause;
mod driver;
mod liveness;
mod node_info;
mod probes;
mod scoped;
mod service;
mod settings;
mod supervised;

pub use args::Args;
pub use service::{Machine, WorkerContext, WorkerError, run, run_over};
pub use settings::{Settings, SettingsError, model_store};

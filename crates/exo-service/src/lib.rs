//! Glue. What the mains of all services share: arguments, configuration, logs, data directory, bus, signals, exit codes.
//! Knows nothing of what a service does: [`run`] gives it a [`Process`] and turns its end into an exit code.
//!
//! ```no_run
//! use clap::Parser;
//! use exo_node::Role;
//! use exo_service::{CommonArgs, Process};
//!
//! /// What this service is.
//! #[derive(Parser)]
//! struct Args {
//!     #[command(flatten)]
//!     common: CommonArgs,
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     exo_service::run(Role::Worker, &Args::parse().common, async |process: Process| {
//!         let status = process.notifier.service("worker");
//!         status.ready();
//!         process.shutdown.cancelled().await;
//!         Ok::<(), std::io::Error>(())
//!     })
//! }
//! ```

mod admission;
mod args;
mod bus;
mod configuration;
mod paths;
mod process;
mod reload;
mod sleep;
mod visit;

pub use admission::opening;
pub use args::CommonArgs;
pub use configuration::{Configuration, ConfigurationError, read_configuration};
pub use process::{Process, Service, StartError, configure, run, run_with};
pub use reload::Reloads;
pub use visit::{Visit, VisitError};

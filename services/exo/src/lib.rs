//! Service. The command line, and all roles in one process.
//!
//! `exo up` runs the services; everything else asks an api over HTTP. Knows nothing of the
//! cluster but what HTTP tells.

mod chat;
mod cli;
mod client;
mod configuration;
mod demo;
mod error;
mod events;
mod output;
mod place;
mod status;
mod table;
mod up;

pub use cli::{Cli, run};

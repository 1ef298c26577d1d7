//! Service. The command line, and all roles in one process.
//!
//! `exo up` runs the services; everything else asks an api over HTTP, and knows nothing of the cluster but what HTTP tells.
//! Only `exo log` and `exo cluster recover` open a log on this machine's disk, and only while no master has it.

mod apply;
mod chat;
mod cli;
mod client;
mod cluster;
mod configuration;
mod demo;
mod doctor;
mod error;
mod events;
mod hardware;
mod log;
mod machine;
mod manual;
mod node;
mod output;
mod overview;
mod place;
mod status;
mod table;
mod up;

pub use cli::{Cli, run};

//! Service. The API: the HTTP edge of the cluster.
//!
//! Stateless but for open streams: it answers from its own copy of the State, opens streams to workers, and passes
//! commands on to the leading master. It never writes State, and a chat on a placed model needs no master.
//! Knows nothing of processes, model files or tensors.

mod answering;
mod app;
mod args;
mod await_ready;
mod chat;
mod cluster;
mod completions;
mod direct;
mod embeddings;
mod events;
mod generation;
mod instances;
mod metrics;
mod models;
mod nodes;
mod other_clusters;
mod page;
mod previews;
mod probes;
mod refusals;
mod service;
mod state_view;
mod streams;

pub use args::Args;
pub use direct::DirectApi;
pub use generation::Generation;
pub use service::{Api, ApiContext, StartError, run};

//! Io. The HTTP server: listening, limits, server-sent events, errors in the shape of the API spoken.
//! Knows nothing of models, nodes or the bus: a [`Router`] of handlers decides what is answered.
//!
//! The only crate that names axum and hyper. What it promises for every request, whatever the handler does: an answer or
//! a typed error within the deadline, bounded memory, and that the handler's future is dropped when the client is gone.

mod body;
mod guard;
mod late_head;
mod live;
mod reply;
mod router;
mod server;
mod sse;
mod stall;

pub use guard::ApiKey;
pub use live::LiveOptions;
pub use reply::Reply;
pub use router::{Handler, Permit, Request, Route, Router};
pub use server::{BindError, Heartbeat, Server, ServerOptions};
pub use sse::Event;

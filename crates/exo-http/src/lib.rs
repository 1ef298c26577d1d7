//! Io. The HTTP server: listening, TLS, limits, server-sent events, errors in the shape of the API spoken. And the client of
//! the command line, which is much smaller.
//! Knows nothing of models, nodes or the bus: a [`Router`] of handlers decides what is answered.
//!
//! The only crate that names axum and hyper. What it promises for every request, whatever the handler does: an answer or
//! a typed error within the deadline, bounded memory, and that the handler's future is dropped when the client is gone.

mod body;
mod client;
mod guard;
mod live;
mod raw_answer;
mod reply;
mod router;
mod server;
mod sse;
mod stall;
mod tls;

pub use client::{Answer, AskError, Client, Trust};
pub use guard::ApiKey;
pub use http::Method;
pub use live::LiveOptions;
pub use reply::Reply;
pub use router::{Handler, Permit, Request, Route, Router};
pub use server::{BindError, Heartbeat, Server, ServerOptions};
pub use sse::Event;
pub use tls::{Certificate, CertificateError};

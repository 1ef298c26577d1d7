//! Pure. The HTTP bodies of the APIs that exo speaks, and their translation to exo's own requests.
//! Knows nothing of HTTP servers, sockets or clocks: bytes come in, checked requests and JSON text go out.
//!
//! Every body is read into JSON with bounded depth, then field by field ([`fields`]): wrong types, numbers out of range
//! and fields that would change the answer but are not supported are refused with the field's name, never ignored.

mod chat;
mod error;
mod fields;
mod models;
mod placement;

pub use chat::{
    Answer, ChatCompletion, ChatHeader, ChatRequest, ChatStream, Frame, GenerationStats, UsageBody, parse_chat_request,
};
pub use error::{ApiError, ErrorType};
pub use models::{ModelEntry, ModelList};
pub use placement::{
    CommandAccepted, INSTANCE_META, Preview, Previews, parse_create_instance, parse_place_instance, parse_sharding,
};

//! Pure. The HTTP bodies of the APIs that exo speaks, and their translation to exo's own requests.
//! Knows nothing of HTTP servers, sockets or clocks: bytes come in, checked requests and JSON text go out.
//!
//! Every body is read into JSON with bounded depth, then field by field ([`fields`]): wrong types, numbers out of range
//! and fields that would change the answer but are not supported are refused with the field's name, never ignored.

mod chat;
mod completion;
mod embeddings;
mod error;
mod fields;
mod frames;
mod models;
mod placement;
mod service_tier;
mod text_request;

pub use chat::{Answer, ChatCompletion, ChatHeader, ChatStream, GenerationStats, UsageBody, parse_chat_request};
pub use completion::{CompletionRequest, CompletionStream, completion_json, parse_completion_request};
pub use embeddings::{EmbeddingRequest, EmbeddingsBody, parse_embedding_request};
pub use error::{ApiError, ErrorType};
pub use frames::{AnswerStream, Frame};
pub use models::{ModelEntry, ModelList};
pub use placement::{
    CommandAccepted, INSTANCE_META, Preview, Previews, parse_create_instance, parse_place_instance, parse_sharding,
};
pub use service_tier::ServiceTier;
pub use text_request::TextRequest;

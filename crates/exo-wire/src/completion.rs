//! OpenAI's older completions: text that goes on.

mod body;
mod request;

pub use body::{CompletionStream, completion_json};
pub(crate) use request::tokens;
pub use request::{CompletionRequest, parse_completion_request};

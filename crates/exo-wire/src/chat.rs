//! OpenAI's chat completions.

mod collect;
mod request;
mod response;
mod stream;

pub use collect::Answer;
pub use request::{ChatRequest, parse_chat_request};
pub use response::{ChatCompletion, ChatHeader, GenerationStats, UsageBody};
pub use stream::{ChatStream, Frame};

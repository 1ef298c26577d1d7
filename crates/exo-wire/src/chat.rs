//! OpenAI's chat completions.

mod collect;
mod format;
mod logprobs;
mod messages;
mod request;
mod response;
mod stream;
mod tools;

pub use collect::Answer;
pub(crate) use collect::{cut_off, not_asked_for};
pub use request::parse_chat_request;
pub(crate) use response::finish_reason;
pub use response::{ChatCompletion, ChatHeader, GenerationStats, UsageBody};
pub use stream::ChatStream;

//! Pure. Text around the engine: tokenizers, chat templates, stop strings, sampling, replies.
//! Knows nothing of model files, tensors, threads or clocks.
//!
//! The way of a request: [`Tokenizer::guard`] → [`ChatTemplate`] → [`Tokenizer`] → (the engine) → [`Sampler`] →
//! [`Detokenizer`] → [`StopMatcher`] → [`ReplyParser`].

mod detokenizer;
mod message;
mod penalties;
mod reply;
mod rng;
mod sampler;
mod sampling;
mod stop;
mod template;
mod token_set;
mod tokenizer;
mod vocabulary;

pub use detokenizer::Detokenizer;
pub use message::{Chat, ChatCall, ChatMessage, ChatTool};
pub use reply::{CallPattern, OfferedTools, ReplyCall, ReplyFormat, ReplyParser, ReplyPart};
pub use sampler::{SampleError, Sampled, Sampler, TokenLogprob};
pub use sampling::{MAX_LOGIT_BIAS, MAX_PENALTY_WINDOW, MAX_TOP_LOGPROBS, Sampling, SamplingError};
pub use stop::{MAX_STOP_BYTES, MAX_STOPS, StopError, StopMatcher};
pub use template::{ChatTemplate, MAX_RENDERED_BYTES, MAX_TEMPLATE_BYTES, RenderOptions, TemplateError, UnixSeconds};
pub use token_set::TokenSet;
pub use tokenizer::{ControlTokens, MAX_TEXT_BYTES, TokenizeError, Tokenizer};
pub use vocabulary::{
    Folding, MAX_TOKEN_BYTES, MAX_TOKENS, PreTokenizer, SpecialTokens, TokenKind, TokenizerModel, Vocabulary,
    VocabularyError,
};

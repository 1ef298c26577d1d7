//! Mistral and Mixtral as Hugging Face has them; in GGUF files they are `llama`, without their window.

use super::{Architecture, WindowRule, llama::LLAMA};

pub(super) const MISTRAL: Architecture =
    Architecture { name: "mistral", window: Some(WindowRule { default: None, period: 0 }), ..LLAMA };

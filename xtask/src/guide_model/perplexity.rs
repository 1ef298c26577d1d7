//! How surprised the model is by text that it was not trained on: the yardstick for quantisation, sharding and caches.

use anyhow::{Context, Result, ensure};
use exo_engine::Engine;
use std::fs;
use std::path::Path;

/// How each conversation in the text begins.
const BEGIN: &str = "<|im_start|>user\n";

/// Perplexity of conversations: the exponential of the mean loss of a token, each conversation by itself.
pub fn of_file(engine: &mut Engine, path: &Path) -> Result<String> {
    let (mut loss, mut tokens) = (0.0, 0_usize);
    for conversation in conversations(path)? {
        let perplexity = engine.perplexity(&conversation)?;
        loss += perplexity.loss * perplexity.tokens as f64;
        tokens += perplexity.tokens;
    }
    Ok(format!("{:.3} over {tokens} tokens", (loss / tokens as f64).exp()))
}

/// The conversations of a text, at least one.
pub fn conversations(path: &Path) -> Result<Vec<String>> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let conversations: Vec<_> = text.split(BEGIN).skip(1).map(|rest| format!("{BEGIN}{}", rest.trim_end())).collect();
    ensure!(!conversations.is_empty(), "{} has no conversation", path.display());
    Ok(conversations)
}

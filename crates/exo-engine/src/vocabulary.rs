//! Tokenizer and chat template out of a file's metadata.

use exo_text::{ChatTemplate, PreTokenizer, SpecialTokens, TokenKind, Tokenizer, TokenizerModel, Vocabulary};

use crate::{load_error::LoadError, metadata::Metadata};

/// Reads the vocabulary and builds the tokenizer.
pub(crate) fn read_tokenizer(metadata: &Metadata) -> Result<Tokenizer, LoadError> {
    let model = match metadata.required_text("tokenizer.ggml.model")? {
        "gpt2" => TokenizerModel::Gpt2,
        "llama" => TokenizerModel::Llama,
        other => return Err(LoadError::TokenizerModel(other.to_owned())),
    };
    let pre = match metadata.text("tokenizer.ggml.pre")?.unwrap_or("default") {
        "default" | "gpt-2" | "gpt2" => PreTokenizer::Gpt2,
        "llama-bpe" | "llama3" | "llama-v3" => PreTokenizer::Llama3,
        "qwen2" | "deepseek-r1-qwen" => PreTokenizer::Qwen2,
        "gpt-4o" => PreTokenizer::Gpt4o,
        "tekken" => PreTokenizer::Tekken,
        // The score-merge family does not cut words.
        _ if model == TokenizerModel::Llama => PreTokenizer::Gpt2,
        other => return Err(LoadError::PreTokenizer(other.to_owned())),
    };
    let vocabulary = Vocabulary {
        model,
        pre,
        tokens: metadata.texts("tokenizer.ggml.tokens")?,
        scores: metadata.numbers("tokenizer.ggml.scores")?,
        kinds: metadata.integers("tokenizer.ggml.token_type")?.into_iter().map(token_kind).collect(),
        merges: metadata.texts("tokenizer.ggml.merges")?,
        special: special_tokens(metadata, model, pre)?,
    };
    Ok(Tokenizer::new(vocabulary)?)
}

/// Reads the chat template, or takes the default one.
pub(crate) fn read_template(metadata: &Metadata, tokenizer: &Tokenizer) -> Result<ChatTemplate, LoadError> {
    let Some(source) = metadata.text("tokenizer.chat_template")? else { return Ok(ChatTemplate::chatml()) };
    let text = |token: Option<u32>| token.and_then(|token| tokenizer.token_text(token)).unwrap_or_default();
    let special = tokenizer.special();
    Ok(ChatTemplate::new(source, text(special.bos), text(special.eos))?)
}

/// Ids as the file names them; the score-merge family has defaults, and Llama 3 and Tekken a begin token, since the
/// first tools that wrote such files left them out.
fn special_tokens(metadata: &Metadata, model: TokenizerModel, pre: PreTokenizer) -> Result<SpecialTokens, LoadError> {
    let is_llama = model == TokenizerModel::Llama;
    let named = |name: &str| metadata.token(&format!("tokenizer.ggml.{name}_token_id"));
    let flag = |name: &str| metadata.flag(&format!("tokenizer.ggml.{name}"));
    let or_default = |token: Option<u32>, default| token.or(is_llama.then_some(default));
    Ok(SpecialTokens {
        bos: or_default(named("bos")?, 1),
        eos: or_default(named("eos")?, 2),
        eot: named("eot")?,
        unknown: or_default(named("unknown")?, 0),
        add_bos: flag("add_bos_token")?
            .unwrap_or(is_llama || matches!(pre, PreTokenizer::Llama3 | PreTokenizer::Tekken)),
        add_space_prefix: flag("add_space_prefix")?.unwrap_or(is_llama),
    })
}

fn token_kind(number: i32) -> TokenKind {
    match number {
        2 => TokenKind::Unknown,
        3 => TokenKind::Control,
        4 => TokenKind::UserDefined,
        5 => TokenKind::Unused,
        6 => TokenKind::Byte,
        _ => TokenKind::Normal,
    }
}

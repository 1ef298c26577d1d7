//! Tokenizer and chat template out of a file's metadata.

use exo_text::{ChatTemplate, Folding, PreTokenizer, SpecialTokens, TokenKind, Tokenizer, TokenizerModel, Vocabulary};

use crate::{load_error::LoadError, metadata::Metadata};

/// Reads the vocabulary and builds the tokenizer.
pub(crate) fn read_tokenizer(metadata: &Metadata) -> Result<Tokenizer, LoadError> {
    let model = match metadata.required_text("tokenizer.ggml.model")? {
        "gpt2" => TokenizerModel::Gpt2,
        "llama" => TokenizerModel::Llama,
        "bert" => TokenizerModel::WordPiece(folding(metadata)?),
        other => return Err(LoadError::TokenizerModel(other.to_owned())),
    };
    let pre = match metadata.text("tokenizer.ggml.pre")?.unwrap_or("default") {
        "default" | "gpt-2" | "gpt2" => PreTokenizer::Gpt2,
        "llama-bpe" | "llama3" | "llama-v3" => PreTokenizer::Llama3,
        "qwen2" | "deepseek-r1-qwen" => PreTokenizer::Qwen2,
        "gpt-4o" => PreTokenizer::Gpt4o,
        "tekken" => PreTokenizer::Tekken,
        // The other families do not cut words in several ways.
        _ if model != TokenizerModel::Gpt2 => PreTokenizer::Gpt2,
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

/// GGUF files do not say it: of those that there are nearly all are of models without capitals.
fn folding(metadata: &Metadata) -> Result<Folding, LoadError> {
    let lowers = metadata.flag("tokenizer.exo.lowers")?.unwrap_or(true);
    Ok(Folding { lowers, strips_accents: metadata.flag("tokenizer.exo.strips_accents")?.unwrap_or(lowers) })
}

/// Ids as the file names them; the score-merge family and WordPiece have defaults, and Llama 3 and Tekken a begin token,
/// since the first tools that wrote such files left them out.
fn special_tokens(metadata: &Metadata, model: TokenizerModel, pre: PreTokenizer) -> Result<SpecialTokens, LoadError> {
    let (is_llama, is_pieces) = (model == TokenizerModel::Llama, matches!(model, TokenizerModel::WordPiece(_)));
    let named = |name: &str| metadata.token(&format!("tokenizer.ggml.{name}_token_id"));
    let flag = |name: &str| metadata.flag(&format!("tokenizer.ggml.{name}"));
    let or_default = |token: Option<u32>, default| token.or(is_llama.then_some(default));
    let or_pieces = |token: Option<u32>, default| token.or(is_pieces.then_some(default));
    let class = if is_pieces { named("cls")? } else { None };
    Ok(SpecialTokens {
        bos: or_pieces(class.or(or_default(named("bos")?, 1)), 101),
        eos: or_default(named("eos")?, 2),
        eot: named("eot")?,
        unknown: or_pieces(or_default(named("unknown")?, 0), 100),
        add_bos: flag("add_bos_token")?
            .unwrap_or(is_llama || is_pieces || matches!(pre, PreTokenizer::Llama3 | PreTokenizer::Tekken)),
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

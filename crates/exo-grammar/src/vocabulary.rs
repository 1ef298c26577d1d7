//! A vocabulary as llguidance wants it.

use std::sync::Arc;

use exo_text::{TokenKind, Tokenizer};
use llguidance::toktrie::{ApproximateTokEnv, TokEnv, TokRxInfo, TokTrie};

/// The words of a vocabulary and one more, which stands for every token that ends an answer.
pub(crate) struct Words {
    pub(crate) env: TokEnv,
    /// Id of the word that stands for the end.
    pub(crate) end: u32,
}

impl Words {
    pub(crate) fn new(tokenizer: &Tokenizer) -> Self {
        let mut words: Vec<Vec<u8>> = (0..tokenizer.len() as u32).map(|token| word(tokenizer, token)).collect();
        let end = words.len() as u32;
        words.push(special("<exo_end_of_answer>"));
        let trie = TokTrie::from(&TokRxInfo::new(end + 1, end), &words);
        Self { env: Arc::new(ApproximateTokEnv::new(trie)), end }
    }
}

/// Nothing for tokens that no grammar may use.
fn word(tokenizer: &Tokenizer, token: u32) -> Vec<u8> {
    match tokenizer.kind(token) {
        // An end of the answer is no part of it.
        _ if tokenizer.is_end(token) => Vec::new(),
        TokenKind::Control => tokenizer.token_text(token).map_or_else(Vec::new, special),
        TokenKind::Unknown | TokenKind::Unused => Vec::new(),
        TokenKind::Normal | TokenKind::UserDefined | TokenKind::Byte => {
            let bytes = tokenizer.token_bytes(token);
            // The mark of control tokens is no part of any text.
            if bytes.first() == Some(&TokTrie::SPECIAL_TOKEN_MARKER) { Vec::new() } else { bytes.to_vec() }
        }
    }
}

fn special(text: &str) -> Vec<u8> {
    let mut word = vec![TokTrie::SPECIAL_TOKEN_MARKER];
    // The trie holds words of up to a thousand bytes.
    word.extend(text.bytes().take(256));
    word
}

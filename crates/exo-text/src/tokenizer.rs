//! Text to tokens and back.

use std::collections::BTreeSet;

use thiserror::Error;

use crate::vocabulary::{TokenKind, TokenizerModel, Vocabulary, VocabularyError};

mod byte_bpe;
mod merge;
mod score_merge;
mod special;
mod trie;
mod word_piece;
mod words;

use byte_bpe::ByteBpe;
use score_merge::ScoreMerge;
use special::SpecialTexts;
use word_piece::WordPiece;

/// Longest text that is tokenized at once, in bytes.
pub const MAX_TEXT_BYTES: usize = 16 << 20;

/// Control tokens that end an answer in one family or another, beside those that the model file names.
const END_TEXTS: [&str; 10] = [
    "<|im_end|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end|>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<end_of_turn>",
    "</s>",
    "<|return|>",
    "<|call|>",
];

/// Ends a message within an answer, not the answer, in the vocabularies that have [`END_OF_REPLY`].
const END_OF_MESSAGE: &str = "<|end|>";
/// Ends an answer of several messages.
const END_OF_REPLY: &str = "<|return|>";

/// Whether texts of control tokens become these tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControlTokens {
    /// They stay text: for everything that a user wrote.
    AsText,
    /// They become tokens: for what a template wrote, its user parts passed through [`Tokenizer::guard`].
    Parse,
}

/// Text that cannot be tokenized.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TokenizeError {
    /// Too long.
    #[error("the text has {0} bytes; the limit is {MAX_TEXT_BYTES}")]
    TooLong(usize),
    /// A byte without a token, in a vocabulary without an unknown token.
    #[error("the vocabulary has no token for the byte {0:#04x} and none for unknown text")]
    NoToken(u8),
}

/// A tokenizer; immutable once it is made.
///
/// The work is n log n in the length of the text, whatever the text is.
#[derive(Debug)]
pub struct Tokenizer {
    vocabulary: Vocabulary,
    /// What each token prints.
    bytes: Vec<Box<[u8]>>,
    model: Model,
    special_texts: SpecialTexts,
    ends: BTreeSet<u32>,
}

#[derive(Debug)]
enum Model {
    ByteBpe(ByteBpe),
    ScoreMerge(ScoreMerge),
    WordPiece(WordPiece),
}

impl Tokenizer {
    /// Checks `vocabulary` and builds the tables.
    pub fn new(vocabulary: Vocabulary) -> Result<Self, VocabularyError> {
        vocabulary.validate()?;
        let bytes = printed_bytes(&vocabulary);
        let model = match vocabulary.model {
            TokenizerModel::Gpt2 => Model::ByteBpe(ByteBpe::new(&vocabulary, &bytes)?),
            TokenizerModel::Llama => Model::ScoreMerge(ScoreMerge::new(&vocabulary)),
            TokenizerModel::WordPiece(folding) => Model::WordPiece(WordPiece::new(&vocabulary, folding)),
        };
        let special_texts = SpecialTexts::new(&vocabulary);
        let ends = end_tokens(&vocabulary);
        Ok(Self { vocabulary, bytes, model, special_texts, ends })
    }

    /// The family.
    pub fn model(&self) -> TokenizerModel {
        self.vocabulary.model
    }

    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.vocabulary.tokens.len()
    }

    /// Never true: a vocabulary without tokens is refused.
    pub fn is_empty(&self) -> bool {
        self.vocabulary.tokens.is_empty()
    }

    /// Tokens of `text`, with the begin token in front if the model wants one and the text does not bring it.
    pub fn encode_prompt(&self, text: &str, control: ControlTokens) -> Result<Vec<u32>, TokenizeError> {
        let mut tokens = self.encode(text, control)?;
        let special = &self.vocabulary.special;
        if let Some(bos) = special.bos.filter(|bos| special.add_bos && tokens.first() != Some(bos)) {
            tokens.insert(0, bos);
        }
        Ok(tokens)
    }

    /// Tokens of `text` and nothing else. Guards that [`Self::guard`] put in are dropped.
    pub fn encode(&self, text: &str, control: ControlTokens) -> Result<Vec<u32>, TokenizeError> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(TokenizeError::TooLong(text.len()));
        }
        let mut tokens = Vec::with_capacity(text.len() / 3 + 1);
        let mut follows_special = true;
        for (plain, special) in self.special_texts.split(text, control) {
            if !plain.is_empty() {
                let plain = special::without_guards(plain);
                match &self.model {
                    Model::ByteBpe(bpe) => bpe.encode(&plain, &mut tokens)?,
                    Model::ScoreMerge(merge) => merge.encode(&plain, follows_special, &mut tokens)?,
                    Model::WordPiece(pieces) => pieces.encode(&plain, &mut tokens)?,
                }
                follows_special = false;
            }
            if let Some(special) = special {
                tokens.push(special);
                follows_special = true;
            }
        }
        Ok(tokens)
    }

    /// Marks control texts in what a user wrote, so that they stay text when a template's output is tokenized.
    ///
    /// The mark is the noncharacter U+FDD0 behind the first character; it is dropped again before tokenizing, and so
    /// are those that a user brings along.
    pub fn guard(&self, text: &str) -> String {
        self.special_texts.guard(text)
    }

    /// The bytes that `token` prints; nothing for control tokens and unknown ids.
    pub fn token_bytes(&self, token: u32) -> &[u8] {
        self.bytes.get(token as usize).map_or(&[], |bytes| bytes)
    }

    /// The text of `token` as the vocabulary spells it.
    pub fn token_text(&self, token: u32) -> Option<&str> {
        self.vocabulary.tokens.get(token as usize).map(String::as_str)
    }

    /// What `token` is; unknown for ids beyond the vocabulary.
    pub fn kind(&self, token: u32) -> TokenKind {
        if (token as usize) < self.len() { self.vocabulary.kind(token as usize) } else { TokenKind::Unknown }
    }

    /// The control token with this text.
    pub fn control_token(&self, text: &str) -> Option<u32> {
        self.special_texts.control_token(text)
    }

    /// All tokens that end an answer.
    pub fn ends(&self) -> impl Iterator<Item = u32> + '_ {
        self.ends.iter().copied()
    }

    /// Whether `token` ends an answer.
    pub fn is_end(&self, token: u32) -> bool {
        self.ends.contains(&token)
    }

    /// Tokens with a role.
    pub fn special(&self) -> &crate::vocabulary::SpecialTokens {
        &self.vocabulary.special
    }
}

fn end_tokens(vocabulary: &Vocabulary) -> BTreeSet<u32> {
    let named = [vocabulary.special.eos, vocabulary.special.eot].into_iter().flatten();
    let control = || {
        let tokens = vocabulary.tokens.iter().enumerate();
        tokens.filter(|(token, _)| vocabulary.kind(*token) == TokenKind::Control)
    };
    let has_messages = control().any(|(_, text)| text == END_OF_REPLY);
    let is_end = |text: &str| END_TEXTS.contains(&text) && !(has_messages && text == END_OF_MESSAGE);
    named.chain(control().filter(|(_, text)| is_end(text)).map(|(token, _)| token as u32)).collect()
}

fn printed_bytes(vocabulary: &Vocabulary) -> Vec<Box<[u8]>> {
    let print = |(token, text): (usize, &String)| -> Box<[u8]> {
        match (vocabulary.kind(token), vocabulary.model) {
            (TokenKind::Control | TokenKind::Unknown | TokenKind::Unused, _) => Box::default(),
            (TokenKind::UserDefined, TokenizerModel::Gpt2) => text.as_bytes().into(),
            (_, TokenizerModel::Gpt2) => byte_bpe::spelled_bytes(text).into(),
            (TokenKind::Byte, TokenizerModel::Llama) => {
                score_merge::byte_of(text).map_or(text.as_bytes().into(), |byte| [byte].into())
            }
            (_, TokenizerModel::WordPiece(_)) => text.replace(word_piece::WORD_BEGIN, " ").into_bytes().into(),
            (_, TokenizerModel::Llama) => text.replace(score_merge::SPACE, " ").into_bytes().into(),
        }
    };
    vocabulary.tokens.iter().enumerate().map(print).collect()
}

#[cfg(test)]
mod tests;

//! A tokenizer's vocabulary as plain data, checked before use.

use thiserror::Error;

/// Most tokens that a vocabulary may have.
pub const MAX_TOKENS: usize = 1 << 20;
/// Longest token in bytes.
pub const MAX_TOKEN_BYTES: usize = 1024;

/// The family of a tokenizer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenizerModel {
    /// Byte-level byte-pair encoding, named "gpt2" in model files: ranked merges within words.
    Gpt2,
    /// SentencePiece, named "llama" in model files: merges by score, spaces as `▁`, bytes as `<0xXX>`.
    Llama,
    /// WordPiece, named "bert" in model files: words by their longest tokens, those that begin one written with `▁`.
    WordPiece(Folding),
}

/// What is not told apart before words are looked up ("bert" only).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Folding {
    /// Capitals from small letters.
    pub lowers: bool,
    /// Letters with an accent from those without.
    pub strips_accents: bool,
}

/// How a byte-level tokenizer cuts text into words before it merges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PreTokenizer {
    /// GPT-2's; also "default".
    Gpt2,
    /// Llama 3's: up to three digits a word, one leading non-letter, and whole words of the vocabulary as they are.
    Llama3,
    /// Qwen 2's: as Llama 3's, with single digits.
    Qwen2,
    /// GPT-4o's and gpt-oss's: as Llama 3's, but a word also begins where capitals follow small letters.
    Gpt4o,
    /// Mistral's from Nemo on: as GPT-4o's, with single digits, no contractions, and whole words of the vocabulary.
    Tekken,
}

/// What a token stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// Text.
    Normal,
    /// What cannot be encoded.
    Unknown,
    /// Structure, such as the end of a turn: never printed, and never made from a user's text.
    Control,
    /// Text that is always one token.
    UserDefined,
    /// Never used.
    Unused,
    /// One byte, written `<0xXX>`.
    Byte,
}

/// Tokens with a role.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SpecialTokens {
    /// Begin of sequence.
    pub bos: Option<u32>,
    /// End of sequence.
    pub eos: Option<u32>,
    /// End of turn.
    pub eot: Option<u32>,
    /// Stands for what cannot be encoded.
    pub unknown: Option<u32>,
    /// Whether prompts start with `bos`.
    pub add_bos: bool,
    /// Whether a space is put before the text ("llama" only).
    pub add_space_prefix: bool,
}

/// Everything that a tokenizer is made of. All lists that are not empty have one entry per token.
#[derive(Debug, Clone, PartialEq)]
pub struct Vocabulary {
    /// The family.
    pub model: TokenizerModel,
    /// How words are cut ("gpt2" only).
    pub pre: PreTokenizer,
    /// Texts of the tokens, in the family's own spelling.
    pub tokens: Vec<String>,
    /// Merge priorities ("llama" only), higher first.
    pub scores: Vec<f32>,
    /// What the tokens are; empty means that all are normal.
    pub kinds: Vec<TokenKind>,
    /// Pairs to merge ("gpt2" only), the first first, each written as two tokens with a space between.
    pub merges: Vec<String>,
    /// Tokens with a role.
    pub special: SpecialTokens,
}

/// A vocabulary that cannot be used.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum VocabularyError {
    /// None or too many tokens.
    #[error("the vocabulary has {0} tokens; it must have 1 to {MAX_TOKENS}")]
    Size(usize),
    /// A list that does not fit.
    #[error("the vocabulary has {tokens} tokens but {entries} {list}; the file is broken")]
    ListLength {
        /// Name of the list.
        list: &'static str,
        /// Its length.
        entries: usize,
        /// Number of tokens.
        tokens: usize,
    },
    /// A token that is too long.
    #[error("token {token} has {bytes} bytes; the limit is {MAX_TOKEN_BYTES}")]
    TokenTooLong {
        /// The token.
        token: usize,
        /// Its length.
        bytes: usize,
    },
    /// A role given to a token that does not exist.
    #[error("the {role} token is {token}, but the vocabulary has {tokens} tokens")]
    SpecialToken {
        /// The role.
        role: &'static str,
        /// The token named.
        token: u32,
        /// Number of tokens.
        tokens: usize,
    },
    /// A merge that is not two tokens.
    #[error("merge {index} is {merge:?}; it must be two tokens with a space between")]
    Merge {
        /// Its place in the list.
        index: usize,
        /// What stands there.
        merge: String,
    },
    /// A score that cannot be compared.
    #[error("the score of token {0} is not a number")]
    Score(usize),
}

impl Vocabulary {
    /// Checks lengths, ids and scores. Merges are checked by the tokenizer that reads them.
    pub fn validate(&self) -> Result<(), VocabularyError> {
        let tokens = self.tokens.len();
        if tokens == 0 || tokens > MAX_TOKENS {
            return Err(VocabularyError::Size(tokens));
        }
        self.validate_lists(tokens)?;
        if let Some((token, text)) = self.tokens.iter().enumerate().find(|(_, text)| text.len() > MAX_TOKEN_BYTES) {
            return Err(VocabularyError::TokenTooLong { token, bytes: text.len() });
        }
        if let Some(token) = self.scores.iter().position(|score| score.is_nan()) {
            return Err(VocabularyError::Score(token));
        }
        let roles = [
            ("bos", self.special.bos),
            ("eos", self.special.eos),
            ("eot", self.special.eot),
            ("unknown", self.special.unknown),
        ];
        for (role, token) in roles {
            if let Some(token) = token.filter(|&token| token as usize >= tokens) {
                return Err(VocabularyError::SpecialToken { role, token, tokens });
            }
        }
        Ok(())
    }

    fn validate_lists(&self, tokens: usize) -> Result<(), VocabularyError> {
        let scores_are_needed = self.model == TokenizerModel::Llama;
        let lists = [("scores", self.scores.len(), scores_are_needed), ("token types", self.kinds.len(), false)];
        for (list, entries, needed) in lists {
            if entries != tokens && (needed || entries != 0) {
                return Err(VocabularyError::ListLength { list, entries, tokens });
            }
        }
        Ok(())
    }

    /// What `token` is.
    pub fn kind(&self, token: usize) -> TokenKind {
        self.kinds.get(token).copied().unwrap_or(TokenKind::Normal)
    }
}

//! WordPiece ("bert" in model files): a word is spelled with the longest token that it starts with, and so on with what is
//! left; a word that cannot be spelled to its end is unknown.
//!
//! Texts are cleaned and cut into words as BERT's own tokenizer does it: Devlin et al., 2018, and the normaliser and
//! pre-tokenizer of that name in Hugging Face's tokenizers.

use std::{iter::once, sync::LazyLock};

use fancy_regex::Regex;
use unicode_normalization::UnicodeNormalization;

use super::{
    TokenizeError,
    trie::Trie,
    words::{expression, matches_one},
};
use crate::vocabulary::{Folding, TokenKind, Vocabulary};

/// Marks tokens that begin a word.
pub(super) const WORD_BEGIN: char = '▁';

/// Words of more characters are unknown.
const LONGEST_WORD: usize = 100;

/// Spells words with the longest tokens.
#[derive(Debug)]
pub(super) struct WordPiece {
    begins: Trie<u32>,
    continues: Trie<u32>,
    unknown: Option<u32>,
    folding: Folding,
}

impl WordPiece {
    pub(super) fn new(vocabulary: &Vocabulary, folding: Folding) -> Self {
        let (mut begins, mut continues) = (Trie::new(), Trie::new());
        for (token, text) in (0..).zip(&vocabulary.tokens) {
            match (vocabulary.kind(token as usize), text.strip_prefix(WORD_BEGIN)) {
                (TokenKind::Normal | TokenKind::UserDefined, Some(text)) => begins.insert(text.as_bytes(), token),
                (TokenKind::Normal | TokenKind::UserDefined, None) => continues.insert(text.as_bytes(), token),
                _ => {}
            }
        }
        Self { begins, continues, unknown: vocabulary.special.unknown, folding }
    }

    pub(super) fn encode(&self, text: &str, tokens: &mut Vec<u32>) -> Result<(), TokenizeError> {
        let mut word = String::new();
        for character in text.chars().filter(|&character| !is_dropped(character)) {
            // Ideographs are words before anything is folded, as some become others.
            if is_space(character) || is_ideograph(character) {
                self.take(&mut word, tokens)?;
            }
            if is_space(character) {
                continue;
            }
            for character in self.folded(character) {
                if is_punctuation(character) {
                    self.take(&mut word, tokens)?;
                    word.push(character);
                    self.take(&mut word, tokens)?;
                } else {
                    word.push(character);
                }
            }
            if is_ideograph(character) {
                self.take(&mut word, tokens)?;
            }
        }
        self.take(&mut word, tokens)
    }

    /// What becomes of a character: accents are taken off, capitals made small.
    fn folded(&self, character: char) -> impl Iterator<Item = char> {
        let Folding { strips_accents, lowers } = self.folding;
        let plain = strips_accents.then(|| once(character).nfd().filter(|&character| !is_accent(character)));
        let as_it_is = (!strips_accents).then_some(character);
        let low = move |character: char| {
            let (low, as_it_is) = if lowers { (Some(character.to_lowercase()), None) } else { (None, Some(character)) };
            low.into_iter().flatten().chain(as_it_is)
        };
        plain.into_iter().flatten().chain(as_it_is).flat_map(low)
    }

    /// Spells a word and empties it.
    fn take(&self, word: &mut String, tokens: &mut Vec<u32>) -> Result<(), TokenizeError> {
        let start = tokens.len();
        let is_spelled = word.chars().nth(LONGEST_WORD).is_none() && self.spell(word.as_bytes(), tokens);
        if !is_spelled {
            tokens.truncate(start);
            tokens.push(self.unknown.ok_or_else(|| TokenizeError::NoToken(word.as_bytes()[0]))?);
        }
        word.clear();
        Ok(())
    }

    /// Whether tokens were found for all of a word.
    fn spell(&self, word: &[u8], tokens: &mut Vec<u32>) -> bool {
        let mut start = 0;
        while start < word.len() {
            let pieces = if start == 0 { &self.begins } else { &self.continues };
            // Tokens are whole characters, and so is what is left.
            let Some((length, token)) = pieces.beginnings(&word[start..]).last() else { return false };
            tokens.push(token);
            start += length;
        }
        true
    }
}

fn is_space(character: char) -> bool {
    character.is_whitespace()
}

/// What no word has: control and format characters, private ones, and the mark of broken text.
fn is_dropped(character: char) -> bool {
    static OTHER: LazyLock<Regex> = LazyLock::new(|| expression(r"^[\p{Cc}\p{Cf}\p{Co}]$"));
    match character {
        '\t' | '\n' | '\r' => false,
        '\u{fffd}' => true,
        _ if character.is_ascii() => character.is_ascii_control(),
        _ => matches_one(&OTHER, character),
    }
}

fn is_accent(character: char) -> bool {
    static ACCENT: LazyLock<Regex> = LazyLock::new(|| expression(r"^\p{Mn}$"));
    !character.is_ascii() && matches_one(&ACCENT, character)
}

/// Each is a word of its own: of ASCII all that is neither letter nor digit.
fn is_punctuation(character: char) -> bool {
    static PUNCTUATION: LazyLock<Regex> = LazyLock::new(|| expression(r"^\p{P}$"));
    match character.is_ascii() {
        true => character.is_ascii_punctuation(),
        false => matches_one(&PUNCTUATION, character),
    }
}

/// The blocks of CJK ideographs, each of which is a word of its own.
fn is_ideograph(character: char) -> bool {
    matches!(u32::from(character),
        0x4e00..=0x9fff | 0x3400..=0x4dbf | 0x20000..=0x2a6df | 0x2a700..=0x2b73f | 0x2b740..=0x2b81f
        | 0x2b920..=0x2ceaf | 0xf900..=0xfaff | 0x2f800..=0x2fa1f)
}

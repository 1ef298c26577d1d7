//! SentencePiece's merges by score ("llama" in model files).

use std::collections::HashMap;

use super::{TokenizeError, merge::merge_all};
use crate::vocabulary::{TokenKind, Vocabulary};

/// How the vocabulary spells a space.
pub(super) const SPACE: char = '▁';

/// Merges of characters into the neighbour pairs with the highest score.
#[derive(Debug)]
pub(super) struct ScoreMerge {
    ids: HashMap<Box<str>, u32>,
    scores: Vec<f32>,
    /// Bytes of each token's text.
    lengths: Vec<usize>,
    longest: usize,
    byte_tokens: Box<[Option<u32>; 256]>,
    unknown: Option<u32>,
    add_space_prefix: bool,
}

/// Scores were checked not to be NaN, so that this order is total.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Score(f32);

impl Eq for Score {}

impl PartialOrd for Score {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Score {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// Stands for a character that is no token.
const NO_TOKEN: u32 = u32::MAX - 1;

impl ScoreMerge {
    pub(super) fn new(vocabulary: &Vocabulary) -> Self {
        let mut byte_tokens = Box::new([None; 256]);
        let mut ids: HashMap<Box<str>, u32> = HashMap::new();
        for (token, text) in vocabulary.tokens.iter().enumerate().rev() {
            match (vocabulary.kind(token), byte_of(text)) {
                (TokenKind::Byte, Some(byte)) => byte_tokens[byte as usize] = Some(token as u32),
                (TokenKind::Normal | TokenKind::UserDefined, _) => {
                    ids.insert(text.as_str().into(), token as u32);
                }
                _ => {}
            }
        }
        Self {
            longest: ids.keys().map(|text| text.len()).max().unwrap_or(0),
            ids,
            scores: vocabulary.scores.clone(),
            lengths: vocabulary.tokens.iter().map(String::len).collect(),
            byte_tokens,
            unknown: vocabulary.special.unknown,
            add_space_prefix: vocabulary.special.add_space_prefix,
        }
    }

    /// `starts_text` says that nothing or a special token comes before.
    pub(super) fn encode(&self, text: &str, starts_text: bool, tokens: &mut Vec<u32>) -> Result<(), TokenizeError> {
        let prefix = if self.add_space_prefix && starts_text { " " } else { "" };
        let text = [prefix, text].concat().replace(' ', SPACE.encode_utf8(&mut [0; 4]));
        let mut bounds: Vec<usize> = text.char_indices().map(|(index, _)| index).collect();
        bounds.push(text.len());
        let token_at = |start: usize, end: usize| {
            let (start, end) = (bounds[start], bounds[end]);
            (end - start <= self.longest).then(|| self.ids.get(&text[start..end]).copied()).flatten()
        };
        let characters = bounds.len() - 1;
        let mut symbols: Vec<u32> = (0..characters).map(|at| token_at(at, at + 1).unwrap_or(NO_TOKEN)).collect();
        merge_all(&mut symbols, |left, right| {
            let merged = token_at(left.start, right.end)?;
            Some((Score(self.scores[merged as usize]), merged))
        });
        let mut position = 0;
        for symbol in symbols {
            if symbol == NO_TOKEN {
                let length = text[position..].chars().next().map_or(1, char::len_utf8);
                self.encode_bytes(&text.as_bytes()[position..position + length], tokens)?;
                position += length;
            } else {
                position += self.lengths[symbol as usize];
                tokens.push(symbol);
            }
        }
        Ok(())
    }

    fn encode_bytes(&self, bytes: &[u8], tokens: &mut Vec<u32>) -> Result<(), TokenizeError> {
        let encoded: Option<Vec<u32>> = bytes.iter().map(|&byte| self.byte_tokens[byte as usize]).collect();
        match (encoded, self.unknown) {
            (Some(encoded), _) => tokens.extend(encoded),
            (None, Some(unknown)) => tokens.push(unknown),
            (None, None) => return Err(TokenizeError::NoToken(bytes[0])),
        }
        Ok(())
    }
}

/// The byte that a token like `<0x0A>` stands for.
pub(super) fn byte_of(text: &str) -> Option<u8> {
    let digits = text.strip_prefix("<0x")?.strip_suffix('>')?;
    (digits.len() == 2).then(|| u8::from_str_radix(digits, 16).ok()).flatten()
}

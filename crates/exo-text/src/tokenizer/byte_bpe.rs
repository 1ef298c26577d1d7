//! Byte-level byte-pair encoding ("gpt2" in model files).

use std::{cmp::Reverse, collections::HashMap};

use super::{TokenizeError, merge::merge_all, words::Words};
use crate::vocabulary::{PreTokenizer, TokenKind, Vocabulary, VocabularyError};

/// Ranked merges over bytes, within words.
#[derive(Debug)]
pub(super) struct ByteBpe {
    words: Words,
    /// Token of each single byte.
    byte_tokens: Box<[Option<u32>; 256]>,
    unknown: Option<u32>,
    /// Rank and result of each pair that merges.
    merges: MergeTable,
    /// Words that are tokens as they are, where the model wants that before any merge.
    whole_words: HashMap<Box<[u8]>, u32>,
}

impl ByteBpe {
    pub(super) fn new(vocabulary: &Vocabulary, bytes: &[Box<[u8]>]) -> Result<Self, VocabularyError> {
        let is_mergeable = |token: &usize| vocabulary.kind(*token) == TokenKind::Normal;
        let ids: HashMap<&str, u32> = (0..vocabulary.tokens.len())
            .rev()
            .filter(is_mergeable)
            .map(|token| (vocabulary.tokens[token].as_str(), token as u32))
            .collect();
        let mut byte_tokens = Box::new([None; 256]);
        for &token in ids.values() {
            if let [byte] = *bytes[token as usize] {
                byte_tokens[byte as usize] = Some(token);
            }
        }
        let keeps_words = matches!(vocabulary.pre, PreTokenizer::Llama3 | PreTokenizer::Tekken);
        let whole_words = ids.values().filter(|_| keeps_words).map(|&token| (bytes[token as usize].clone(), token));
        Ok(Self {
            words: Words::new(vocabulary.pre),
            byte_tokens,
            unknown: vocabulary.special.unknown,
            whole_words: whole_words.collect(),
            merges: merge_table(&vocabulary.merges, &ids)?,
        })
    }

    pub(super) fn encode(&self, text: &str, tokens: &mut Vec<u32>) -> Result<(), TokenizeError> {
        let mut symbols = Vec::new();
        for word in self.words.split(text) {
            if let Some(&token) = self.whole_words.get(word.as_bytes()) {
                tokens.push(token);
                continue;
            }
            symbols.clear();
            for &byte in word.as_bytes() {
                let token = self.byte_tokens[byte as usize].or(self.unknown);
                symbols.push(token.ok_or(TokenizeError::NoToken(byte))?);
            }
            merge_all(&mut symbols, |left, right| {
                let &(rank, merged) = self.merges.get(&(left.symbol, right.symbol))?;
                Some((Reverse(rank), merged))
            });
            tokens.extend_from_slice(&symbols);
        }
        Ok(())
    }
}

/// From two neighbours to rank and result.
type MergeTable = HashMap<(u32, u32), (u32, u32)>;

/// Ranks of the pairs. A pair that names or would make something that is no token can never merge and is left out.
fn merge_table(merges: &[String], ids: &HashMap<&str, u32>) -> Result<MergeTable, VocabularyError> {
    let mut table = HashMap::with_capacity(merges.len());
    for (index, merge) in merges.iter().enumerate() {
        let (left, right) = merge
            .split_once(' ')
            .filter(|(left, right)| !left.is_empty() && !right.is_empty() && !right.contains(' '))
            .ok_or_else(|| VocabularyError::Merge { index, merge: merge.chars().take(80).collect() })?;
        let joined = [left, right].concat();
        if let (Some(&left), Some(&right), Some(&merged)) = (ids.get(left), ids.get(right), ids.get(joined.as_str())) {
            table.entry((left, right)).or_insert((index as u32, merged));
        }
    }
    Ok(table)
}

/// The bytes behind the spelling that byte-level vocabularies use: printable bytes stand for themselves as Latin-1,
/// the others are characters from U+0100 on, in order of the bytes. Anything else is its own UTF-8.
pub(super) fn spelled_bytes(text: &str) -> Vec<u8> {
    let spelled: Option<Vec<u8>> = text.chars().map(spelled_byte).collect();
    spelled.unwrap_or_else(|| text.as_bytes().to_vec())
}

fn spelled_byte(character: char) -> Option<u8> {
    match u32::from(character) {
        code @ (0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff) => Some(code as u8),
        // Bytes that are not printable: 0x00–0x20, 0x7f–0xa0, 0xad.
        code @ 0x100..=0x120 => Some((code - 0x100) as u8),
        code @ 0x121..=0x142 => Some((code - 0x121 + 0x7f) as u8),
        0x143 => Some(0xad),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_exactly_one_spelling() {
        let mut bytes: Vec<u8> = (0..0x200).filter_map(char::from_u32).filter_map(spelled_byte).collect();
        bytes.sort_unstable();
        assert_eq!(bytes, (0..=255).collect::<Vec<u8>>());
        assert_eq!(spelled_bytes("Ġhi"), b" hi");
        assert_eq!(spelled_bytes("Ċ"), b"\n");
        assert_eq!(spelled_bytes("字"), "字".as_bytes());
    }
}

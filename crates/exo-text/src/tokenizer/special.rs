//! Finds tokens that are recognised by their text before anything is merged.

use std::borrow::Cow;

use super::ControlTokens;
use crate::vocabulary::{TokenKind, Vocabulary};

/// Splits control texts of a user apart; a noncharacter, so that no real text has it.
const GUARD: char = '\u{fdd0}';

/// A trie over the texts of control and user-defined tokens. Lookup costs at most the longest text per position.
#[derive(Debug)]
pub(super) struct SpecialTexts {
    nodes: Vec<Node>,
}

#[derive(Debug, Default)]
struct Node {
    /// Sorted by byte.
    children: Vec<(u8, u32)>,
    token: Option<(u32, TokenKind)>,
}

impl SpecialTexts {
    pub(super) fn new(vocabulary: &Vocabulary) -> Self {
        let mut texts = Self { nodes: vec![Node::default()] };
        for (token, text) in vocabulary.tokens.iter().enumerate() {
            let kind = vocabulary.kind(token);
            if matches!(kind, TokenKind::Control | TokenKind::UserDefined) && !text.is_empty() {
                texts.insert(text.as_bytes(), token as u32, kind);
            }
        }
        texts
    }

    fn insert(&mut self, text: &[u8], token: u32, kind: TokenKind) {
        let mut node = 0;
        for &byte in text {
            node = match self.nodes[node].children.binary_search_by_key(&byte, |child| child.0) {
                Ok(found) => self.nodes[node].children[found].1 as usize,
                Err(place) => {
                    let new = self.nodes.len();
                    self.nodes.push(Node::default());
                    self.nodes[node].children.insert(place, (byte, new as u32));
                    new
                }
            };
        }
        self.nodes[node].token.get_or_insert((token, kind));
    }

    /// Length and token of the longest special text that `text` starts with.
    fn longest_at(&self, text: &[u8], accept: impl Fn(TokenKind) -> bool) -> Option<(usize, u32)> {
        let (mut node, mut longest) = (0, None);
        for (index, byte) in text.iter().enumerate() {
            let children = &self.nodes[node].children;
            let Ok(found) = children.binary_search_by_key(byte, |child| child.0) else { break };
            node = children[found].1 as usize;
            if let Some((token, _)) = self.nodes[node].token.filter(|(_, kind)| accept(*kind)) {
                longest = Some((index + 1, token));
            }
        }
        longest
    }

    /// The control token with exactly this text.
    pub(super) fn control_token(&self, text: &str) -> Option<u32> {
        let (length, token) = self.longest_at(text.as_bytes(), |kind| kind == TokenKind::Control)?;
        (length == text.len()).then_some(token)
    }

    /// Pieces of plain text, each with the special token that follows it.
    pub(super) fn split<'a>(
        &'a self,
        text: &'a str,
        control: ControlTokens,
    ) -> impl Iterator<Item = (&'a str, Option<u32>)> + 'a {
        let accept = move |kind| kind == TokenKind::UserDefined || control == ControlTokens::Parse;
        let mut start = 0;
        let mut is_done = false;
        std::iter::from_fn(move || {
            if is_done {
                return None;
            }
            let at_special = |at| Some((at, self.longest_at(&text.as_bytes()[at..], accept)?));
            if let Some((at, (length, token))) = (start..text.len()).find_map(at_special) {
                let plain = &text[start..at];
                start = at + length;
                return Some((plain, Some(token)));
            }
            is_done = true;
            Some((&text[start..], None))
        })
    }

    /// Puts a guard behind the first character of every control text.
    pub(super) fn guard(&self, text: &str) -> String {
        let text = without_guards(text);
        let mut guarded = String::with_capacity(text.len());
        for (at, character) in text.char_indices() {
            guarded.push(character);
            if self.longest_at(&text.as_bytes()[at..], |kind| kind == TokenKind::Control).is_some() {
                guarded.push(GUARD);
            }
        }
        guarded
    }
}

/// `text` as the user wrote it.
pub(super) fn without_guards(text: &str) -> Cow<'_, str> {
    if text.contains(GUARD) { text.replace(GUARD, "").into() } else { text.into() }
}

//! Finds tokens that are recognised by their text before anything is merged.

use std::borrow::Cow;

use super::{ControlTokens, trie::Trie};
use crate::vocabulary::{TokenKind, Vocabulary};

/// Splits control texts of a user apart; a noncharacter, so that no real text has it.
const GUARD: char = '\u{fdd0}';

/// The texts of control and user-defined tokens. Lookup costs at most the longest text per position.
#[derive(Debug)]
pub(super) struct SpecialTexts {
    texts: Trie<(u32, TokenKind)>,
}

impl SpecialTexts {
    pub(super) fn new(vocabulary: &Vocabulary) -> Self {
        let mut texts = Trie::new();
        for (token, text) in vocabulary.tokens.iter().enumerate() {
            let kind = vocabulary.kind(token);
            if matches!(kind, TokenKind::Control | TokenKind::UserDefined) && !text.is_empty() {
                texts.insert(text.as_bytes(), (token as u32, kind));
            }
        }
        Self { texts }
    }

    /// Length and token of the longest special text that `text` starts with. A control text with a guard behind it is a
    /// user's: one of a single character, since others have it inside.
    fn longest_at(&self, text: &[u8], accept: impl Fn(TokenKind) -> bool) -> Option<(usize, u32)> {
        let is_guarded = |length: usize| text[length..].starts_with(GUARD.encode_utf8(&mut [0; 4]).as_bytes());
        let is_users = |length, kind| kind == TokenKind::Control && is_guarded(length);
        let found = self.texts.beginnings(text);
        let accepted = found.filter(|(length, (_, kind))| accept(*kind) && !is_users(*length, *kind));
        accepted.last().map(|(length, (token, _))| (length, token))
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

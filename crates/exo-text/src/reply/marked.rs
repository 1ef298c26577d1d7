//! Replies in which tags stand around reasoning and calls.

use super::{
    Parts,
    format::{Bracket, Thinking},
    scanner::Scanner,
};

/// Where in the reply we are.
#[derive(Debug, Clone)]
enum At {
    Content,
    Reasoning,
    /// Behind the opening of a bracket; what came since, the opening included.
    Call(Bracket, String),
}

/// Follows tags.
#[derive(Debug, Clone)]
pub(super) struct Marked {
    thinking: Option<Thinking>,
    brackets: &'static [Bracket],
    scanner: Scanner,
    at: At,
    /// Newlines right behind a tag belong to it.
    is_behind_tag: bool,
}

impl Marked {
    pub(super) fn new(thinking: Option<Thinking>, brackets: &'static [Bracket], starts_in_reasoning: bool) -> Self {
        let at = if starts_in_reasoning && thinking.is_some() { At::Reasoning } else { At::Content };
        Self { thinking, brackets, scanner: Scanner::default(), at, is_behind_tag: starts_in_reasoning }
    }

    pub(super) fn is_reasoning(&self) -> bool {
        matches!(self.at, At::Reasoning)
    }

    pub(super) fn push(&mut self, text: &str, parts: &mut Parts) {
        self.scanner.push(text);
        loop {
            let (before, marker) = self.scanner.take(&self.markers());
            self.text(&before, parts);
            let Some(marker) = marker else { return };
            self.marker(marker, parts);
        }
    }

    pub(super) fn finish(&mut self, parts: &mut Parts) {
        let rest = self.scanner.finish();
        self.text(&rest, parts);
        if let At::Call(bracket, raw) = std::mem::replace(&mut self.at, At::Content) {
            // What should have been closed and was not is cut off, not called.
            match (bracket.read)(&raw[bracket.open.len()..]).filter(|_| bracket.close.is_none()) {
                Some(calls) => parts.calls(calls),
                None => parts.content(&raw),
            }
        }
    }

    /// What may end the present state.
    fn markers(&self) -> Vec<&'static str> {
        let opens = || self.brackets.iter().map(|bracket| bracket.open);
        match &self.at {
            At::Content => self.thinking.iter().map(|tags| tags.open).chain(opens()).collect(),
            At::Reasoning => self.thinking.iter().map(|tags| tags.close).collect(),
            At::Call(Bracket { close: Some(close), .. }, _) => vec![close],
            At::Call(bracket, _) => vec![bracket.open],
        }
    }

    fn text(&mut self, text: &str, parts: &mut Parts) {
        if let At::Call(_, raw) = &mut self.at {
            return raw.push_str(text);
        }
        let shown = if self.is_behind_tag { text.trim_start_matches('\n') } else { text };
        self.is_behind_tag &= shown.is_empty();
        match self.at {
            At::Reasoning => parts.reasoning(shown),
            _ => parts.content(shown),
        }
    }

    fn marker(&mut self, marker: &'static str, parts: &mut Parts) {
        self.is_behind_tag = true;
        match std::mem::replace(&mut self.at, At::Content) {
            At::Content if self.thinking.is_some_and(|tags| tags.open == marker) => self.at = At::Reasoning,
            At::Content => self.open(marker),
            At::Reasoning => {}
            At::Call(bracket, raw) => {
                self.close(bracket, raw, marker, parts);
                if bracket.close.is_none() {
                    self.open(marker);
                }
            }
        }
    }

    fn open(&mut self, marker: &'static str) {
        if let Some(bracket) = self.brackets.iter().find(|bracket| bracket.open == marker) {
            self.at = At::Call(*bracket, marker.to_owned());
        }
    }

    fn close(&mut self, bracket: Bracket, raw: String, marker: &str, parts: &mut Parts) {
        match (bracket.read)(&raw[bracket.open.len()..]) {
            Some(calls) => parts.calls(calls),
            None => {
                self.is_behind_tag = false;
                parts.content(&raw);
                parts.content(if bracket.close.is_some() { marker } else { "" });
            }
        }
    }
}

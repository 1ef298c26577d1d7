//! Finds markers in a stream of text, at any byte offset.

/// Holds back only what may still become a marker. No marker of a set may be a prefix of another.
#[derive(Debug, Clone, Default)]
pub(super) struct Scanner {
    held: String,
}

impl Scanner {
    /// Adds text behind what is held.
    pub(super) fn push(&mut self, text: &str) {
        self.held.push_str(text);
    }

    /// The text before the first of `markers` and that marker. Without one: the text that surely is no part of any.
    pub(super) fn take(&mut self, markers: &[&'static str]) -> (String, Option<&'static str>) {
        let found = markers.iter().filter_map(|marker| Some((self.held.find(marker)?, *marker)));
        if let Some((start, marker)) = found.min_by_key(|(start, _)| *start) {
            let rest = self.held.split_off(start + marker.len());
            let mut before = std::mem::replace(&mut self.held, rest);
            before.truncate(start);
            return (before, Some(marker));
        }
        let kept = markers.iter().map(|marker| overlap(&self.held, marker)).max().unwrap_or(0);
        let rest = self.held.split_off(self.held.len() - kept);
        (std::mem::replace(&mut self.held, rest), None)
    }

    /// What was held back and became no marker.
    pub(super) fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

/// Length of the longest end of `text` that is the start of `marker`, but not all of it.
pub(super) fn overlap(text: &str, marker: &str) -> usize {
    let longest = text.len().min(marker.len().saturating_sub(1));
    let is_start = |length: &usize| marker.as_bytes().starts_with(&text.as_bytes()[text.len() - length..]);
    (1..=longest).rev().find(is_start).unwrap_or(0)
}

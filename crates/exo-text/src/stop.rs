//! Stop strings.

use thiserror::Error;

/// Most stop strings of a request.
pub const MAX_STOPS: usize = 16;
/// Longest stop string in bytes.
pub const MAX_STOP_BYTES: usize = 512;

/// Stop strings that are refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StopError {
    /// Too many of them.
    #[error("{0} stop strings were given; the limit is {MAX_STOPS}")]
    TooMany(usize),
    /// One is too long.
    #[error("a stop string has {0} bytes; the limit is {MAX_STOP_BYTES}")]
    TooLong(usize),
    /// One would stop everything at once.
    #[error("a stop string is empty; leave it out")]
    Empty,
}

/// Finds the stop string that is complete first in a stream of text, and of those that end together the longest.
///
/// Only text that may still become part of a stop string is held back. How the text is cut never changes the result.
/// Runs one Knuth–Morris–Pratt automaton for each stop string: constant work per byte, no look-back.
#[derive(Debug, Clone)]
pub struct StopMatcher {
    automata: Vec<Automaton>,
    held: String,
    stopped: bool,
}

#[derive(Debug, Clone)]
struct Automaton {
    pattern: Vec<u8>,
    /// For each length of a partial match: the length of its longest proper prefix that is also its suffix.
    fallback: Vec<usize>,
    /// Length of the partial match.
    matched: usize,
}

impl StopMatcher {
    /// A matcher at the start of a text.
    pub fn new(stops: &[String]) -> Result<Self, StopError> {
        if stops.len() > MAX_STOPS {
            return Err(StopError::TooMany(stops.len()));
        }
        for stop in stops {
            match stop.len() {
                0 => return Err(StopError::Empty),
                length if length > MAX_STOP_BYTES => return Err(StopError::TooLong(length)),
                _ => {}
            }
        }
        let automata = stops.iter().map(|stop| Automaton::new(stop.as_bytes())).collect();
        Ok(Self { automata, held: String::new(), stopped: false })
    }

    /// Takes new text and returns what is certain to be outside of any stop string. After a stop it is always empty.
    pub fn push(&mut self, text: &str) -> String {
        if self.stopped {
            return String::new();
        }
        let already_seen = self.held.len();
        self.held.push_str(text);
        for (index, &byte) in self.held.as_bytes().iter().enumerate().skip(already_seen) {
            let longest_match = self.automata.iter_mut().filter_map(|automaton| automaton.step(byte)).max();
            if let Some(length) = longest_match {
                self.stopped = true;
                self.held.truncate(index + 1 - length);
                return std::mem::take(&mut self.held);
            }
        }
        let may_match = self.automata.iter().map(|automaton| automaton.matched).max().unwrap_or(0);
        let rest = self.held.split_off(self.held.len() - may_match);
        std::mem::replace(&mut self.held, rest)
    }

    /// Whether a stop string was found.
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Ends the text: returns what was held back and is no stop string after all.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

impl Automaton {
    fn new(pattern: &[u8]) -> Self {
        let mut fallback = vec![0; pattern.len() + 1];
        for end in 1..pattern.len() {
            let mut prefix = fallback[end];
            while prefix > 0 && pattern[prefix] != pattern[end] {
                prefix = fallback[prefix];
            }
            fallback[end + 1] = prefix + usize::from(pattern[prefix] == pattern[end]);
        }
        Self { pattern: pattern.to_vec(), fallback, matched: 0 }
    }

    /// Takes one byte; the length of the pattern once it is complete.
    fn step(&mut self, byte: u8) -> Option<usize> {
        while self.matched > 0 && self.pattern[self.matched] != byte {
            self.matched = self.fallback[self.matched];
        }
        self.matched += usize::from(self.pattern[self.matched] == byte);
        (self.matched == self.pattern.len()).then_some(self.matched)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stops(stops: &[&str]) -> Vec<String> {
        stops.iter().map(|stop| (*stop).to_owned()).collect()
    }

    fn feed(patterns: &[String], pieces: &[&str]) -> (String, bool) {
        let mut matcher = StopMatcher::new(patterns).expect("valid stops");
        let mut text: String = pieces.iter().map(|piece| matcher.push(piece)).collect();
        text += &matcher.finish();
        (text, matcher.is_stopped())
    }

    #[test]
    fn text_ends_before_the_stop_string_that_is_complete_first() {
        let check = |patterns: &[&str], text: &str, expect: &str, stopped: bool| {
            assert_eq!(feed(&stops(patterns), &[text]), (expect.to_owned(), stopped), "{patterns:?} in {text:?}");
        };
        check(&[], "abc", "abc", false);
        check(&["x"], "abc", "abc", false);
        check(&["b"], "abc", "a", true);
        check(&["abcd", "bc"], "abcd", "a", true);
        check(&["bc", "abc"], "abc", "", true);
        check(&["aab"], "aaab", "a", true);
        check(&["abab"], "abaabab", "aba", true);
        check(&["END"], "the EN", "the EN", false);
        check(&["€"], "5 €", "5 ", true);
    }

    #[test]
    fn only_a_possible_stop_is_held_back() {
        let mut matcher = StopMatcher::new(&stops(&["\n\nUser:"])).expect("valid stops");
        assert_eq!(matcher.push("Hi.\n"), "Hi.");
        assert_eq!(matcher.push("\n"), "");
        assert_eq!(matcher.push("Us"), "");
        assert_eq!(matcher.push("ing"), "\n\nUsing");
        assert_eq!(matcher.push("\n\nUser: x"), "");
        assert!(matcher.is_stopped());
        assert_eq!(matcher.push("more"), "");
    }

    #[test]
    fn refused_stops_say_why() {
        let check = |patterns: Vec<String>, expect: StopError| {
            assert_eq!(StopMatcher::new(&patterns).expect_err("refused"), expect);
        };
        check(vec![String::new()], StopError::Empty);
        check(vec!["x".repeat(513)], StopError::TooLong(513));
        check(vec!["x".to_owned(); 17], StopError::TooMany(17));
    }

    proptest! {
        #[test]
        fn cuts_never_change_the_result(
            patterns in proptest::collection::vec("[abä]{1,4}", 0..4),
            text in "[abäc]{0,40}",
            cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..10),
        ) {
            let mut bounds: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
            bounds.retain(|&bound| text.is_char_boundary(bound));
            bounds.extend([0, text.len()]);
            bounds.sort_unstable();
            let pieces: Vec<&str> = bounds.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect();
            let whole = feed(&patterns, &[&text]);
            prop_assert_eq!(feed(&patterns, &pieces), whole.clone());
            let first_end = (0..=text.len()).find_map(|end| {
                let found = patterns.iter().filter(|p| text.as_bytes()[..end].ends_with(p.as_bytes()));
                found.map(String::len).max().map(|length| end - length)
            });
            prop_assert_eq!(whole, (text[..first_end.unwrap_or(text.len())].to_owned(), first_end.is_some()));
        }
    }
}

//! What clients have read while runners were killed.

use crate::cluster::{Answer, Told};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// What all clients together have seen so far.
#[derive(Debug, Default, Clone)]
pub struct Seen {
    /// Runners that were killed.
    pub kills: usize,
    /// Answers that were as they had to be.
    pub right: usize,
    /// Of those, so many during which a runner was killed.
    pub disturbed: usize,
    /// Answers with other text, or without an end.
    pub wrong: Vec<String>,
    /// Answers that ended with an error, by code.
    pub failed: BTreeMap<String, usize>,
    /// The longest wait for a piece.
    pub longest_pause: Duration,
}

impl Seen {
    /// Takes in an answer of a stream, which was asked for after `before` kills.
    pub fn take(&mut self, stream: usize, before: usize, told: Told, expect: &str) {
        self.longest_pause = self.longest_pause.max(told.longest_pause);
        let mut wrong =
            |what: String| self.wrong.push(format!("stream {stream}, kills {before} to {}: {what}", self.kills));
        match told.answer {
            Answer::Whole if told.text == expect => {
                self.right += 1;
                self.disturbed += usize::from(self.kills > before);
            }
            Answer::Whole => {
                let same = told.text.chars().zip(expect.chars()).take_while(|(told, expect)| told == expect).count();
                wrong(format!("another text after {same} of {} characters", expect.chars().count()));
            }
            Answer::Failed(code) => *self.failed.entry(code).or_default() += 1,
            other => wrong(format!("{other:?}")),
        }
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} answers were right, {} wrong", self.right, self.wrong.len())?;
        self.failed.iter().try_for_each(|(code, times)| write!(f, ", {times} ended with {code}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(answer: Answer, text: &str) -> Told {
        Told { answer, text: text.to_owned(), longest_pause: Duration::from_secs(1) }
    }

    #[test]
    fn an_answer_is_judged_by_its_end_and_its_text() {
        let mut seen = Seen { kills: 3, ..Seen::default() };
        seen.take(0, 3, told(Answer::Whole, "abc"), "abc");
        seen.take(0, 2, told(Answer::Whole, "abc"), "abc");
        seen.take(1, 2, told(Answer::Whole, "abd"), "abc");
        seen.take(2, 1, told(Answer::Open, "ab"), "abc");
        seen.take(3, 3, told(Answer::Failed("runner_lost".to_owned()), "a"), "abc");
        assert_eq!((seen.right, seen.disturbed), (2, 1));
        let wrong = ["stream 1, kills 2 to 3: another text after 2 of 3 characters", "stream 2, kills 1 to 3: Open"];
        assert_eq!(seen.wrong, wrong);
        assert_eq!(seen.to_string(), "2 answers were right, 2 wrong, 1 ended with runner_lost");
        assert_eq!(seen.longest_pause, Duration::from_secs(1));
    }
}

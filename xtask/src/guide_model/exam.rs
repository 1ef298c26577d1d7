//! Asks questions, several at once, and compares the answers word for word.

use crate::guide_model::corpus::Question;
use crate::progress;
use anyhow::{Context, Result};
use exo_engine::{Engine, GenerateRequest, Output, Prompt, ReplyOptions, Turn};
use exo_text::{ChatMessage, Sampling};
use std::collections::BTreeMap;
use std::fmt;

/// Most tokens of an answer; a model that goes on is wrong anyway.
const LONGEST_ANSWER: u32 = 128;

/// Questions to ask.
pub struct Exam {
    /// All of them.
    pub questions: Vec<Question>,
    /// A bar on standard error.
    pub show_progress: bool,
}

/// How many were right.
#[derive(Debug, Clone, Copy, Default)]
pub struct Score {
    /// Answered word for word.
    pub right: usize,
    /// Asked.
    pub asked: usize,
}

/// The result.
#[derive(Debug, Default)]
pub struct Marks {
    /// Of questions that training saw.
    pub trained: Score,
    /// Of those that it did not.
    pub held_back: Score,
    /// What was answered wrongly.
    pub wrong: Vec<WrongAnswer>,
}

/// A question that was not answered as it should be.
#[derive(Debug)]
pub struct WrongAnswer {
    question: Question,
    answer: String,
}

/// A question under way.
struct Asked {
    question: Question,
    answer: String,
}

impl Exam {
    /// Asks everything. The engine decides how many run at once; it never has to queue more than it may.
    pub fn hold(self, engine: &mut Engine) -> Result<Marks> {
        let bar = progress::bar(self.questions.len(), "questions", self.show_progress);
        let mut left = (0_u64..).zip(self.questions);
        let mut under_way: BTreeMap<u64, Asked> = BTreeMap::new();
        let mut marks = Marks::default();
        loop {
            while under_way.len() < super::BATCH as usize
                && let Some((id, question)) = left.next()
            {
                engine.submit(request(id, &question)).with_context(|| question.text.clone())?;
                under_way.insert(id, Asked { question, answer: String::new() });
            }
            if under_way.is_empty() {
                break;
            }
            for output in engine.step()? {
                if take(output, &mut under_way, &mut marks) {
                    bar.inc(1);
                }
            }
        }
        bar.finish_and_clear();
        Ok(marks)
    }
}

/// Adds an output to the answer that it belongs to; whether that was its end.
fn take(output: Output, under_way: &mut BTreeMap<u64, Asked>, marks: &mut Marks) -> bool {
    let Some(asked) = under_way.get_mut(&output.id) else { return false };
    asked.answer.push_str(&output.text);
    if output.finish.is_none() {
        return false;
    }
    if let Some(Asked { question, answer }) = under_way.remove(&output.id) {
        marks.note(question, answer);
    }
    true
}

impl Marks {
    fn note(&mut self, question: Question, answer: String) {
        let score = if question.held_back { &mut self.held_back } else { &mut self.trained };
        score.asked += 1;
        if words(&answer) == words(&question.answer) {
            score.right += 1;
        } else {
            self.wrong.push(WrongAnswer { question, answer });
        }
    }
}

impl Score {
    /// Right ones of those asked; one that was not asked anything did nothing wrong.
    pub fn share(&self) -> f64 {
        if self.asked == 0 { 1.0 } else { self.right as f64 / self.asked as f64 }
    }
}

impl fmt::Display for WrongAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.question.held_back { "held back" } else { "trained" };
        let Question { text, answer, .. } = &self.question;
        write!(f, "? {text} ({kind})\n  expected {answer}\n  answered {}", self.answer)
    }
}

fn request(id: u64, question: &Question) -> GenerateRequest {
    GenerateRequest {
        id,
        prompt: Prompt::Chat(vec![ChatMessage::new("user", question.text.clone())].into()),
        sampling: Sampling::default(),
        max_tokens: Some(LONGEST_ANSWER),
        stop: Vec::new(),
        ignore_eos: false,
        reply: ReplyOptions::default(),
        answered: Vec::new(),
        asked_at: None,
        turn: Turn::default(),
    }
}

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

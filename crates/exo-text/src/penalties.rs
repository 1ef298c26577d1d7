//! Penalties on tokens of the recent past.

use std::collections::{BTreeMap, VecDeque};

use crate::sampling::Sampling;

/// The last tokens of a request, and how often each occurs among them.
#[derive(Debug, Clone)]
pub(crate) struct Penalties {
    window: usize,
    recent: VecDeque<(u32, bool)>,
    counts: BTreeMap<u32, Counts>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    seen: u32,
    generated: u32,
}

impl Penalties {
    pub(crate) fn new(window: usize) -> Self {
        Self { window, recent: VecDeque::with_capacity(window), counts: BTreeMap::new() }
    }

    /// Remembers a token; `generated` tells the answer from the prompt.
    pub(crate) fn push(&mut self, token: u32, generated: bool) {
        if self.recent.len() == self.window
            && let Some((oldest, was_generated)) = self.recent.pop_front()
        {
            self.forget(oldest, was_generated);
        }
        self.recent.push_back((token, generated));
        let counts = self.counts.entry(token).or_default();
        counts.seen += 1;
        counts.generated += u32::from(generated);
    }

    fn forget(&mut self, token: u32, generated: bool) {
        if let Some(counts) = self.counts.get_mut(&token) {
            counts.seen -= 1;
            counts.generated -= u32::from(generated);
            if counts.seen == 0 {
                self.counts.remove(&token);
            }
        }
    }

    /// Changes the logits of the tokens in the window.
    pub(crate) fn apply(&self, sampling: &Sampling, logits: &mut [f32]) {
        for (&token, counts) in &self.counts {
            let Some(logit) = logits.get_mut(token as usize) else { continue };
            let factor = sampling.repetition_penalty;
            *logit = if *logit > 0.0 { *logit / factor } else { *logit * factor };
            if counts.generated > 0 {
                *logit -= sampling.presence_penalty + sampling.frequency_penalty * counts.generated as f32;
            }
        }
    }
}

//! Chooses the next token from logits.

use std::cmp::Ordering;

use thiserror::Error;

use crate::{penalties::Penalties, rng::Rng, sampling::Sampling, token_set::TokenSet};

/// Logits from which no token can be chosen.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum SampleError {
    /// NaN or +∞.
    #[error("the logit of token {token} is {value}; the weights or the kernels are broken")]
    NotFinite {
        /// First token with such a logit.
        token: usize,
        /// The logit.
        value: f32,
    },
    /// Nothing is possible.
    #[error("none of the {0} tokens is possible")]
    NoCandidate(usize),
}

/// The log probability of a chosen token, from the model's own distribution before bias, penalties and temperature.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenLogprob {
    /// The chosen token.
    pub token: u32,
    /// Natural logarithm of its probability.
    pub logprob: f32,
    /// The most likely tokens, the likeliest first, as many as were asked for.
    pub top: Vec<(u32, f32)>,
}

/// A chosen token.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampled {
    /// The token.
    pub token: u32,
    /// Present where the request asked for log probabilities.
    pub logprob: Option<TokenLogprob>,
}

/// The sampler of one request: its parameters, its draws and its window of past tokens.
#[derive(Debug, Clone)]
pub struct Sampler {
    sampling: Sampling,
    rng: Rng,
    penalties: Penalties,
    candidates: Vec<Candidate>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Candidate {
    token: u32,
    logit: f32,
}

impl Candidate {
    /// Likeliest first; of equals the lowest id.
    fn order(&self, other: &Self) -> Ordering {
        other.logit.total_cmp(&self.logit).then(self.token.cmp(&other.token))
    }
}

impl Sampler {
    /// A sampler that has seen `prompt`; `sampling` was validated.
    pub fn new(sampling: Sampling, prompt: &[u32]) -> Self {
        let mut penalties = Penalties::new(sampling.penalty_window as usize);
        if sampling.has_penalties() {
            prompt.iter().for_each(|&token| penalties.push(token, false));
        }
        Self { rng: Rng::new(sampling.seed), sampling, penalties, candidates: Vec::new() }
    }

    /// Chooses a token and remembers it. `logits` has one value per token of the vocabulary and is changed in place.
    pub fn sample(&mut self, logits: &mut [f32]) -> Result<Sampled, SampleError> {
        self.sample_among(logits, None)
    }

    /// The same, of the tokens in `allowed` only. Bias and penalties come before: they never make possible what is not
    /// allowed.
    pub fn sample_among(&mut self, logits: &mut [f32], allowed: Option<&TokenSet>) -> Result<Sampled, SampleError> {
        check_finite(logits)?;
        let raw = self.sampling.logprobs.map(|count| Logprobs::new(logits, count as usize));
        for (&token, &bias) in &self.sampling.logit_bias {
            if let Some(logit) = logits.get_mut(token as usize) {
                *logit += bias;
            }
        }
        if self.sampling.has_penalties() {
            self.penalties.apply(&self.sampling, logits);
        }
        if let Some(allowed) = allowed {
            allowed.restrict(logits);
        }
        let token = if self.sampling.temperature == 0.0 { greedy(logits)? } else { self.draw(logits)? };
        if self.sampling.has_penalties() {
            self.penalties.push(token, true);
        }
        Ok(Sampled { token, logprob: raw.map(|raw| raw.of(token)) })
    }

    /// Remembers a token that another sampler of the same request chose: the next draw is the one that it would have
    /// made. Every token takes one draw, but a greedy one none.
    pub fn replay(&mut self, token: u32) {
        if self.sampling.temperature != 0.0 {
            self.rng.next_unit();
        }
        if self.sampling.has_penalties() {
            self.penalties.push(token, true);
        }
    }

    fn draw(&mut self, logits: &[f32]) -> Result<u32, SampleError> {
        self.candidates.clear();
        let possible = logits.iter().enumerate().filter(|(_, logit)| **logit > f32::NEG_INFINITY);
        self.candidates.extend(possible.map(|(token, &logit)| Candidate { token: token as u32, logit }));
        let highest = self.candidates.iter().map(|candidate| candidate.logit).fold(f32::NEG_INFINITY, f32::max);
        if self.candidates.is_empty() {
            return Err(SampleError::NoCandidate(logits.len()));
        }
        let weight = Weight { highest, temperature: self.sampling.temperature };
        keep_top_k(&mut self.candidates, self.sampling.top_k as usize);
        keep_top_p(&mut self.candidates, self.sampling.top_p, weight);
        let min_weight = f64::from(self.sampling.min_p);
        self.candidates.retain(|candidate| weight.of(candidate) >= min_weight);
        let total = self.candidates.iter().map(|candidate| weight.of(candidate)).sum::<f64>();
        let mut left = self.rng.next_unit() * total;
        for candidate in &self.candidates {
            left -= weight.of(candidate);
            if left < 0.0 {
                return Ok(candidate.token);
            }
        }
        // Rounding may leave a hair after the last weight.
        self.candidates.last().map(|candidate| candidate.token).ok_or(SampleError::NoCandidate(logits.len()))
    }
}

/// Probabilities up to a factor: the likeliest token weighs 1.
#[derive(Clone, Copy)]
struct Weight {
    highest: f32,
    temperature: f32,
}

impl Weight {
    fn of(self, candidate: &Candidate) -> f64 {
        f64::from(((candidate.logit - self.highest) / self.temperature).exp())
    }
}

fn check_finite(logits: &[f32]) -> Result<(), SampleError> {
    match logits.iter().position(|logit| logit.is_nan() || *logit == f32::INFINITY) {
        Some(token) => Err(SampleError::NotFinite { token, value: logits[token] }),
        None => Ok(()),
    }
}

fn greedy(logits: &[f32]) -> Result<u32, SampleError> {
    let (mut best, mut highest) = (None, f32::NEG_INFINITY);
    for (token, &logit) in logits.iter().enumerate() {
        if logit > highest {
            (best, highest) = (Some(token as u32), logit);
        }
    }
    best.ok_or(SampleError::NoCandidate(logits.len()))
}

/// Moves the `count` likeliest to the front, in order, in linear time.
fn sort_front(candidates: &mut [Candidate], count: usize) {
    if count < candidates.len() {
        candidates.select_nth_unstable_by(count, Candidate::order);
    }
    let end = count.min(candidates.len());
    candidates[..end].sort_unstable_by(Candidate::order);
}

fn keep_top_k(candidates: &mut Vec<Candidate>, top_k: usize) {
    if top_k > 0 {
        sort_front(candidates, top_k);
        candidates.truncate(top_k);
    }
}

/// Keeps the smallest set of the likeliest whose probabilities reach `top_p`. The set is small for sharp
/// distributions, so it is searched in fronts that grow fourfold rather than in a full sort.
fn keep_top_p(candidates: &mut Vec<Candidate>, top_p: f32, weight: Weight) {
    if top_p >= 1.0 {
        return;
    }
    let wanted = f64::from(top_p) * candidates.iter().map(|candidate| weight.of(candidate)).sum::<f64>();
    let (mut sorted, mut front, mut reached) = (0, 64, 0.0);
    while sorted < candidates.len() {
        sort_front(&mut candidates[sorted..], front);
        let end = (sorted + front).min(candidates.len());
        for index in sorted..end {
            reached += weight.of(&candidates[index]);
            if reached >= wanted {
                candidates.truncate(index + 1);
                return;
            }
        }
        (sorted, front) = (end, front * 4);
    }
}

/// The model's own distribution, kept before anything changes the logits.
struct Logprobs {
    logits: Vec<f32>,
    log_sum: f64,
    top: Vec<(u32, f32)>,
}

impl Logprobs {
    fn new(logits: &[f32], count: usize) -> Self {
        let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum = logits.iter().map(|logit| f64::from((logit - highest).exp())).sum::<f64>();
        let log_sum = f64::from(highest) + sum.ln();
        let mut candidates: Vec<Candidate> =
            logits.iter().enumerate().map(|(token, &logit)| Candidate { token: token as u32, logit }).collect();
        sort_front(&mut candidates, count);
        candidates.truncate(count);
        let top = candidates.iter().map(|c| (c.token, (f64::from(c.logit) - log_sum) as f32)).collect();
        Self { logits: logits.to_vec(), log_sum, top }
    }

    fn of(self, token: u32) -> TokenLogprob {
        let logprob = f64::from(self.logits[token as usize]) - self.log_sum;
        TokenLogprob { token, logprob: logprob as f32, top: self.top }
    }
}

#[cfg(test)]
mod tests;

//! The answer of one request while it grows: tokens become text, text meets stop strings.

use std::time::Instant;

use exo_text::{Detokenizer, SampleError, Sampler, StopError, StopMatcher, TokenLogprob, Tokenizer};

use crate::request::{Finish, GenerateRequest, Output, Timings, Usage};

/// State of one request beside its place in the scheduler.
pub(crate) struct Answer {
    id: u64,
    sampler: Sampler,
    detokenizer: Detokenizer,
    stop: StopMatcher,
    ignore_eos: bool,
    usage: Usage,
    submitted: Instant,
    started: Option<Instant>,
    first_token: Option<Instant>,
    last_token: Option<Instant>,
}

impl Answer {
    /// An answer of no tokens yet; fails on stop strings that are refused.
    pub(crate) fn new(request: &GenerateRequest, prompt: &[u32], now: Instant) -> Result<Self, StopError> {
        Ok(Self {
            id: request.id,
            sampler: Sampler::new(request.sampling.clone(), prompt),
            detokenizer: Detokenizer::new(),
            stop: StopMatcher::new(&request.stop)?,
            ignore_eos: request.ignore_eos,
            usage: Usage { prompt_tokens: prompt.len() as u32, ..Usage::default() },
            submitted: now,
            started: None,
            first_token: None,
            last_token: None,
        })
    }

    /// Notes that a step works on the request, `cached` of its tokens being there already.
    pub(crate) fn start(&mut self, now: Instant, cached: u32) {
        if self.started.is_none() {
            self.started = Some(now);
            self.usage.cached_tokens = cached;
        }
    }

    /// Chooses the next token. It joins the answer with `push`.
    pub(crate) fn sample(&mut self, logits: &mut [f32]) -> Result<exo_text::Sampled, SampleError> {
        self.sampler.sample(logits)
    }

    /// Adds a token. `is_last` says that no more may follow. The output ends the request if the token or the text
    /// it completes does.
    pub(crate) fn push(
        &mut self,
        token: u32,
        logprob: Option<TokenLogprob>,
        is_last: bool,
        tokenizer: &Tokenizer,
        now: Instant,
    ) -> Output {
        self.usage.completion_tokens += 1;
        self.first_token.get_or_insert(now);
        self.last_token = Some(now);
        let is_end = tokenizer.is_end(token);
        let mut text = String::new();
        if !is_end {
            text = self.stop.push(&self.detokenizer.push(tokenizer.token_bytes(token)));
        }
        let is_stopped = self.stop.is_stopped() || (is_end && !self.ignore_eos);
        let finish = if is_stopped { Some(Finish::Stop) } else { is_last.then_some(Finish::Length) };
        if finish.is_some() {
            text += &self.rest();
        }
        Output { text, token_ids: vec![token], logprobs: logprob.into_iter().collect(), ..self.output(finish) }
    }

    /// Ends the answer from outside, with the text that was held back.
    pub(crate) fn end(&mut self, finish: Finish) -> Output {
        Output { text: self.rest(), ..self.output(Some(finish)) }
    }

    fn rest(&mut self) -> String {
        let tail = self.detokenizer.finish();
        let text = self.stop.push(&tail);
        text + &self.stop.finish()
    }

    fn output(&self, finish: Option<Finish>) -> Output {
        Output {
            id: self.id,
            text: String::new(),
            token_ids: Vec::new(),
            logprobs: Vec::new(),
            finish,
            usage: self.usage,
            timings: self.timings(),
        }
    }

    fn timings(&self) -> Timings {
        let Some(started) = self.started else { return Timings::default() };
        let since_start = |at: Option<Instant>| at.map_or_else(Default::default, |at| at - started);
        Timings {
            waiting: started - self.submitted,
            prefill: since_start(self.first_token),
            decode: since_start(self.last_token).saturating_sub(since_start(self.first_token)),
        }
    }
}

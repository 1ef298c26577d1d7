//! The answer of one request while it grows: tokens become text, text meets stop strings, and is told apart.

use std::time::{Duration, Instant};

use exo_grammar::Allowed;
use exo_text::{Detokenizer, ReplyParser, ReplyPart, SampleError, Sampled, Sampler, StopError, StopMatcher, Tokenizer};

use crate::{
    embedding::{PooledStates, Pooling},
    guide::{Guidance, Guide},
    request::{Finish, GenerateRequest, Output, Timings, Usage},
};

/// State of one request beside its place in the scheduler.
pub(crate) struct Answer {
    id: u64,
    sampler: Sampler,
    detokenizer: Detokenizer,
    stop: StopMatcher,
    reply: Reply,
    guide: Option<Guide>,
    /// Logits of the next token, while the grammar computes what it may be.
    parked: Option<Vec<f32>>,
    /// Where a vector is wanted instead of tokens.
    states: Option<PooledStates>,
    ignore_eos: bool,
    one_call: bool,
    usage: Usage,
    submitted: Instant,
    started: Option<Instant>,
    /// Since when it waits for something urgent, and how long it did before its first token and after.
    paused: Option<Instant>,
    pauses: [Duration; 2],
    first_token: Option<Instant>,
    last_token: Option<Instant>,
}

/// How the text of an answer is read.
pub(crate) struct Reply {
    /// None for text that is no reply to a chat.
    pub(crate) parser: Option<ReplyParser>,
    /// Control tokens that the parser needs to see.
    pub(crate) markers: Vec<u32>,
}

/// The next token of an answer.
pub(crate) enum Choice {
    /// This one.
    Token(Sampled),
    /// The grammar is still computing: the logits are kept.
    Later,
    /// There is none.
    End(Finish),
}

impl Answer {
    /// An answer of no tokens yet; fails on stop strings that are refused.
    pub(crate) fn new(
        request: &GenerateRequest,
        prompt: &[u32],
        reply: Reply,
        guide: Option<Guide>,
        now: Instant,
    ) -> Result<Self, StopError> {
        Ok(Self {
            id: request.id,
            sampler: Sampler::new(request.sampling.clone(), prompt),
            detokenizer: Detokenizer::new(),
            stop: StopMatcher::new(&request.stop)?,
            reply,
            guide,
            parked: None,
            states: None,
            ignore_eos: request.ignore_eos,
            one_call: request.reply.one_call,
            usage: Usage { prompt_tokens: prompt.len() as u32, ..Usage::default() },
            submitted: now,
            started: None,
            paused: None,
            pauses: [Duration::ZERO; 2],
            first_token: None,
            last_token: None,
        })
    }

    /// Makes it an embedding of so many numbers.
    pub(crate) fn pool(&mut self, width: usize, pooling: Pooling) {
        self.states = Some(PooledStates::new(width, pooling));
    }

    /// Adds hidden states as they are behind the last norm; the only output of an embedding when they are the last.
    pub(crate) fn add_states(&mut self, rows: &[f32], is_last: bool, now: Instant) -> Option<Output> {
        let states = self.states.as_mut()?;
        states.add(rows);
        let embedding = is_last.then(|| states.unit())?;
        self.first_token.get_or_insert(now);
        Some(Output { embedding: Some(embedding), ..self.output(Some(Finish::Stop)) })
    }

    /// Notes that a step works on the request, `cached` of its tokens being there already.
    pub(crate) fn start(&mut self, now: Instant, cached: u32) {
        if let Some(paused) = self.paused.take() {
            self.pauses[usize::from(self.first_token.is_some())] += now - paused;
        }
        if self.started.is_none() {
            self.started = Some(now);
            // Of an answer that goes on here its own tokens may have been there as well.
            self.usage.cached_tokens = cached.min(self.usage.prompt_tokens);
        }
    }

    /// Notes that it waits for its turn again.
    pub(crate) fn pause(&mut self, now: Instant) {
        self.paused = Some(now);
    }

    /// Chooses the next token, waiting at most `patience` for the grammar. It joins the answer with `push`.
    pub(crate) fn choose(
        &mut self,
        logits: &mut [f32],
        patience: Duration,
        tokenizer: &Tokenizer,
        now: Instant,
    ) -> Choice {
        let sampled = match self.guide.as_mut().map(|guide| guide.guidance(patience, now)) {
            None => self.sampler.sample(logits),
            Some(Guidance::Free) => {
                // What must match a grammar does not end before it began.
                forbid(tokenizer.ends(), logits);
                self.sampler.sample(logits)
            }
            Some(Guidance::Only(Allowed::Tokens(allowed))) => self.sampler.sample_among(logits, Some(allowed)),
            Some(Guidance::Only(Allowed::Nothing)) => return Choice::End(Finish::Stop),
            Some(Guidance::Broken(error)) => return Choice::End(Finish::Refused(error.to_string())),
            Some(Guidance::Pending) => {
                self.parked = Some(logits.to_vec());
                return Choice::Later;
            }
        };
        sampled.map_or_else(|error: SampleError| Choice::End(Finish::Failed(error.to_string())), Choice::Token)
    }

    /// The logits that wait for the grammar, if any do.
    pub(crate) fn unpark(&mut self) -> Option<Vec<f32>> {
        self.parked.take()
    }

    /// Whether the next token waits for the grammar.
    pub(crate) fn is_parked(&self) -> bool {
        self.parked.is_some()
    }

    /// Adds a token. `is_last` says that no more may follow. The output ends the request if the token or the text
    /// it completes does.
    pub(crate) fn push(&mut self, sampled: Sampled, is_last: bool, tokenizer: &Tokenizer, now: Instant) -> Output {
        let Sampled { token, logprob } = sampled;
        self.first_token.get_or_insert(now);
        self.last_token = Some(now);
        let mut output =
            Output { token_ids: vec![token], logprobs: logprob.into_iter().collect(), ..self.output(None) };
        let is_stopped = self.take(token, tokenizer, now, &mut output);
        output.finish = if is_stopped { Some(Finish::Stop) } else { is_last.then_some(Finish::Length) };
        if output.finish.is_some() {
            self.rest(&mut output);
        }
        output.usage = self.usage;
        output
    }

    /// Takes in a token that another engine generated for this answer and whose text was told. False if the answer
    /// ended with it.
    pub(crate) fn replay(&mut self, token: u32, tokenizer: &Tokenizer, now: Instant) -> bool {
        self.sampler.replay(token);
        let mut told = self.output(None);
        !self.take(token, tokenizer, now, &mut told)
    }

    /// Adds to the output what a token completes; whether the answer ends with it.
    fn take(&mut self, token: u32, tokenizer: &Tokenizer, now: Instant, output: &mut Output) -> bool {
        self.usage.completion_tokens += 1;
        let is_end = tokenizer.is_end(token);
        if !is_end {
            let bytes = match tokenizer.token_text(token) {
                Some(text) if self.reply.markers.contains(&token) => text.as_bytes(),
                _ => tokenizer.token_bytes(token),
            };
            let text = self.stop.push(&self.detokenizer.push(bytes));
            self.read(&text, output);
            self.guide_on(token, now);
        }
        let has_called = self.one_call && !output.calls.is_empty();
        self.stop.is_stopped() || has_called || (is_end && !self.ignore_eos)
    }

    /// Ends the answer from outside, with the text that was held back.
    pub(crate) fn end(&mut self, finish: Finish) -> Output {
        let mut output = self.output(Some(finish));
        self.rest(&mut output);
        output
    }

    /// Tells the grammar of a token, or that its part of the answer begins.
    fn guide_on(&mut self, token: u32, now: Instant) {
        let is_reasoning = self.reply.parser.as_ref().is_some_and(ReplyParser::is_reasoning);
        self.usage.reasoning_tokens += u32::from(is_reasoning);
        if let Some(guide) = &mut self.guide {
            guide.accept(token, now);
            if !is_reasoning {
                guide.activate();
            }
        }
    }

    fn read(&mut self, text: &str, output: &mut Output) {
        match &mut self.reply.parser {
            Some(parser) => parser.push(text).into_iter().for_each(|part| add(part, output)),
            None => output.text.push_str(text),
        }
    }

    fn rest(&mut self, output: &mut Output) {
        let tail = self.detokenizer.finish();
        let text = self.stop.push(&tail) + &self.stop.finish();
        self.read(&text, output);
        if let Some(parser) = &mut self.reply.parser {
            parser.finish().into_iter().for_each(|part| add(part, output));
        }
        if self.one_call {
            output.calls.truncate(1);
        }
    }

    fn output(&self, finish: Option<Finish>) -> Output {
        Output {
            id: self.id,
            text: String::new(),
            reasoning: String::new(),
            calls: Vec::new(),
            token_ids: Vec::new(),
            logprobs: Vec::new(),
            embedding: None,
            finish,
            usage: self.usage,
            timings: self.timings(),
        }
    }

    fn timings(&self) -> Timings {
        let Some(started) = self.started else { return Timings::default() };
        let since_start = |at: Option<Instant>| at.map_or_else(Default::default, |at| at - started);
        Timings {
            waiting: started - self.submitted + self.pauses.iter().sum::<Duration>(),
            prefill: since_start(self.first_token).saturating_sub(self.pauses[0]),
            decode: since_start(self.last_token).saturating_sub(since_start(self.first_token) + self.pauses[1]),
        }
    }
}

fn forbid(tokens: impl Iterator<Item = u32>, logits: &mut [f32]) {
    for token in tokens {
        if let Some(logit) = logits.get_mut(token as usize) {
            *logit = f32::NEG_INFINITY;
        }
    }
}

fn add(part: ReplyPart, output: &mut Output) {
    match part {
        ReplyPart::Content(text) => output.text += &text,
        ReplyPart::Reasoning(text) => output.reasoning += &text,
        ReplyPart::Call(call) => output.calls.push(call),
    }
}

#[cfg(test)]
mod tests;

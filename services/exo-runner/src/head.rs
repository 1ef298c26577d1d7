//! Rank 0: requests in, pieces of answers out.

use crate::convert;
use exo_engine::{Engine, EngineError, NextStages, Output, Reading, TensorGroup, ToolChoice};
use exo_runner_host::RunnerMessage;
use exo_text::ReplyCall;
use exo_types::{
    EmbeddingChunk, ErrorChunk, ErrorCode, GenerateRequest, PrefillProgressChunk, RequestId, StreamChunk, TokenChunk,
    TokenLogprob, ToolCall,
};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The engine and the requests that it works on.
pub(crate) struct Head {
    engine: Engine,
    /// By the engine's number.
    requests: BTreeMap<u64, Request>,
    next_number: u64,
}

struct Request {
    request_id: RequestId,
    deadline: Instant,
    deadline_ms: u64,
    /// Tokens whose text is still to come.
    held: Vec<u32>,
    /// How likely they were.
    logprobs: Vec<TokenLogprob>,
    /// Calls so far.
    calls: u32,
    /// When something was last said of it.
    said: Instant,
}

/// A request that has nothing to say for so long tells how far its prompt is read: who waits for it sees that it goes on,
/// and does not take it for lost.
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);

/// Tokens that are held at most: a long call shows on the line that it is being written.
const MAX_HELD: usize = 16;

/// What the worker is to be told.
pub(crate) type Messages = Vec<RunnerMessage>;

impl Head {
    pub(crate) fn new(engine: Engine) -> Self {
        Self { engine, requests: BTreeMap::new(), next_number: 1 }
    }

    /// Most numbers that the hidden states of a step have.
    pub(crate) fn step_values(&self) -> usize {
        self.engine.step_values()
    }

    pub(crate) fn connect(&mut self, group: Option<Box<dyn TensorGroup>>, next: Option<Box<dyn NextStages>>) {
        self.engine.connect(group, next);
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.engine.is_idle()
    }

    pub(crate) fn generate(&mut self, request: GenerateRequest, now: Instant, out: &mut Messages) {
        let (request_id, deadline_ms) = (request.request_id.clone(), request.deadline_ms);
        if self.requests.values().any(|other| other.request_id == request_id) {
            let message = format!("request {request_id} is being answered already; give every request its own id");
            return out.push(error(request_id, ErrorChunk { code: ErrorCode::InvalidRequest, message }));
        }
        let number = self.next_number;
        self.next_number += 1;
        let request = match convert::request(number, request) {
            Ok(request) => request,
            Err(refused) => return out.push(error(request_id, refused)),
        };
        let is_on_trial = request.reply.grammar.is_some() || request.reply.tool_choice != ToolChoice::Auto;
        match self.engine.submit(request) {
            Err(refused) => out.push(error(request_id, convert::refusal(&refused))),
            Ok(total_tokens) => {
                if !is_on_trial {
                    let progress = PrefillProgressChunk { processed_tokens: 0, total_tokens };
                    out.push(chunk(request_id.clone(), StreamChunk::PrefillProgress(progress)));
                }
                // A deadline beyond what the clock can tell is none.
                let far = Duration::from_secs(1 << 30);
                let deadline = now + Duration::from_millis(deadline_ms).min(far);
                let (held, logprobs, calls) = (Vec::new(), Vec::new(), 0);
                let request = Request { request_id, deadline, deadline_ms, held, logprobs, calls, said: now };
                self.requests.insert(number, request);
            }
        }
    }

    pub(crate) fn cancel(&mut self, request_id: &RequestId) {
        let numbers: Vec<_> = self.numbers(|request| request.request_id == *request_id);
        for number in numbers {
            self.engine.cancel(number);
            self.requests.remove(&number);
        }
    }

    /// Ends what has taken too long.
    pub(crate) fn expire(&mut self, now: Instant, out: &mut Messages) {
        for number in self.numbers(|request| request.deadline <= now) {
            self.engine.cancel(number);
            if let Some(Request { request_id, deadline_ms, .. }) = self.requests.remove(&number) {
                let message =
                    format!("no complete answer within {deadline_ms} ms; ask for fewer tokens or allow more time");
                out.push(error(request_id, ErrorChunk { code: ErrorCode::DeadlineExceeded, message }));
            }
        }
    }

    /// Tells of requests that have had nothing to say for a while how far they are.
    pub(crate) fn tell_progress(&mut self, now: Instant, out: &mut Messages) {
        for Reading { id, read, tokens } in self.engine.reading() {
            let silent = |request: &&mut Request| now.saturating_duration_since(request.said) >= SIGN_OF_LIFE;
            let Some(request) = self.requests.get_mut(&id).filter(silent) else { continue };
            request.said = now;
            let progress = PrefillProgressChunk { processed_tokens: read, total_tokens: tokens };
            out.push(chunk(request.request_id.clone(), StreamChunk::PrefillProgress(progress)));
        }
    }

    /// Ends everything, running or waiting.
    pub(crate) fn fail_all(&mut self, failure: &ErrorChunk, out: &mut Messages) {
        for (number, request) in std::mem::take(&mut self.requests) {
            self.engine.cancel(number);
            out.push(error(request.request_id, failure.clone()));
        }
    }

    /// Computes one step. When it fails, those whose step it was are told; the caller decides about the others.
    pub(crate) fn step(&mut self, out: &mut Messages) -> Result<(), EngineError> {
        match self.engine.step() {
            Ok(outputs) => {
                outputs.into_iter().for_each(|output| self.on_output(output, out));
                Ok(())
            }
            Err(failure) => {
                for number in failure.requests() {
                    if let Some(request) = self.requests.remove(number) {
                        out.push(error(request.request_id, convert::step_failure(&failure)));
                    }
                }
                Err(failure)
            }
        }
    }

    fn on_output(&mut self, mut output: Output, out: &mut Messages) {
        // Unknown: cancelled meanwhile.
        let Some(request) = self.requests.get_mut(&output.id) else { return };
        let usage = convert::usage(&output);
        if let Some(values) = output.embedding.take() {
            let request_id = request.request_id.clone();
            self.requests.remove(&output.id);
            return out.push(chunk(request_id, StreamChunk::Embedding(EmbeddingChunk { values, usage })));
        }
        request.held.extend(&output.token_ids);
        request.logprobs.extend(convert::logprobs(&output, self.engine.tokenizer()));
        let finish = output.finish.as_ref().map(convert::finish);
        let says_nothing = output.text.is_empty() && output.reasoning.is_empty() && output.calls.is_empty();
        if finish.is_none() && says_nothing && request.held.len() < MAX_HELD {
            return;
        }
        request.said = Instant::now();
        let (request_id, token_ids) = (request.request_id.clone(), std::mem::take(&mut request.held));
        let (logprobs, tool_calls) = (std::mem::take(&mut request.logprobs), request.name_calls(output.calls));
        if finish.is_some() {
            self.requests.remove(&output.id);
        }
        let (finish_reason, usage) = match finish.flatten() {
            Some(Err(failure)) => return out.push(error(request_id, failure)),
            Some(Ok(reason)) => (Some(reason), Some(usage)),
            None => (None, None),
        };
        let (text, reasoning) = (output.text, output.reasoning);
        let token = TokenChunk { text, token_ids, reasoning, tool_calls, logprobs, finish_reason, usage };
        out.push(chunk(request_id, StreamChunk::Token(token)));
    }

    fn numbers(&self, wanted: impl Fn(&Request) -> bool) -> Vec<u64> {
        self.requests.iter().filter(|(_, request)| wanted(request)).map(|(number, _)| *number).collect()
    }
}

impl Request {
    /// Names that are unlike those of other answers.
    fn name_calls(&mut self, calls: Vec<ReplyCall>) -> Vec<ToolCall> {
        let name = |call: ReplyCall| {
            self.calls += 1;
            let id = convert::call_id(&self.request_id, self.calls);
            ToolCall { id, name: call.name, arguments: call.arguments }
        };
        calls.into_iter().map(name).collect()
    }
}

fn chunk(request_id: RequestId, chunk: StreamChunk) -> RunnerMessage {
    RunnerMessage::Chunk { request_id, chunk }
}

/// The bad end of a request.
pub(crate) fn error(request_id: RequestId, error: ErrorChunk) -> RunnerMessage {
    chunk(request_id, StreamChunk::Error(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use exo_engine::EngineOptions;
    use exo_testkit::ModelSpec;
    use exo_types::{AnsweredTokens, InstanceId, Prompt, ReplyOptions, SamplingParams, Turn};

    fn asked(id: &str, tokens: u32) -> GenerateRequest {
        GenerateRequest {
            request_id: RequestId::new(id).expect("a good id"),
            instance_id: InstanceId::new("i").expect("a good id"),
            prompt: Prompt::Tokens((0..tokens).collect()),
            sampling: SamplingParams::default(),
            max_tokens: Some(2),
            stop: Vec::new(),
            reply: ReplyOptions::default().into(),
            deadline_ms: 60_000,
            answered: AnsweredTokens::default(),
            asked_at: None,
            turn: Turn::default(),
        }
    }

    /// Who is told what is read, and of how much.
    fn progress(head: &mut Head, now: Instant) -> Vec<(String, u32, u32)> {
        let mut out = Messages::new();
        head.tell_progress(now, &mut out);
        let told = |message| match message {
            RunnerMessage::Chunk { request_id, chunk: StreamChunk::PrefillProgress(progress) } => {
                (request_id.to_string(), progress.processed_tokens, progress.total_tokens)
            }
            other => panic!("{other:?} is no progress"),
        };
        let mut told: Vec<_> = out.into_iter().map(told).collect();
        told.sort();
        told
    }

    #[test]
    fn who_waits_for_its_first_token_hears_how_far_it_is() {
        let model = ModelSpec::default().write_temporary().expect("a temporary folder");
        let options = EngineOptions { context: 128, max_sequences: 1, prefill_chunk: 16, ..EngineOptions::default() };
        let engine = Engine::load(&model.path(), &options, &mut |_| {}).expect("a valid model");
        let (mut head, mut out, now) = (Head::new(engine), Messages::new(), Instant::now());
        head.generate(asked("first", 40), now, &mut out);
        head.generate(asked("second", 20), now, &mut out);
        head.step(&mut out).expect("computes");
        assert_eq!(out.len(), 2, "both were told that they were taken");
        assert_eq!(progress(&mut head, now + SIGN_OF_LIFE / 2), []);
        let later = now + SIGN_OF_LIFE;
        assert_eq!(progress(&mut head, later), [("first".to_owned(), 16, 40), ("second".to_owned(), 0, 20)]);
        assert_eq!(progress(&mut head, later), [], "not with every step");
        for _ in 0..2 {
            head.step(&mut out).expect("computes");
        }
        let later = Instant::now() + 2 * SIGN_OF_LIFE;
        assert_eq!(progress(&mut head, later), [("second".to_owned(), 0, 20)], "the first is being answered");
    }
}

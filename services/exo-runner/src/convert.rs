//! Between the cluster's words and the engine's.

use exo_engine::{EngineError, Finish, Output, SubmitError};
use exo_grammar::GrammarError;
use exo_text::{Tokenizer, UnixSeconds};
use exo_types::{
    ErrorChunk, ErrorCode, FinishReason, GenerateRequest, Priority, SamplingParams, TokenLikelihood, TokenLogprob,
    Turn, Usage,
};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

mod reply;

/// The request as the engine wants it, under the engine's own number for it. Fails on texts that should be JSON.
pub(crate) fn request(id: u64, request: GenerateRequest) -> Result<exo_engine::GenerateRequest, ErrorChunk> {
    let seed = request.sampling.seed.unwrap_or_else(|| hash(request.request_id.as_str()));
    let (prompt, reply) = reply::split(request.prompt, *request.reply)?;
    Ok(exo_engine::GenerateRequest {
        id,
        prompt,
        sampling: sampling(request.sampling, seed),
        max_tokens: request.max_tokens,
        stop: request.stop,
        ignore_eos: false,
        reply,
        answered: request.answered.0,
        asked_at: request.asked_at.map(|seconds| UnixSeconds(i64::try_from(seconds).unwrap_or(i64::MAX))),
        turn: turn(request.turn),
    })
}

fn turn(turn: Turn) -> exo_engine::Turn {
    let priority = match turn.priority {
        Priority::Low => exo_engine::Priority::Low,
        Priority::Normal => exo_engine::Priority::Normal,
        Priority::High => exo_engine::Priority::High,
    };
    exo_engine::Turn { priority, client: turn.client }
}

fn sampling(params: SamplingParams, seed: u64) -> exo_text::Sampling {
    // 0 looks at all: the widest window that the sampler has.
    let penalty_window = if params.penalty_window == 0 { exo_text::MAX_PENALTY_WINDOW } else { params.penalty_window };
    exo_text::Sampling {
        temperature: params.temperature,
        top_k: params.top_k,
        top_p: params.top_p,
        min_p: params.min_p,
        repetition_penalty: params.repetition_penalty,
        frequency_penalty: params.frequency_penalty,
        presence_penalty: params.presence_penalty,
        penalty_window,
        logit_bias: params.logit_bias,
        seed,
        logprobs: params.logprobs,
    }
}

/// The same for the same text in every process: its keys are fixed.
fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// A name for a call: nine letters and digits, since Mistral's templates insist on just that.
pub(crate) fn call_id(request_id: &exo_types::RequestId, number: u32) -> String {
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let mut left = hash(&format!("{request_id} {number}"));
    let mut digit = || {
        let digit = DIGITS[(left % 36) as usize];
        left /= 36;
        char::from(digit)
    };
    (0..9).map(|_| digit()).collect()
}

/// A request that was not accepted.
pub(crate) fn refusal(error: &SubmitError) -> ErrorChunk {
    let code = match error {
        SubmitError::PromptTooLong { .. } | SubmitError::Complete { .. } => ErrorCode::ContextLengthExceeded,
        SubmitError::Busy { .. } | SubmitError::Grammar(GrammarError::Busy(_)) => ErrorCode::Overloaded,
        _ => ErrorCode::InvalidRequest,
    };
    ErrorChunk { code, message: error.to_string() }
}

/// A step that failed, for those whose step it was.
pub(crate) fn step_failure(error: &EngineError) -> ErrorChunk {
    let code = match error {
        EngineError::NextStages { .. } => ErrorCode::PeerLost,
        EngineError::Stage { .. } => ErrorCode::Internal,
    };
    ErrorChunk { code, message: error.to_string() }
}

/// How an answer ended: well, badly, or because nobody wants it any more.
pub(crate) fn finish(finish: &Finish) -> Option<Result<FinishReason, ErrorChunk>> {
    match finish {
        Finish::Stop => Some(Ok(FinishReason::Stop)),
        Finish::Length => Some(Ok(FinishReason::Length)),
        Finish::Refused(message) => Some(Err(ErrorChunk { code: ErrorCode::InvalidRequest, message: message.clone() })),
        Finish::Failed(message) => Some(Err(ErrorChunk { code: ErrorCode::Internal, message: message.clone() })),
        Finish::Cancelled => None,
    }
}

/// What the answer cost so far.
pub(crate) fn usage(output: &Output) -> Usage {
    let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    Usage {
        prompt_tokens: output.usage.prompt_tokens,
        completion_tokens: output.usage.completion_tokens,
        cached_tokens: output.usage.cached_tokens,
        reasoning_tokens: output.usage.reasoning_tokens,
        prefill_us: micros(output.timings.waiting + output.timings.prefill),
        decode_us: micros(output.timings.decode),
    }
}

/// How likely the tokens of an output were. End tokens are no part of the text, and not told.
pub(crate) fn logprobs(output: &Output, tokenizer: &Tokenizer) -> Vec<TokenLogprob> {
    let likelihood = |token: u32, logprob: f32| {
        let bytes = match tokenizer.token_bytes(token) {
            [] => tokenizer.token_text(token).unwrap_or_default().as_bytes(),
            bytes => bytes,
        };
        // JSON has no infinity; what is impossible is very unlikely.
        TokenLikelihood { bytes: bytes.to_vec(), logprob: logprob.max(IMPOSSIBLE) }
    };
    let told = output.logprobs.iter().filter(|entry| !tokenizer.is_end(entry.token));
    told.map(|entry| TokenLogprob {
        chosen: likelihood(entry.token, entry.logprob),
        top: entry.top.iter().map(|&(token, logprob)| likelihood(token, logprob)).collect(),
    })
    .collect()
}

/// OpenAI's number for it.
const IMPOSSIBLE: f32 = -9999.0;

#[cfg(test)]
mod tests {
    use super::*;
    use exo_types::{AnsweredTokens, InstanceId, Prompt, ReplyOptions, RequestId, Role};

    fn asked(seed: Option<u64>, id: &str) -> GenerateRequest {
        GenerateRequest {
            request_id: RequestId::new(id).expect("a good id"),
            instance_id: InstanceId::new("i").expect("a good id"),
            prompt: Prompt::Chat(vec![exo_types::ChatMessage::new(Role::User, "hi")]),
            sampling: SamplingParams { seed, penalty_window: 0, ..SamplingParams::default() },
            max_tokens: Some(3),
            stop: vec!["x".to_owned()],
            reply: ReplyOptions::default().into(),
            deadline_ms: 1000,
            answered: AnsweredTokens::default(),
            asked_at: None,
            turn: Turn { priority: Priority::High, client: 9 },
        }
    }

    #[test]
    fn a_request_keeps_all_that_was_asked() {
        let converted = request(7, asked(Some(5), "r")).expect("a good request");
        assert_eq!((converted.id, converted.max_tokens, converted.sampling.seed), (7, Some(3), 5));
        assert_eq!(converted.stop, ["x"]);
        assert_eq!(converted.turn, exo_engine::Turn { priority: exo_engine::Priority::High, client: 9 });
        assert_eq!(converted.prompt, exo_engine::Prompt::Chat(vec![exo_text::ChatMessage::new("user", "hi")].into()));
        assert_eq!(converted.sampling.penalty_window, exo_text::MAX_PENALTY_WINDOW);
    }

    #[test]
    fn without_a_seed_the_request_is_its_own() {
        let seed = |id| request(1, asked(None, id)).expect("a good request").sampling.seed;
        assert_eq!(seed("a"), seed("a"));
        assert_ne!(seed("a"), seed("b"));
    }

    #[test]
    fn refusals_have_codes_that_clients_can_act_on() {
        let check = |error: SubmitError, expect: ErrorCode| assert_eq!(refusal(&error).code, expect, "{error}");
        check(SubmitError::PromptTooLong { prompt_tokens: 9, context: 8 }, ErrorCode::ContextLengthExceeded);
        check(SubmitError::Busy { waiting: 9 }, ErrorCode::Overloaded);
        check(SubmitError::NoTokens, ErrorCode::InvalidRequest);
        check(SubmitError::EmptyPrompt, ErrorCode::InvalidRequest);
    }
}

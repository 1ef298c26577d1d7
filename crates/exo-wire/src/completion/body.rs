//! `POST /v1/completions`: the answer, at once or piece by piece.

use crate::ApiError;
use crate::chat::{Answer, ChatHeader, UsageBody, cut_off, finish_reason, not_asked_for};
use crate::frames::{AnswerStream, Frame, done, prefill_comment, stats};
use crate::service_tier::ServiceTier;
use exo_types::{ModelId, StreamChunk, TokenChunk, TokenLogprob};
use serde::Serialize;
use serde_json::{Map, Value};

#[derive(Serialize)]
struct Completion<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a ModelId,
    choices: &'a [Choice<'a>],
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Option<UsageBody>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_tier: Option<ServiceTier>,
}

#[derive(Serialize)]
struct Choice<'a> {
    index: u32,
    text: &'a str,
    logprobs: Option<Logprobs>,
    finish_reason: Option<&'static str>,
}

/// Likelihoods in the older shape: lists side by side.
#[derive(Default, Serialize)]
struct Logprobs {
    tokens: Vec<String>,
    token_logprobs: Vec<f32>,
    top_logprobs: Vec<Map<String, Value>>,
    /// Characters before each token.
    text_offset: Vec<usize>,
}

impl Logprobs {
    fn of(tokens: &[TokenLogprob], offset: &mut usize) -> Option<Self> {
        let mut logprobs = Self::default();
        for token in tokens {
            let text = String::from_utf8_lossy(&token.chosen.bytes).into_owned();
            logprobs.text_offset.push(*offset);
            *offset += text.chars().count();
            logprobs.tokens.push(text);
            logprobs.token_logprobs.push(token.chosen.logprob);
            let top =
                token.top.iter().map(|top| (String::from_utf8_lossy(&top.bytes).into_owned(), top.logprob.into()));
            logprobs.top_logprobs.push(top.collect());
        }
        (!tokens.is_empty()).then_some(logprobs)
    }
}

/// The body of a whole answer, behind `echo`. An answer without an end is an error.
pub fn completion_json(header: &ChatHeader, echo: Option<&str>, answer: &Answer) -> Result<String, ApiError> {
    let (reason, usage) = answer.end()?;
    let text = format!("{}{}", echo.unwrap_or_default(), answer.content);
    let logprobs = Logprobs::of(&answer.logprobs, &mut 0);
    let choice = Choice { index: 0, text: &text, logprobs, finish_reason: Some(finish_reason(reason, false)) };
    Ok(to_json(header, &[choice], Some(Some(usage.into()))))
}

fn to_json(header: &ChatHeader, choices: &[Choice<'_>], usage: Option<Option<UsageBody>>) -> String {
    let ChatHeader { id, created, model, tier } = header;
    let (object, created, service_tier) = ("text_completion", *created, *tier);
    let body = Completion { id, object, created, model, choices, usage, service_tier };
    serde_json::to_string(&body).expect("texts and numbers always serialise")
}

/// Makes OpenAI's chunks of exo's: the prompt if it is to be repeated, text, finish reason, usage if asked for.
pub struct CompletionStream {
    header: ChatHeader,
    echo: Option<String>,
    include_usage: bool,
    ended: bool,
    offset: usize,
}

impl CompletionStream {
    /// A stream that has said nothing yet.
    pub fn new(header: ChatHeader, echo: Option<String>, include_usage: bool) -> Self {
        Self { header, echo, include_usage, ended: false, offset: 0 }
    }

    fn choice(&self, text: &str, logprobs: Option<Logprobs>, finish_reason: Option<&'static str>) -> Frame {
        let choice = Choice { index: 0, text, logprobs, finish_reason };
        Frame::Data(to_json(&self.header, &[choice], self.include_usage.then_some(None)))
    }

    fn token(&mut self, token: &TokenChunk) -> Vec<Frame> {
        let mut frames = Vec::new();
        let logprobs = Logprobs::of(&token.logprobs, &mut self.offset);
        if !token.text.is_empty() || logprobs.is_some() {
            frames.push(self.choice(&token.text, logprobs, None));
        }
        if let Some(reason) = token.finish_reason {
            self.ended = true;
            let usage = token.usage.unwrap_or_default();
            frames.push(self.choice("", None, Some(finish_reason(reason, false))));
            if self.include_usage {
                frames.push(Frame::Data(to_json(&self.header, &[], Some(Some(usage.into())))));
            }
            frames.extend([stats(usage), done()]);
        }
        frames
    }
}

impl AnswerStream for CompletionStream {
    fn open(&self) -> Vec<Frame> {
        self.echo.iter().map(|echo| self.choice(echo, None, None)).collect()
    }

    fn push(&mut self, chunk: &StreamChunk) -> Vec<Frame> {
        match chunk {
            _ if self.ended => Vec::new(),
            StreamChunk::PrefillProgress(progress) => vec![prefill_comment(*progress)],
            StreamChunk::Token(token) => self.token(token),
            StreamChunk::Embedding(_) => self.fail(&not_asked_for()),
            StreamChunk::Error(error) => self.fail(&ApiError::from(error)),
        }
    }

    fn fail(&mut self, error: &ApiError) -> Vec<Frame> {
        match std::mem::replace(&mut self.ended, true) {
            true => Vec::new(),
            false => vec![Frame::Data(error.to_json()), done()],
        }
    }

    fn close(&mut self) -> Vec<Frame> {
        self.fail(&ApiError::from(&cut_off()))
    }

    fn is_finished(&self) -> bool {
        self.ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use exo_types::{FinishReason, TokenLikelihood, Usage};

    fn header() -> ChatHeader {
        ChatHeader { id: "cmpl-1".to_owned(), created: 7, model: ModelId::new("m").expect("a good id"), tier: None }
    }

    fn pieces() -> [StreamChunk; 2] {
        let likelihood = |text: &str, logprob| TokenLikelihood { bytes: text.into(), logprob };
        let token = |text: &str| TokenLogprob { chosen: likelihood(text, -0.5), top: vec![likelihood("z", -1.0)] };
        let first = TokenChunk { text: "äb".into(), logprobs: vec![token("ä"), token("b")], ..TokenChunk::default() };
        let usage = Usage { prompt_tokens: 1, completion_tokens: 2, ..Usage::default() };
        let (finish_reason, usage) = (Some(FinishReason::Length), Some(usage));
        [first, TokenChunk { finish_reason, usage, ..TokenChunk::default() }].map(StreamChunk::Token)
    }

    #[test]
    fn a_whole_answer_is_openais() {
        let mut answer = Answer::default();
        pieces().into_iter().for_each(|piece| answer.push(piece).expect("a piece"));
        assert_eq!(
            completion_json(&header(), Some("p "), &answer).expect("whole"),
            r#"{"id":"cmpl-1","object":"text_completion","created":7,"model":"m","choices":[{"index":0,"text":"p äb","logprobs":{"tokens":["ä","b"],"token_logprobs":[-0.5,-0.5],"top_logprobs":[{"z":-1.0},{"z":-1.0}],"text_offset":[0,1]},"finish_reason":"length"}],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3,"prompt_tokens_details":{"cached_tokens":0},"completion_tokens_details":{"reasoning_tokens":0}}}"#
        );
    }

    #[test]
    fn a_stream_says_the_same_and_ends_once() {
        let mut stream = CompletionStream::new(header(), Some("p ".to_owned()), true);
        let mut frames = stream.open();
        pieces().iter().for_each(|piece| frames.extend(stream.push(piece)));
        assert!(stream.is_finished() && stream.close().is_empty());
        let data = |frame: &Frame| match frame {
            Frame::Data(text) => Some(text.clone()),
            Frame::Comment(_) => None,
        };
        let data: Vec<String> = frames.iter().filter_map(data).collect();
        assert_eq!(data.len(), 5);
        for (text, expect) in
            data.iter().zip([r#""text":"p ""#, r#""text":"äb""#, r#""length""#, r#""choices":[]"#, "[DONE]"])
        {
            assert!(text.contains(expect), "{text} does not contain {expect}");
        }
    }
}

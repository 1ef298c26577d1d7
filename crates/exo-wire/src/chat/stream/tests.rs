use super::*;
use exo_types::PrefillProgressChunk;
use exo_types::{ErrorChunk, ErrorCode, TokenLikelihood, TokenLogprob, ToolCall};

fn header() -> ChatHeader {
    ChatHeader { id: "chatcmpl-1".to_owned(), created: 7, model: ModelId::new("m").expect("a good id"), tier: None }
}

fn token(text: &str, end: Option<FinishReason>) -> StreamChunk {
    let usage = Usage {
        prompt_tokens: 3,
        completion_tokens: 2,
        cached_tokens: 1,
        reasoning_tokens: 1,
        prefill_us: 1_000,
        decode_us: 4_000,
    };
    StreamChunk::Token(TokenChunk {
        text: text.to_owned(),
        token_ids: vec![1],
        finish_reason: end,
        usage: end.map(|_| usage),
        ..TokenChunk::default()
    })
}

/// All that goes over the line, as bytes would be written.
fn transcript(include_usage: bool, chunks: &[StreamChunk]) -> String {
    let mut stream = ChatStream::new(header(), include_usage);
    let mut frames = stream.open();
    for chunk in chunks {
        frames.extend(stream.push(chunk));
    }
    frames.extend(stream.close());
    assert!(stream.is_finished());
    let line = |frame: &Frame| match frame {
        Frame::Data(text) => format!("data: {text}\n"),
        Frame::Comment(text) => format!(": {text}\n"),
    };
    frames.iter().map(line).collect()
}

#[test]
fn the_tier_is_told_where_one_was_asked_for() {
    let header = ChatHeader { tier: Some(ServiceTier::Flex), ..header() };
    let frames = ChatStream::new(header, false).open();
    assert!(matches!(&frames[..], [Frame::Data(text)] if text.ends_with(r#""service_tier":"flex"}"#)), "{frames:?}");
}

#[test]
fn an_answer_with_usage_is_openais_to_the_letter() {
    let progress = StreamChunk::PrefillProgress(PrefillProgressChunk { processed_tokens: 2, total_tokens: 3 });
    let chunks = [progress, token("He", None), token("", None), token("y", Some(FinishReason::Stop)), token("x", None)];
    assert_eq!(
        transcript(true, &chunks),
        r#"data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}],"usage":null}
: prefill_progress {"PrefillProgressChunk":{"processedTokens":2,"totalTokens":3}}
data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"index":0,"delta":{"content":"He"},"logprobs":null,"finish_reason":null}],"usage":null}
data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"index":0,"delta":{"content":"y"},"logprobs":null,"finish_reason":null}],"usage":null}
data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}],"usage":null}
data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":7,"model":"m","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5,"prompt_tokens_details":{"cached_tokens":1},"completion_tokens_details":{"reasoning_tokens":1}}}
: generation_stats {"prompt_tps":2000.0,"generation_tps":500.0,"prompt_tokens":3,"generation_tokens":2}
data: [DONE]
"#
    );
}

#[test]
fn without_the_option_no_chunk_speaks_of_usage() {
    let text = transcript(false, &[token("a", Some(FinishReason::Length))]);
    assert!(!text.contains("usage") && text.contains(r#""finish_reason":"length""#), "{text}");
}

#[test]
fn an_error_is_an_event_and_then_the_stream_ends() {
    let error = ErrorChunk { code: ErrorCode::RunnerLost, message: "the runner is gone".to_owned() };
    let text = transcript(false, &[token("a", None), StreamChunk::Error(error), token("b", Some(FinishReason::Stop))]);
    let tail: Vec<&str> = text.lines().rev().take(2).collect();
    assert_eq!(tail[0], "data: [DONE]");
    assert_eq!(
        tail[1],
        r#"data: {"error":{"message":"the runner is gone","type":"server_error","param":null,"code":"runner_lost"}}"#
    );
    assert_eq!(text.lines().count(), 4);
}

#[test]
fn a_stream_that_is_cut_off_ends_with_an_error() {
    let text = transcript(false, &[token("a", None)]);
    assert!(text.contains(r#""code":"peer_lost""#) && text.ends_with("data: [DONE]\n"), "{text}");
}

#[test]
fn reasoning_calls_and_likelihoods_have_their_fields() {
    let likelihood = |bytes: &[u8], logprob| TokenLikelihood { bytes: bytes.to_vec(), logprob };
    let call = |id: &str, name: &str| ToolCall { id: id.into(), name: name.into(), arguments: "{}".into() };
    let logprob = TokenLogprob { chosen: likelihood(b"A", -0.25), top: vec![likelihood(b"\xe2", -2.0)] };
    let chunks = [
        TokenChunk { reasoning: "hm".into(), ..TokenChunk::default() },
        TokenChunk { text: "A".into(), logprobs: vec![logprob], ..TokenChunk::default() },
        TokenChunk { tool_calls: vec![call("a", "f")], ..TokenChunk::default() },
        TokenChunk {
            tool_calls: vec![call("b", "g")],
            finish_reason: Some(FinishReason::Stop),
            ..TokenChunk::default()
        },
    ];
    let text = transcript(false, &chunks.map(StreamChunk::Token));
    let choices: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split_once(r#""choices":[{"index":0,"delta":"#)?.1.strip_suffix("}]}"))
        .collect();
    assert_eq!(
        choices[1..],
        [
            r#"{"reasoning_content":"hm"},"logprobs":null,"finish_reason":null"#,
            r#"{"content":"A"},"logprobs":{"content":[{"token":"A","logprob":-0.25,"bytes":[65],"top_logprobs":[{"token":"�","logprob":-2.0,"bytes":[226]}]}],"refusal":null},"finish_reason":null"#,
            r#"{"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"{}"}}]},"logprobs":null,"finish_reason":null"#,
            r#"{"tool_calls":[{"index":1,"id":"b","type":"function","function":{"name":"g","arguments":"{}"}}]},"logprobs":null,"finish_reason":null"#,
            r#"{},"logprobs":null,"finish_reason":"tool_calls""#,
        ]
    );
}

#[test]
fn the_whole_answer_says_what_the_stream_says() {
    let call = ToolCall { id: "a".into(), name: "f".into(), arguments: "{}".into() };
    let mut answer = crate::Answer::default();
    let chunk = TokenChunk { reasoning: "hm".into(), tool_calls: vec![call], ..TokenChunk::default() };
    answer.push(StreamChunk::Token(chunk)).expect("a piece");
    answer.push(token("", Some(FinishReason::Stop))).expect("the end");
    let body: serde_json::Value = serde_json::from_str(&answer.finish(&header()).expect("whole")).expect("JSON");
    let choice = &body["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls");
    assert_eq!(
        choice["message"].to_string(),
        r#"{"role":"assistant","content":null,"reasoning_content":"hm","tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}}],"refusal":null}"#
    );
}

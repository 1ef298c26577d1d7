use super::*;
use exo_types::{ErrorChunk, ErrorCode};

fn header() -> ChatHeader {
    ChatHeader { id: "chatcmpl-1".to_owned(), created: 7, model: ModelId::new("m").expect("a good id") }
}

fn token(text: &str, end: Option<FinishReason>) -> StreamChunk {
    let usage = Usage { prompt_tokens: 3, completion_tokens: 2, cached_tokens: 1, prefill_us: 1_000, decode_us: 4_000 };
    StreamChunk::Token(TokenChunk {
        text: text.to_owned(),
        token_ids: vec![1],
        finish_reason: end,
        usage: end.map(|_| usage),
    })
}

/// All that goes over the line, as bytes would be written.
fn transcript(include_usage: bool, chunks: &[StreamChunk]) -> String {
    let mut stream = ChatStream::new(header(), include_usage);
    let mut frames = vec![stream.open()];
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
data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":7,"model":"m","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5,"prompt_tokens_details":{"cached_tokens":1}}}
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

use super::*;
use proptest::prelude::*;

/// A body with one user message and these further fields.
fn body(more: &str) -> String {
    format!(r#"{{"model":"exo-guide","messages":[{{"role":"user","content":"hi"}}]{more}}}"#)
}

fn good(more: &str) -> ChatRequest {
    parse_chat_request(body(more).as_bytes()).expect(more)
}

fn refused(body: &[u8]) -> (Option<String>, &'static str) {
    let error = parse_chat_request(body).expect_err("refused");
    assert_eq!(error.status, 400);
    (error.param, error.code)
}

#[test]
fn a_request_with_everything_becomes_a_checked_one() {
    let request = good(
        r#","stream":true,"stream_options":{"include_usage":true},"temperature":0,"top_p":0.5,"top_k":-1,"min_p":0.1,
        "repetition_penalty":1.5,"frequency_penalty":-2,"presence_penalty":2,"seed":-1,"logit_bias":{"7":-100},
        "max_completion_tokens":5,"stop":["a","b"],"user":"u","metadata":{},"n":1,"tools":[],"logprobs":false,
        "response_format":{"type":"text"}"#,
    );
    assert!(request.stream && request.include_usage);
    assert_eq!(request.max_tokens, Some(5));
    assert_eq!(request.stop, ["a", "b"]);
    let expect = SamplingParams {
        temperature: 0.0,
        top_k: 0,
        top_p: 0.5,
        min_p: 0.1,
        repetition_penalty: 1.5,
        frequency_penalty: -2.0,
        presence_penalty: 2.0,
        logit_bias: [(7, -100.0)].into(),
        seed: Some(u64::MAX),
        ..SamplingParams::default()
    };
    assert_eq!(request.sampling, expect);
}

#[test]
fn null_is_the_same_as_absent() {
    let nulls = r#","temperature":null,"stop":null,"max_tokens":null,"tools":null,"stream":null,"stream_options":null"#;
    assert_eq!(good(nulls), good(""));
}

#[test]
fn text_parts_are_joined_and_developer_is_system() {
    let messages = r#"{"model":"m","messages":[{"role":"developer","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},
        {"role":"assistant","content":"c","refusal":null,"tool_calls":[]}]}"#;
    let request = parse_chat_request(messages.as_bytes()).expect("all text");
    let expect = [(Role::System, "ab"), (Role::Assistant, "c")];
    assert_eq!(request.messages, expect.map(|(role, content)| ChatMessage { role, content: content.to_owned() }));
}

#[test]
fn out_of_range_and_unsupported_fields_are_refused_by_name() {
    for (more, param, code) in [
        (r#","temperature":2.1"#, "temperature", "invalid_value"),
        (r#","temperature":-0.1"#, "temperature", "invalid_value"),
        (r#","temperature":"1""#, "temperature", "invalid_type"),
        (r#","top_p":1.5"#, "top_p", "invalid_value"),
        (r#","top_k":-2"#, "top_k", "invalid_value"),
        (r#","min_p":2"#, "min_p", "invalid_value"),
        (r#","repetition_penalty":0"#, "repetition_penalty", "invalid_value"),
        (r#","frequency_penalty":3"#, "frequency_penalty", "invalid_value"),
        (r#","presence_penalty":-3"#, "presence_penalty", "invalid_value"),
        (r#","max_tokens":0"#, "max_tokens", "invalid_value"),
        (r#","max_tokens":-5"#, "max_tokens", "invalid_value"),
        (r#","max_tokens":1.5"#, "max_tokens", "invalid_type"),
        (r#","max_tokens":18446744073709551615"#, "max_tokens", "invalid_value"),
        (r#","max_tokens":1,"max_completion_tokens":2"#, "max_tokens", "invalid_value"),
        (r#","stop":["a","b","c","d","e"]"#, "stop", "invalid_value"),
        (r#","stop":"""#, "stop", "invalid_value"),
        (r#","stop":[1]"#, "stop", "invalid_type"),
        (r#","seed":1.5"#, "seed", "invalid_type"),
        (r#","logit_bias":{"x":1}"#, "logit_bias", "invalid_value"),
        (r#","logit_bias":{"1":101}"#, "logit_bias", "invalid_value"),
        (r#","n":2"#, "n", "unsupported_parameter"),
        (r#","tools":[{}]"#, "tools", "unsupported_parameter"),
        (r#","response_format":{"type":"json_object"}"#, "response_format", "unsupported_parameter"),
        (r#","logprobs":true"#, "logprobs", "unsupported_parameter"),
        (r#","reasoning_effort":"high""#, "reasoning_effort", "unsupported_parameter"),
        (r#","stream_options":{"include_usage":true}"#, "stream_options", "invalid_value"),
        (r#","stream":true,"stream_options":{"x":1}"#, "stream_options.x", "unknown_parameter"),
        (r#","stream":1"#, "stream", "invalid_type"),
        (r#","temprature":1"#, "temprature", "unknown_parameter"),
    ] {
        assert_eq!(refused(body(more).as_bytes()), (Some(param.to_owned()), code), "{more}");
    }
}

#[test]
fn wrong_messages_are_refused_at_their_place() {
    for (messages, param, code) in [
        ("1", "messages", "invalid_type"),
        ("[]", "messages", "invalid_value"),
        ("[1]", "messages.0", "invalid_type"),
        (r#"[{"content":"x"}]"#, "messages.0.role", "missing_field"),
        (r#"[{"role":"owner","content":"x"}]"#, "messages.0.role", "invalid_value"),
        (r#"[{"role":"user"}]"#, "messages.0.content", "missing_field"),
        (r#"[{"role":"user","content":5}]"#, "messages.0.content", "invalid_type"),
        (r#"[{"role":"user","content":[{"type":"image_url"}]}]"#, "messages.0.content.0.type", "unsupported_parameter"),
        (r#"[{"role":"user","content":[{"type":"text"}]}]"#, "messages.0.content.0.text", "missing_field"),
        (r#"[{"role":"assistant","content":"x","tool_calls":[1]}]"#, "messages.0.tool_calls", "unsupported_parameter"),
    ] {
        let body = format!(r#"{{"model":"m","messages":{messages}}}"#);
        assert_eq!(refused(body.as_bytes()), (Some(param.to_owned()), code), "{messages}");
    }
}

#[test]
fn what_is_no_json_object_is_refused_without_quoting_it() {
    let deep = "[".repeat(100_000);
    for (body, code) in [
        (&b""[..], "invalid_json"),
        (b"{", "invalid_json"),
        (b"{\"secret", "invalid_json"),
        (b"{\"model\":1e999}", "invalid_json"),
        (b"\xff{}", "invalid_utf8"),
        (b"[]", "invalid_type"),
        (deep.as_bytes(), "invalid_json"),
    ] {
        assert_eq!(refused(body), (None, code));
        let message = parse_chat_request(body).expect_err("refused").message;
        assert!(!message.contains("secret"), "{message}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
        let _ = parse_chat_request(&bytes);
    }

    #[test]
    fn any_value_in_any_field_is_read_or_refused(
        field in "model|messages|stop|temperature|top_k|seed|logit_bias|max_tokens|stream_options|tools",
        value in r#"null|true|-?[0-9]{1,20}|[0-9]e[0-9]{1,3}|"[a-z]{0,4}"|\[\]|\[1\]|\[\{\}\]|\{\}|\{"1":2\}"#,
    ) {
        let _ = parse_chat_request(body(&format!(r#","{field}":{value}"#)).as_bytes());
    }
}

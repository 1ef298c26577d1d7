use super::*;
use crate::ServiceTier;
use exo_types::{ChatMessage, Constraint, Priority, Role, SamplingParams, ToolCall, ToolChoice};
use proptest::prelude::*;

/// A body with one user message and these further fields.
fn body(more: &str) -> String {
    format!(r#"{{"model":"exo-guide","messages":[{{"role":"user","content":"hi"}}]{more}}}"#)
}

fn good(more: &str) -> TextRequest {
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
fn how_urgent_a_request_is_and_whose_is_read() {
    for (more, priority, tier) in [
        ("", Priority::Normal, None),
        (r#","service_tier":"flex""#, Priority::Low, Some(ServiceTier::Flex)),
        (r#","service_tier":"auto""#, Priority::Normal, Some(ServiceTier::Default)),
        (r#","service_tier":"default""#, Priority::Normal, Some(ServiceTier::Default)),
        (r#","service_tier":"priority""#, Priority::High, Some(ServiceTier::Priority)),
    ] {
        let request = good(more);
        assert_eq!((request.turn.priority, request.tier), (priority, tier), "{more}");
    }
    for bad in [r#","service_tier":"gold""#, r#","service_tier":1"#, r#","user":5"#] {
        refused(body(bad).as_bytes());
    }
    let client = |more: &str| good(more).turn.client;
    assert_eq!(client(""), 0);
    assert_eq!(client(r#","user":"ann""#), client(r#","safety_identifier":"ann","user":"bob""#));
    assert_ne!(client(r#","user":"ann""#), client(r#","user":"bob""#));
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
    let expect = expect.map(|(role, content)| ChatMessage::new(role, content));
    assert_eq!(request.prompt, Prompt::Chat(expect.to_vec()));
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
        (r#","tools":[{}]"#, "tools.0.function", "missing_field"),
        (r#","tools":[{"type":"custom"}]"#, "tools.0.type", "unsupported_parameter"),
        (r#","tools":[{"function":{"name":"a b"}}]"#, "tools.0.function.name", "invalid_value"),
        (r#","tools":[{"function":{"name":"a","parameters":1}}]"#, "tools.0.function.parameters", "invalid_type"),
        (r#","tool_choice":"required""#, "tool_choice", "invalid_value"),
        (r#","tool_choice":"any""#, "tool_choice", "invalid_value"),
        (r#","tool_choice":{"function":{"name":"f"}}"#, "tool_choice", "invalid_value"),
        (r#","parallel_tool_calls":1"#, "parallel_tool_calls", "invalid_type"),
        (r#","functions":[{"name":"f"}]"#, "functions", "unsupported_parameter"),
        (r#","response_format":{"type":"xml"}"#, "response_format.type", "invalid_value"),
        (r#","response_format":{"type":"json_schema"}"#, "response_format.json_schema", "missing_field"),
        (
            r#","response_format":{"type":"json_schema","json_schema":{"schema":1}}"#,
            "response_format.json_schema.schema",
            "invalid_type",
        ),
        (
            r#","response_format":{"type":"grammar","definition":"x","syntax":"ebnf"}"#,
            "response_format.syntax",
            "invalid_value",
        ),
        (r#","top_logprobs":3"#, "top_logprobs", "invalid_value"),
        (r#","logprobs":true,"top_logprobs":21"#, "top_logprobs", "invalid_value"),
        (r#","reasoning_effort":"much""#, "reasoning_effort", "invalid_value"),
        (r#","chat_template_kwargs":{"tools":1}"#, "chat_template_kwargs.tools", "unknown_parameter"),
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
        (r#"[{"role":"assistant","content":"x","tool_calls":[1]}]"#, "messages.0.tool_calls.0", "invalid_type"),
        (r#"[{"role":"user","content":"x","tool_calls":[1]}]"#, "messages.0.tool_calls", "invalid_value"),
        (r#"[{"role":"assistant","content":null}]"#, "messages.0.content", "missing_field"),
        (
            r#"[{"role":"assistant","tool_calls":[{"function":{}}]}]"#,
            "messages.0.tool_calls.0.function.name",
            "missing_field",
        ),
    ] {
        let body = format!(r#"{{"model":"m","messages":{messages}}}"#);
        assert_eq!(refused(body.as_bytes()), (Some(param.to_owned()), code), "{messages}");
    }
}

const TOOL: &str =
    r#"{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object"},"strict":true}}"#;

#[test]
fn tools_and_the_choice_among_them_are_read() {
    let request = good(&format!(r#","tools":[{TOOL}],"parallel_tool_calls":false"#));
    let tool = &request.reply.tools[0];
    assert_eq!((tool.name.as_str(), tool.parameters.as_deref()), ("f", Some(r#"{"type":"object"}"#)));
    assert!(request.reply.one_call && request.reply.tool_choice == ToolChoice::Auto);
    let choice = |choice: &str| good(&format!(r#","tools":[{TOOL}],"tool_choice":{choice}"#)).reply;
    assert!(choice(r#""none""#).tools.is_empty());
    assert_eq!(choice(r#""required""#).tool_choice, ToolChoice::Required);
    let named = choice(r#"{"type":"function","function":{"name":"f"}}"#);
    assert_eq!(named.tool_choice, ToolChoice::Named("f".to_owned()));
    let many = vec![TOOL; 129].join(",");
    assert_eq!(refused(body(&format!(r#","tools":[{many}]"#)).as_bytes()).0.as_deref(), Some("tools"));
    let both = format!(r#","tools":[{TOOL}],"tool_choice":"required","response_format":{{"type":"json_object"}}"#);
    assert_eq!(refused(body(&both).as_bytes()).0.as_deref(), Some("response_format"));
}

#[test]
fn calls_and_their_results_are_turns() {
    let messages = r#"{"model":"m","messages":[
        {"role":"assistant","content":null,"reasoning_content":"hm","tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]},
        {"role":"tool","tool_call_id":"c1","content":[{"type":"text","text":"2"}]}]}"#;
    let request = parse_chat_request(messages.as_bytes()).expect("good");
    let call = ToolCall { id: "c1".into(), name: "f".into(), arguments: r#"{"a":1}"#.into() };
    let assistant =
        ChatMessage { tool_calls: vec![call], reasoning: Some("hm".into()), ..ChatMessage::new(Role::Assistant, "") };
    let tool = ChatMessage { tool_call_id: Some("c1".into()), ..ChatMessage::new(Role::Tool, "2") };
    assert_eq!(request.prompt, Prompt::Chat(vec![assistant, tool]));
}

#[test]
fn formats_are_constraints() {
    let constraint = |format: &str| good(&format!(r#","response_format":{format}"#)).reply.constraint;
    assert_eq!(constraint(r#"{"type":"text"}"#), None);
    assert_eq!(constraint(r#"{"type":"json_object"}"#), Some(Constraint::JsonObject));
    let schema =
        constraint(r#"{"type":"json_schema","json_schema":{"name":"n","strict":true,"schema":{"b":1,"a":2}}}"#);
    assert_eq!(schema, Some(Constraint::JsonSchema { schema: r#"{"b":1,"a":2}"#.into(), strict: true }));
    let regex = constraint(r#"{"type":"grammar","syntax":"regex","definition":"a+"}"#);
    assert_eq!(regex, Some(Constraint::Regex("a+".into())));
    let lark = constraint(r#"{"type":"grammar","syntax":"lark","definition":"start: \"a\""}"#);
    assert_eq!(lark, Some(Constraint::Lark("start: \"a\"".into())));
    let long = "x".repeat((32 << 10) + 1);
    let long = format!(r#","response_format":{{"type":"grammar","syntax":"regex","definition":"{long}"}}"#);
    assert_eq!(refused(body(&long).as_bytes()).0.as_deref(), Some("response_format.definition"));
}

#[test]
fn effort_and_thinking_follow_from_each_other() {
    for (effort, thinking, expect_effort, expect_thinking) in [
        ("null", "null", None, None),
        ("null", "true", Some("medium"), Some(true)),
        ("null", "false", Some("none"), Some(false)),
        (r#""none""#, "null", Some("none"), Some(false)),
        (r#""low""#, "null", Some("low"), Some(true)),
        (r#""xhigh""#, "null", Some("xhigh"), Some(true)),
        (r#""none""#, "true", Some("none"), Some(true)),
    ] {
        let reply = good(&format!(r#","reasoning_effort":{effort},"enable_thinking":{thinking}"#)).reply;
        let found = (reply.reasoning_effort.as_deref(), reply.enable_thinking);
        assert_eq!(found, (expect_effort, expect_thinking), "{effort} {thinking}");
    }
    assert_eq!(good(r#","chat_template_kwargs":{"enable_thinking":false}"#).reply.enable_thinking, Some(false));
}

#[test]
fn likelihoods_are_asked_for() {
    assert_eq!(good(r#","logprobs":true"#).sampling.logprobs, Some(0));
    assert_eq!(good(r#","logprobs":true,"top_logprobs":5"#).sampling.logprobs, Some(5));
    assert_eq!(good(r#","logprobs":false,"top_logprobs":0"#).sampling.logprobs, None);
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
        field in "model|messages|stop|temperature|top_k|seed|logit_bias|max_tokens|stream_options|tools|tool_choice|response_format",
        value in r#"null|true|-?[0-9]{1,20}|[0-9]e[0-9]{1,3}|"[a-z]{0,4}"|\[\]|\[1\]|\[\{\}\]|\{\}|\{"1":2\}"#,
    ) {
        let _ = parse_chat_request(body(&format!(r#","{field}":{value}"#)).as_bytes());
    }
}

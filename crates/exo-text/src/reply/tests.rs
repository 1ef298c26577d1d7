use proptest::prelude::*;
use serde_json::json;

use super::{coerce::coerce, scanner::overlap, *};

/// Behaviour of EXO's parsers that is worth keeping. Those of its cases that record a defect are here as they should
/// be ("corrected"): tags glued to other text are found, and a broken or cut call is text without an error.
const CASES: &str = include_str!("../../tests/data/replies.json");

fn cases(list: &str) -> Vec<Value> {
    let all: Value = serde_json::from_str(CASES).expect("JSON");
    let cases = all[list].as_array().expect("a list").clone();
    assert!(!cases.is_empty(), "{list}");
    cases
}

fn offered(tools: &Value) -> OfferedTools {
    let tool = |tool: &Value| {
        let function = &tool["function"];
        (function["name"].as_str().expect("a name").to_owned(), function["parameters"].clone())
    };
    OfferedTools(tools.as_array().expect("a list").iter().map(tool).collect())
}

/// The parts as the cases write them, neighbours joined.
fn shown(parts: &[ReplyPart]) -> Value {
    let mut joined = Parts { tools: OfferedTools::default(), found: Vec::new() };
    for part in parts {
        match part {
            ReplyPart::Content(text) => joined.content(text),
            ReplyPart::Reasoning(text) => joined.reasoning(text),
            call @ ReplyPart::Call(_) => joined.found.push(call.clone()),
        }
    }
    let part = |part: &ReplyPart| match part {
        ReplyPart::Content(text) => json!({ "content": text }),
        ReplyPart::Reasoning(text) => json!({ "reasoning": text }),
        ReplyPart::Call(ReplyCall { name, arguments }) => {
            json!({ "call": name, "arguments": serde_json::from_str::<Value>(arguments).expect("JSON") })
        }
    };
    joined.found.iter().map(part).collect()
}

fn parse(mut parser: ReplyParser, pieces: &[&str]) -> Value {
    let mut parts: Vec<ReplyPart> = pieces.iter().flat_map(|piece| parser.push(piece)).collect();
    parts.extend(parser.finish());
    shown(&parts)
}

/// Whole, as it came, and byte by byte (where bytes are characters): always the same.
fn check(parser: &ReplyParser, pieces: &[&str], expect: &Value, id: &str) {
    let text = pieces.concat();
    let characters: Vec<&str> = text.split_inclusive(|_| true).collect();
    for pieces in [pieces, &[&text], &characters] {
        assert_eq!(parse(parser.clone(), pieces), *expect, "{id}: {pieces:?}");
    }
}

#[test]
fn replies_are_told_apart_as_recorded() {
    for case in cases("replies") {
        let format = ReplyFormat::of_template(case["template"].as_str().expect("a text"));
        let starts_in_reasoning = case["starts_in_reasoning"].as_bool().unwrap_or_default();
        let parser = ReplyParser::new(format, starts_in_reasoning, case.get("tools").map(offered));
        let pieces: Vec<&str> = case["pieces"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
        check(&parser, &pieces, &case["parts"], case["id"].as_str().expect("an id"));
    }
}

#[test]
fn bodies_of_calls_are_read_as_recorded() {
    for case in cases("bodies") {
        let format = ReplyFormat::of_template(case["template"].as_str().expect("a text"));
        let text = case["text"].as_str().expect("a text");
        let expect: Value = match case["calls"].as_array() {
            Some(calls) => calls.iter().map(|call| json!({ "call": call[0], "arguments": call[1] })).collect(),
            None => json!([{ "content": text }]),
        };
        let parser = ReplyParser::new(format, false, Some(OfferedTools::default()));
        check(&parser, &[text], &expect, case["id"].as_str().expect("an id"));
    }
}

#[test]
fn arguments_get_the_types_of_their_schema_as_recorded() {
    for case in cases("coercions") {
        assert_eq!(coerce(case["value"].clone(), &case["schema"]), case["expect"], "{}", case["id"]);
    }
}

#[test]
fn kinds_that_a_nested_value_may_have_are_tried_once() {
    let nest = |inner: Value| json!({ "type": ["array", "object"], "items": inner });
    let (mut schema, mut value, mut expect) = (json!({ "type": ["null", "integer"] }), json!("5"), json!(5));
    for _ in 0..100 {
        (schema, value, expect) = (nest(schema), json!([value]), json!([expect]));
    }
    assert_eq!(coerce(value, &schema), expect);
}

#[test]
fn starts_of_markers_are_found_as_recorded() {
    for case in cases("prefixes") {
        let [text, marker] = ["text", "marker"].map(|name| case[name].as_str().expect("a text"));
        assert_eq!(overlap(text, marker) > 0, case["expect"], "{}", case["id"]);
    }
}

#[test]
fn formats_are_recognised_as_recorded() {
    for case in cases("templates") {
        let format = ReplyFormat::of_template(case["source"].as_str().expect("a text"));
        assert_eq!(format.knows_tools(), case["knows_tools"], "{}", case["id"]);
    }
}

/// What tells a family's template, a reply of the family, and what it says.
fn families() -> Vec<(&'static str, &'static str, Value)> {
    let call = json!({ "call": "f", "arguments": { "n": 5 } });
    vec![
        (
            "<|python_tag|> tools",
            r#"<|python_tag|>{"name": "f", "parameters": {"n": "5"}}; {"name": "f", "parameters": {"n": 5}}"#,
            json!([call, call]),
        ),
        ("<|start_header_id|> tools", r#"  {"type": "function", "name": "f", "parameters": {"n": 5}}"#, json!([call])),
        ("<|python_tag|>", r#"{"name": "Bob"} is JSON"#, json!([{ "content": r#"{"name": "Bob"} is JSON"# }])),
        ("<|python_tag|>", r#"{"age": 3}"#, json!([{ "content": r#"{"age": 3}"# }])),
        (
            "[TOOL_CALLS] tools",
            r#"Hm.[TOOL_CALLS] [{"name": "f", "arguments": {"n": 5}}, {"name": "f", "arguments": {"n": 5}}]"#,
            json!([{ "content": "Hm." }, call, call]),
        ),
        (
            "[TOOL_CALLS] [ARGS]",
            r#"[TOOL_CALLS]f[CALL_ID]a1b2c3d4e[ARGS]{"n": 5}[TOOL_CALLS]f[ARGS]{"n": 5}"#,
            json!([call, call]),
        ),
        ("[TOOL_CALLS]", "[TOOL_CALLS]oh [no", json!([{ "content": "[TOOL_CALLS]oh [no" }])),
        (
            "<tool_call> tool_call.name </think>",
            "<think>\nLet me see.</think>\n\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"n\": 5}}\n</tool_call>\n\
             <tool_call>{\"name\": \"f\", \"arguments\": \"{\\\"n\\\": 5}\"}</tool_call>",
            json!([{ "reasoning": "Let me see." }, call, call]),
        ),
        (
            "<tool_call> <function=",
            "<tool_call>\n<function=f>\n<parameter=n>\n5\n</parameter>\n</function>\n</tool_call> Done.",
            json!([call, { "content": " Done." }]),
        ),
        ("<tool_call> <arg_key>", "<tool_call>f\n</tool_call>", json!([{ "call": "f", "arguments": {} }])),
        (
            "<tool_call> <arg_key>",
            "<tool_call>what is it</tool_call>",
            json!([{ "content": "<tool_call>what is it</tool_call>" }]),
        ),
        (
            "<｜tool▁calls▁begin｜> </think>",
            "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n{\"n\": 5}\n```<｜tool▁call▁end｜>\n\
             <｜tool▁call▁begin｜>f<｜tool▁sep｜>{\"n\": 5}<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
            json!([call, call]),
        ),
        ("<|tool|>", r#"<|tool_call|>[{"name": "f", "arguments": {"n": 5}}]<|/tool_call|>"#, json!([call])),
        ("<|tool|>", r#"functools[{"name": "f", "arguments": {"n": 5}}]"#, json!([call])),
        // Gemma and others whose template knows no tools are told to write tags.
        ("<start_of_turn>", r#"<tool_call>{"name": "f", "arguments": {"n": 5}}</tool_call>"#, json!([call])),
        (
            "<|channel|> <|message|>",
            "<|channel|>analysis<|message|>Let me see.<|end|><|start|>assistant<|channel|>commentary \
             to=functions.f <|constrain|>json<|message|>{\"n\": \"5\"}",
            json!([{ "reasoning": "Let me see." }, call]),
        ),
        (
            "<|channel|> <|message|>",
            " to=functions.f<|channel|>commentary json<|message|>{\"n\": 5}<|call|>",
            json!([call]),
        ),
        (
            "<|channel|> <|message|>",
            "<|channel|>commentary<|message|>First.<|end|><|start|>assistant<|channel|>final<|message|>Then.",
            json!([{ "content": "First.Then." }]),
        ),
        ("<|channel|> <|message|>", "Just <|chan", json!([{ "content": "Just <|chan" }])),
        (
            "<|channel|> <|message|>",
            "<|channel|>commentary to=functions.f<|message|>{oh",
            json!([{ "content": "<|channel|>commentary to=functions.f<|message|>{oh" }]),
        ),
    ]
}

fn tools_of_families() -> Option<OfferedTools> {
    let schema = json!({ "type": "object", "properties": { "n": { "type": "integer" } } });
    Some(OfferedTools(BTreeMap::from([("f".to_owned(), schema)])))
}

#[test]
fn every_family_is_understood() {
    for (template, reply, expect) in families() {
        let parser = ReplyParser::new(ReplyFormat::of_template(template), false, tools_of_families());
        check(&parser, &[reply], &expect, template);
    }
}

#[test]
fn without_tools_nothing_is_a_call() {
    let reply = r#"<tool_call>{"name": "f"}</tool_call>"#;
    let parser = ReplyParser::new(ReplyFormat::of_template("<tool_call> tool_call.name"), false, None);
    check(&parser, &[reply], &json!([{ "content": reply }]), "tagged");
}

#[test]
fn text_comes_as_soon_as_it_is_certain() {
    let format = ReplyFormat::of_template("<tool_call> tool_call.name </think>");
    let mut parser = ReplyParser::new(format, false, tools_of_families());
    let content = |text: &str| vec![ReplyPart::Content(text.to_owned())];
    assert_eq!(parser.push("a < b"), content("a < b"));
    assert_eq!(parser.push(" <tool"), content(" "));
    assert_eq!(parser.push("ing>"), content("<tooling>"));
    let llama = ReplyFormat::of_template("<|python_tag|>");
    let mut parser = ReplyParser::new(llama, false, tools_of_families());
    assert_eq!(parser.push("{\"na"), []);
    assert_eq!(parser.push("ture\""), content("{\"nature\""));
    assert_eq!(parser.push(": 1}"), content(": 1}"));
}

#[test]
fn arguments_can_be_read_again_however_deep_a_text_in_them_is_nested() {
    let schema = json!({ "properties": { "l": { "type": "array" } } });
    let tools = OfferedTools(BTreeMap::from([("f".to_owned(), schema)]));
    for (levels, becomes_list) in [(100, true), (127, false)] {
        let list = "[".repeat(levels) + &"]".repeat(levels);
        let text = format!(r#"<tool_call>{{"name":"f","arguments":{{"l":"{list}"}}}}</tool_call>"#);
        let mut parser = ReplyParser::new(ReplyFormat::PLAIN, false, Some(tools.clone()));
        let parts = [parser.push(&text), parser.finish()].concat();
        let [ReplyPart::Call(call)] = parts.as_slice() else { panic!("a call: {parts:?}") };
        let arguments: Value = serde_json::from_str(&call.arguments).expect("JSON that can be read");
        assert_eq!(arguments["l"].is_array(), becomes_list, "{levels} levels");
    }
}

#[test]
fn no_marker_hides_another() {
    for (template, _, _) in families() {
        let format = ReplyFormat::of_template(template);
        let brackets = format.calls.unwrap_or(CallSyntax::Tagged).brackets();
        let opens: Vec<&str> = brackets.iter().map(|bracket| bracket.open).collect();
        for (index, open) in opens.iter().enumerate() {
            assert!(opens.iter().skip(index + 1).all(|other| !other.contains(open) && !open.contains(other)), "{open}");
        }
    }
}

proptest! {
    #[test]
    fn cuts_never_change_the_result_and_nothing_panics(
        family in any::<proptest::sample::Index>(),
        pieces in proptest::collection::vec(prop_oneof![
            Just("<think>"), Just("</think>"), Just("<tool_call>"), Just("</tool_call>"), Just("<|python_tag|>"),
            Just("[TOOL_CALLS]"), Just("[ARGS]"), Just("functools"), Just("<|channel|>"), Just("<|message|>"),
            Just("<|start|>"), Just("<|end|>"), Just("assistant"), Just("final"), Just("analysis"), Just("\n"),
            Just(" to=functions.f "), Just(r#"{"name": "f", "arguments": {"n": 1}}"#), Just("{\"na"), Just("<"), Just("ä"),
            Just("<｜tool▁calls▁begin｜>"), Just("<｜tool▁calls▁end｜>"), Just("<function=f>"), Just("</function>"),
        ], 0..12),
        starts_in_reasoning in any::<bool>(),
        with_tools in any::<bool>(),
        cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..12),
    ) {
        let families = families();
        let format = ReplyFormat::of_template(families[family.index(families.len())].0);
        let tools = tools_of_families().filter(|_| with_tools);
        let parser = ReplyParser::new(format, starts_in_reasoning, tools);
        let text = pieces.concat();
        let mut bounds: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
        bounds.retain(|&bound| text.is_char_boundary(bound));
        bounds.extend([0, text.len()]);
        bounds.sort_unstable();
        let cut: Vec<&str> = bounds.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect();
        prop_assert_eq!(parse(parser.clone(), &cut), parse(parser, &[&text]));
    }

    #[test]
    fn text_without_markers_passes_unchanged(text in "[ a-zä{}\\[\\]\"<>|/:,.]{0,60}", family in any::<proptest::sample::Index>()) {
        let families = families();
        let format = ReplyFormat::of_template(families[family.index(families.len())].0);
        // What begins as a header of a channel may be cut there.
        prop_assume!(format.calls != Some(CallSyntax::Harmony) || text.starts_with('x'));
        prop_assume!(!text.contains("functools"));
        let parts = parse(ReplyParser::new(format, false, tools_of_families()), &[&text]);
        let expect = if text.is_empty() { json!([]) } else { json!([{ "content": text }]) };
        prop_assert_eq!(parts, expect);
    }
}

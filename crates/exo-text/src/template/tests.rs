use serde_json::json;

use super::*;
use crate::message::ChatTool;

fn chat() -> Chat {
    vec![ChatMessage::new("system", "Be brief."), ChatMessage::new("user", "  Hi <b>you</b>\n")].into()
}

fn render(source: &str) -> Result<String, TemplateError> {
    let options = RenderOptions { add_generation_prompt: true, now: UnixSeconds(1_700_000_000) };
    ChatTemplate::new(source, "<s>", "</s>")?.render(&chat(), options)
}

#[test]
fn the_fallback_is_chatml() {
    let options = RenderOptions { add_generation_prompt: true, ..RenderOptions::default() };
    let text = ChatTemplate::chatml().render(&chat(), options).expect("renders");
    assert_eq!(
        text,
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n  Hi <b>you</b>\n<|im_end|>\n<|im_start|>assistant\n"
    );
}

#[test]
fn templates_speak_the_dialect_of_model_files() {
    let check = |source: &str, expect: &str| assert_eq!(render(source).expect(source), expect, "{source}");
    check("{{ bos_token }}{{ eos_token }}", "<s></s>");
    check(
        "{% for m in messages %}\n{{ m['role'] + ': ' + m.content | trim }}\n{% endfor %}",
        "system: Be brief.\nuser: Hi <b>you</b>\n",
    );
    check("{{ messages[1].content.strip().split(' ')[0] }}", "Hi");
    check("{{ messages[0].content.startswith('Be') and 'brief' in messages[0].content }}", "True");
    check("{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}", "2");
    check("{{ messages[1:] | length }}{{ messages[::-1][0].role }}", "1user");
    check("{{ {'a': [1, 'ä<']} | tojson }}", "{\"a\": [1, \"ä<\"]}");
    check("{{ [1] | tojson(indent=2) }}", "[\n  1\n]");
    check("{{ strftime_now('%d %b %Y') }}", "14 Nov 2023");
    check("{{ tools is none }}{{ x is none }}{{ enable_thinking is defined }}", "TrueFalseFalse");
    check("{{ messages | map(attribute='role') | join(', ') }}", "system, user");
    check("{% macro f(x) %}[{{ x }}]{% endmacro %}{{ f('a') ~ f('b') }}", "[a][b]");
    check("{{ 'a-b' | replace('-', '+') | upper }}", "A+B");
    check("{% if not add_generation_prompt %}x{% endif %}", "");
}

#[test]
fn a_template_that_goes_wrong_is_stopped_and_named() {
    let check = |source: &str, expect: &str| {
        let error = render(source).expect_err(source).to_string();
        assert!(error.contains(expect), "{source}: {error}");
    };
    check("{{ raise_exception('roles must alternate') }}", "refuses this chat: roles must alternate");
    check("{{ ", "broken");
    check("{% if x %}", "broken");
    check("{{ nothing() }}", "broken");
    check("{% include 'other' %}", "broken");
    check(&"x".repeat(MAX_TEMPLATE_BYTES + 1), "the limit is 262144");
    check("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "levels deep");
    check("{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}", "instructions");
    check("{% for a in range(9999) %}{{ 'x' * 9999 }}{% endfor %}", "bytes of text");
}

#[test]
fn doubling_never_builds_what_it_asks_for() {
    let check = |body: &str| {
        let source =
            format!("{{% set ns = namespace(x='xxxxxxxxxxxxxxxx') %}}{{% for i in range(60) %}}{body}{{% endfor %}}");
        let error = render(&source).expect_err(body);
        assert!(matches!(error, TemplateError::OutputTooLarge(_)), "{body}: {error}");
    };
    check("{% set ns.x = ns.x ~ ns.x %}");
    check("{% set ns.x = ns.x + ns.x %}");
    check("{% set ns.x = ns.x * 2 ~ '' %}");
    check("{% set ns.x = ns.x.replace('x', 'xx') %}");
    check("{% set ns.x = ns.x | replace('x', 'xx') %}");
    check("{% set ns.x = [ns.x, ns.x] | join %}");
    check("{% set ns.x = ns.x.join([ns.x, ns.x]) %}");
    check("{% set ns.x = [ns.x, ns.x] %}{{ ns.x }}");
    check("{% set ns.x = [ns.x, ns.x] | tojson %}");
    check("{% set y %}{{ ns.x }}{{ ns.x }}{% endset %}{% set ns.x = y %}");
}

#[test]
fn what_is_repeated_stays_small() {
    for source in [
        "{% set a = 'x' * 99999999 %}",
        "{{ {'a': 'x' * 9999999, 'b': 9999999 * 'x'} | length }}",
        "{% set a = ('x' * 4000) * 20000 %}",
        "{% macro f(x) %}{{ f('x' * 2000000) }}{% endmacro %}{{ f('') }}",
    ] {
        let error = render(source).expect_err(source);
        assert!(matches!(error, TemplateError::OutputTooLarge(_)), "{source}: {error}");
    }
    assert_eq!(render("{{ '=' * 5 ~ 3 * 4 ~ [1] * 2 }}").expect("renders"), "=====12[1, 1]");
}

#[test]
fn values_are_not_nested_without_end() {
    let textual = format!("{{% set x = [] %}}{}{{{{ x }}}}", "{%set x=[x]%}".repeat(15_000));
    for source in [
        "{% set ns = namespace(x=0) %}{% for i in range(50000) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x }}",
        "{% set ns = namespace(x=0) %}{% for i in range(50000) %}{% set ns.x = {'a': ns.x} %}{% endfor %}",
        "{% set ns = namespace(x=0) %}{% for i in range(50000) %}{% set ns.x = namespace(x=ns.x) %}{% endfor %}",
        "{% set ns = namespace() %}{% set ns.x = ns %}{{ ns }}",
        "{% set ns = namespace() %}{% set ns.x = [{'a': ns}] %}{{ ns == ns }}",
        "{% set ns = namespace() %}{% macro f() %}{{ ns }}{% endmacro %}{% set ns.x = f %}",
        &textual,
    ] {
        let error = render(source).expect_err(source);
        assert!(matches!(error, TemplateError::TooNested), "{source}: {error}");
    }
    let fine = "{% set ns = namespace(x=[]) %}{% for i in range(99) %}{% set ns.x = ns.x + [[i]] %}{% endfor %}{{ ns.x | length }}";
    assert_eq!(render(fine).expect("renders"), "99");
}

fn chat_with_tools() -> Chat {
    let call = crate::message::ChatCall { id: "1".into(), name: "sum".into(), arguments: json!({ "b": 2, "a": 1 }) };
    let result = |content: &str| ChatMessage { call_id: Some("1".into()), ..ChatMessage::new("tool", content) };
    let messages = vec![
        ChatMessage::new("user", "Add."),
        ChatMessage { calls: vec![call], reasoning: Some("Easy.".into()), ..ChatMessage::new("assistant", "") },
        result("3"),
        result("4"),
    ];
    let parameters = json!({ "type": "object", "properties": { "b": {}, "a": {} } });
    let tool = ChatTool { name: "sum".into(), description: Some("adds".into()), parameters };
    Chat { messages, tools: vec![tool], enable_thinking: Some(false), reasoning_effort: Some("low".into()) }
}

#[test]
fn templates_that_know_tools_get_them_as_they_are() {
    let source = "<tool_call> tool_call.name {{ tools | tojson }} {{ messages[1].tool_calls[0].function.arguments | tojson }} \
                  {{ messages[2].tool_call_id }} {{ messages[1].reasoning_content }} {{ enable_thinking }} {{ reasoning_effort }}";
    let template = ChatTemplate::new(source, "", "").expect("a template");
    let text = template.render(&chat_with_tools(), RenderOptions::default()).expect("renders");
    assert_eq!(
        text,
        "<tool_call> tool_call.name [{\"type\": \"function\", \"function\": {\"name\": \"sum\", \"description\": \"adds\", \
         \"parameters\": {\"type\": \"object\", \"properties\": {\"b\": {}, \"a\": {}}}}}] {\"b\": 2, \"a\": 1} 1 Easy. False low"
    );
    let phi = "<|tool|> {% if 'tools' in message %}{% endif %}{{ messages[0].role }} {{ messages[0].tools }}";
    let text = ChatTemplate::new(phi, "", "").expect("a template").render(&chat_with_tools(), RenderOptions::default());
    assert!(text.as_ref().is_ok_and(|text| text.starts_with("<|tool|> system [{\"type\"")), "{text:?}");
}

#[test]
fn other_templates_get_tools_in_words() {
    let text = ChatTemplate::chatml().render(&chat_with_tools(), RenderOptions::default()).expect("renders");
    let expect = "<|im_start|>assistant\n<tool_call>\n{\"name\":\"sum\",\"arguments\":{\"b\":2,\"a\":1}}\n</tool_call><|im_end|>\n\
                  <|im_start|>user\n<tool_response>\n3\n</tool_response>\n<tool_response>\n4\n</tool_response><|im_end|>\n";
    assert!(text.starts_with("<|im_start|>system\nYou can call these tools:\n<tools>\n{"), "{text}");
    assert!(text.ends_with(expect), "{text}");
    let gemma =
        "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}{{ messages[0].content }}";
    let template = ChatTemplate::new(gemma, "", "").expect("a template");
    let text = template.render(&chat_with_tools(), RenderOptions::default()).expect("renders");
    assert!(text.starts_with("You can call") && text.ends_with("tags.\n\nAdd."), "{text}");
}

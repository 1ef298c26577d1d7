use super::*;

fn chat() -> Vec<ChatMessage> {
    vec![ChatMessage::new("system", "Be brief."), ChatMessage::new("user", "  Hi <b>you</b>\n")]
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
    check("{{ tools is defined }}{{ x is none }}", "FalseFalse");
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

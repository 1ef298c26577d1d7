//! Answers of a model that says anything that it is allowed to.

use std::{sync::Arc, time::Duration};

use exo_grammar::{Allowed, Grammar, GrammarError, GrammarSession, Grammars};
use exo_text::{
    CallPattern, ChatTool, PreTokenizer, ReplyFormat, ReplyParser, ReplyPart, SpecialTokens, TokenKind, Tokenizer,
    TokenizerModel, Vocabulary,
};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Longer than any grammar here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Every byte, some longer words, and control tokens.
fn tokenizer() -> Arc<Tokenizer> {
    let bytes = (0..=255).map(|byte: u8| (format!("<0x{byte:02X}>"), TokenKind::Byte));
    let words = ["{\"", "\":", "\", \"", "name", "true", "12", "ab", "<tool_call>"];
    let words = words.map(|word| (word.to_owned(), TokenKind::Normal));
    let control = ["<|im_end|>", "<|tool_call|>"].map(|text| (text.to_owned(), TokenKind::Control));
    let all: Vec<(String, TokenKind)> = bytes.chain(words).chain(control).collect();
    let end = all.len() as u32 - 2;
    let vocabulary = Vocabulary {
        model: TokenizerModel::Llama,
        pre: PreTokenizer::Gpt2,
        scores: vec![0.0; all.len()],
        kinds: all.iter().map(|(_, kind)| *kind).collect(),
        tokens: all.into_iter().map(|(text, _)| text).collect(),
        merges: Vec::new(),
        special: SpecialTokens { eos: Some(end), ..SpecialTokens::default() },
    };
    Arc::new(Tokenizer::new(vocabulary).expect("a vocabulary"))
}

fn step(session: &mut GrammarSession) -> Result<Allowed, GrammarError> {
    session.wait(PATIENCE).expect("in time").clone()
}

/// What a model says that takes the tokens that `choices` point at, whatever they are; and whether it came to an end.
fn speak(
    grammars: &Grammars,
    tokenizer: &Tokenizer,
    grammar: Grammar,
    choices: impl IntoIterator<Item = usize>,
) -> Result<(String, bool), GrammarError> {
    let mut session = grammars.start(grammar)?;
    let mut said = Vec::new();
    for choice in choices {
        let Allowed::Tokens(allowed) = step(&mut session)? else { return Ok((text(said), true)) };
        let tokens: Vec<u32> = (0..tokenizer.len() as u32).filter(|token| allowed.contains(*token)).collect();
        let token = tokens[choice % tokens.len()];
        if tokenizer.is_end(token) {
            return Ok((text(said), true));
        }
        let is_control = tokenizer.kind(token) == TokenKind::Control;
        said.extend_from_slice(if is_control {
            tokenizer.token_text(token).expect("in the vocabulary").as_bytes()
        } else {
            tokenizer.token_bytes(token)
        });
        session.accept(token);
    }
    // Cut anywhere, it may end inside a character.
    match step(&mut session)? {
        Allowed::Nothing => Ok((text(said), true)),
        Allowed::Tokens(_) => Ok((String::from_utf8_lossy(&said).into_owned(), false)),
    }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("a grammar lets nothing pass but text")
}

fn schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "name": { "type": "string", "maxLength": 8 },
            "age": { "type": "integer", "minimum": 0, "maximum": 150 },
            "tags": { "type": "array", "items": { "enum": ["a", "b"] }, "maxItems": 3 },
        },
        "required": ["name", "age", "tags"],
        "additionalProperties": false,
    })
}

fn fits(value: &Value) -> bool {
    let name = value["name"].as_str().is_some_and(|name| name.chars().count() <= 8);
    let age = value["age"].as_u64().is_some_and(|age| age <= 150);
    let is_tag = |tag: &Value| tag == "a" || tag == "b";
    let tags = value["tags"].as_array().is_some_and(|tags| tags.len() <= 3 && tags.iter().all(is_tag));
    name && age && tags && value.as_object().is_some_and(|fields| fields.len() == 3)
}

fn tools() -> Vec<ChatTool> {
    let tool = |name: &str| ChatTool { name: name.to_owned(), description: None, parameters: schema() };
    vec![tool("f"), tool("g")]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn whatever_is_chosen_fits_the_schema(choices in proptest::collection::vec(any::<usize>(), 400)) {
        let tokenizer = tokenizer();
        let grammars = Grammars::new(tokenizer.clone());
        let grammar = Grammar::JsonSchema { schema: schema(), strict: true };
        let (text, is_whole) = speak(&grammars, &tokenizer, grammar, choices).expect("a good schema");
        prop_assert!(is_whole, "{}", text);
        let value: Value = serde_json::from_str(&text).expect("JSON");
        prop_assert!(fits(&value), "{}", value);
    }

    #[test]
    fn whatever_is_chosen_is_a_call_in_every_family(
        choices in proptest::collection::vec(any::<usize>(), 2_000),
        family in 0_usize..7,
    ) {
        let templates = [
            "", "<tool_call> tool_call.name", "[TOOL_CALLS]", "<|python_tag|>", "<|tool|>", "<｜tool▁calls▁begin｜>",
            "<|channel|> <|message|>",
        ];
        let tokenizer = tokenizer();
        let grammars = Grammars::new(tokenizer.clone());
        let format = ReplyFormat::of_template(templates[family]);
        let grammar = Grammar::Calls(format.forced_calls(&tools(), true));
        let (text, is_whole) = speak(&grammars, &tokenizer, grammar, choices).expect("a good pattern");
        prop_assert!(is_whole, "{}", text);
        let offered = exo_text::OfferedTools(tools().into_iter().map(|tool| (tool.name, tool.parameters)).collect());
        let mut parser = ReplyParser::new(format, false, Some(offered));
        let mut parts = parser.push(&text);
        parts.extend(parser.finish());
        let [ReplyPart::Call(call)] = &parts[..] else { panic!("{text} is {parts:?}") };
        prop_assert!(call.name == "f" || call.name == "g");
        prop_assert!(fits(&serde_json::from_str(&call.arguments).expect("JSON")), "{}", call.arguments);
    }
}

#[test]
fn an_answer_ends_where_its_grammar_does() {
    let tokenizer = tokenizer();
    let grammars = Grammars::new(tokenizer.clone());
    let mut session = grammars.start(Grammar::Regex("ab|ac*".to_owned())).expect("small");
    let allowed = |session: &mut GrammarSession| match step(session).expect("a good grammar") {
        Allowed::Tokens(set) => (0..tokenizer.len() as u32).filter(|token| set.contains(*token)).collect::<Vec<_>>(),
        Allowed::Nothing => Vec::new(),
    };
    let ab = tokenizer.encode("ab", exo_text::ControlTokens::AsText).expect("short");
    assert_eq!(allowed(&mut session), [u32::from(b'a'), ab[0]]);
    session.accept(u32::from(b'a'));
    let end = tokenizer.ends().next().expect("an end");
    assert_eq!(allowed(&mut session), [u32::from(b'b'), u32::from(b'c'), end]);
    session.accept(u32::from(b'b'));
    assert_eq!(step(&mut session), Ok(Allowed::Nothing));
}

#[test]
fn an_answer_goes_on_behind_tokens_that_it_has() {
    let tokenizer = tokenizer();
    let grammars = Grammars::new(tokenizer.clone());
    let mut session = grammars.start(Grammar::Regex("xyz[0-9]".to_owned())).expect("small");
    b"xyz".iter().for_each(|byte| session.accept(u32::from(*byte)));
    let Ok(Allowed::Tokens(allowed)) = step(&mut session) else { panic!("a digit follows") };
    assert!(allowed.contains(u32::from(b'7')) && !allowed.contains(u32::from(b'x')));
    session.accept(u32::from(b'7'));
    assert_eq!(step(&mut session), Ok(Allowed::Nothing));
    session.accept(u32::from(b'7'));
    assert!(step(&mut session).is_err(), "nothing follows what is complete");
}

#[test]
fn lark_and_control_tokens_work_together() {
    let tokenizer = tokenizer();
    let grammars = Grammars::new(tokenizer.clone());
    let pattern = CallPattern::All(vec![CallPattern::Marker("<|tool_call|>"), CallPattern::Text("x\n\"".to_owned())]);
    let (text, _) = speak(&grammars, &tokenizer, Grammar::Calls(pattern), [0; 8]).expect("a good pattern");
    assert_eq!(text, "<|tool_call|>x\n\"");
    let lark = Grammar::Lark("start: WORD (\" \" WORD){2}\nWORD: /[xy]/\n".to_owned());
    let (text, is_whole) = speak(&grammars, &tokenizer, lark, [0; 8]).expect("a good grammar");
    assert_eq!((text.as_str(), is_whole), ("x x x", true));
}

#[test]
fn bad_grammars_are_refused_in_time_and_the_next_one_works() {
    let tokenizer = tokenizer();
    let grammars = Grammars::new(tokenizer.clone());
    let chain: String = (0..2_500).map(|rule| format!("a{rule}: a{}\n", rule + 1)).collect();
    let schema = |schema: Value| Grammar::JsonSchema { schema, strict: true };
    let nested = (0..60).fold(json!({ "type": "string" }), |inner, _| json!({ "type": "array", "items": inner }));
    for (name, grammar, must_fail) in [
        ("open bracket", Grammar::Regex("(".to_owned()), true),
        ("look-around", Grammar::Regex("(?=a)b".to_owned()), true),
        ("no start", Grammar::Lark("x: \"a\"".to_owned()), true),
        ("no Lark", Grammar::Lark("start: ((((".to_owned()), true),
        ("unknown rule", Grammar::Lark("start: nothing".to_owned()), true),
        ("endless rule", Grammar::Lark("start: start".to_owned()), true),
        ("no type", schema(json!({ "type": "nonsense" })), true),
        ("no schema", schema(json!([1])), true),
        ("impossible", schema(json!({ "type": "integer", "minimum": 5, "maximum": 4 })), true),
        ("not enforced", schema(json!({ "not": { "type": "string" } })), true),
        ("far reference", schema(json!({ "$ref": "http://example.com/schema" })), true),
        ("chain of rules", Grammar::Lark(format!("start: a0\n{chain}a2500: \"x\"\n")), false),
        ("repeated repetitions", Grammar::Regex("((a{1,999}b){1,999}c){1,999}".to_owned()), false),
        ("states without number", Grammar::Regex("(.*a.{24}|.*b.{25}|.*c.{26})d".to_owned()), false),
        ("many ways", Grammar::Lark("start: e\ne: e e | \"a\" | e e e |".to_owned()), false),
        (
            "endless list",
            schema(json!({ "type": "array", "items": { "enum": ["a"] }, "maxItems": 1_000_000_000 })),
            false,
        ),
        ("deep", schema(nested), false),
        ("itself", schema(json!({ "$ref": "#" })), false),
    ] {
        // What is merely hard may work, or be refused; what matters is that an answer comes, and that we live.
        let outcome = speak(&grammars, &tokenizer, grammar, (0..40).map(|choice| choice * 7919));
        assert!(!must_fail || outcome.is_err(), "{name}: {outcome:?}");
        let told = outcome.err().map_or_else(String::new, |error| error.to_string());
        assert!(!told.contains('\n') && told.len() < 500, "{name}: {told}");
    }
    let (text, _) = speak(&grammars, &tokenizer, Grammar::Regex("ok".to_owned()), [0; 4]).expect("a good grammar");
    assert_eq!(text, "ok");
}

#[test]
fn a_session_that_is_dropped_gives_its_place_back() {
    let tokenizer = tokenizer();
    let grammars = Grammars::new(tokenizer);
    for _ in 0..140 {
        let mut session = grammars.start(Grammar::JsonObject).expect("a place");
        step(&mut session).expect("a good grammar");
    }
    let all: Vec<_> = (0..200).map(|_| grammars.start(Grammar::JsonObject)).collect();
    assert!(all.iter().any(|session| matches!(session, Err(GrammarError::Busy(_)))), "places are bounded");
}

//! What a model says, told apart into text, reasoning and calls.
//!
//! The first byte chooses the family, the second what the parser is told, the third where the text is cut. Before a zero byte
//! may stand the schema of the tool `f`.

use crate::input;
use exo_text::{OfferedTools, ReplyCall, ReplyFormat, ReplyParser, ReplyPart};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What tells a family's template.
const TEMPLATES: [&str; 11] = [
    "",
    "<|python_tag|> tools </think>",
    "[TOOL_CALLS] tools",
    "[TOOL_CALLS] [ARGS] [/THINK]",
    "<tool_call> tool_call.name </think>",
    "<tool_call> <function=",
    "<tool_call> <arg_key> </think>",
    "<｜tool▁calls▁begin｜> </think>",
    "<｜DSML｜ </think>",
    "<|tool|>",
    "<|channel|> <|message|>",
];

/// How the text is cut never changes what it says.
pub(crate) fn run(bytes: &[u8]) {
    let (family, rest) = input::choice(bytes);
    let (flags, rest) = input::choice(rest);
    let (seed, rest) = input::choice(rest);
    let (schema, text) = input::text(rest).split_once('\0').unwrap_or(("", input::text(rest)));
    let format = ReplyFormat::of_template(TEMPLATES[usize::from(family) % TEMPLATES.len()]);
    let usual = || json!({ "properties": { "n": { "type": "integer" }, "l": { "type": "array" } } });
    let schema = serde_json::from_str(schema).unwrap_or_else(|_| usual());
    let tools = OfferedTools(BTreeMap::from([("f".to_owned(), schema)]));
    let parser = ReplyParser::new(format, flags & 1 == 1, (flags & 2 == 0).then_some(tools));
    let whole = parse(parser.clone(), [text]);
    assert_eq!(parse(parser.clone(), text.split_inclusive(|_| true)), whole, "by characters: {text:?}");
    let mut begin = 0;
    let ends = input::cuts(seed, text.len()).into_iter().filter(|end| text.is_char_boundary(*end));
    let pieces: Vec<&str> = ends.map(|end| &text[std::mem::replace(&mut begin, end)..end]).collect();
    assert_eq!(parse(parser, pieces.iter().copied()), whole, "in pieces: {pieces:?}");
}

/// The parts, neighbours of one kind joined.
fn parse<'a>(mut parser: ReplyParser, pieces: impl IntoIterator<Item = &'a str>) -> Vec<ReplyPart> {
    let mut joined: Vec<ReplyPart> = Vec::new();
    let mut found: Vec<ReplyPart> = pieces.into_iter().flat_map(|piece| parser.push(piece)).collect();
    found.extend(parser.finish());
    for part in found {
        match (joined.last_mut(), part) {
            (Some(ReplyPart::Content(last)), ReplyPart::Content(text))
            | (Some(ReplyPart::Reasoning(last)), ReplyPart::Reasoning(text)) => last.push_str(&text),
            (_, part) => joined.push(part),
        }
    }
    joined.iter().for_each(check);
    joined
}

/// Who gets a call can read its arguments.
fn check(part: &ReplyPart) {
    if let ReplyPart::Call(ReplyCall { arguments, .. }) = part {
        let read: Result<Value, _> = serde_json::from_str(arguments);
        assert!(read.is_ok_and(|value| value.is_object()), "{arguments:?} is no object");
    }
}

//! The bodies of tool calls, in the spellings of the model families.

use serde_json::{Map, Value};

/// A call as the model wrote it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RawCall {
    pub(super) name: String,
    pub(super) arguments: Map<String, Value>,
}

impl RawCall {
    fn of_texts(name: &str, arguments: Vec<(&str, Value)>) -> Option<Self> {
        let arguments = arguments.into_iter().map(|(name, value)| (name.trim().to_owned(), value)).collect();
        let name = name.trim();
        (!name.is_empty() && !name.contains(['<', '>'])).then(|| Self { name: name.to_owned(), arguments })
    }
}

/// Reads the whole body of a bracket; nothing if it holds no call.
pub(super) type ReadBody = fn(&str) -> Option<Vec<RawCall>>;

/// Between `<tool_call>` and `</tool_call>`: JSON (Hermes, Qwen 2 and 3), or tags (Qwen3-Coder).
pub(super) fn read_tagged(body: &str) -> Option<Vec<RawCall>> {
    if body.trim_start().starts_with("<function=") { read_functions(body) } else { read_json(body) }
}

/// JSON objects one after the other, or lists of them; semicolons and commas between them pass.
pub(super) fn read_json(body: &str) -> Option<Vec<RawCall>> {
    let mut calls = Vec::new();
    let mut rest = body.trim();
    while !rest.is_empty() {
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
        match values.next()?.ok()? {
            Value::Array(items) => {
                for item in items {
                    calls.push(of_json(item)?);
                }
            }
            value => calls.push(of_json(value)?),
        }
        rest = rest[values.byte_offset()..].trim_start_matches(|c: char| c.is_whitespace() || matches!(c, ';' | ','));
    }
    (!calls.is_empty()).then_some(calls)
}

/// `{"name", "arguments"}` with the variations that models make of it.
fn of_json(value: Value) -> Option<RawCall> {
    let Value::Object(mut fields) = value else { return None };
    let name = match fields.remove("function").or_else(|| fields.remove("name"))? {
        Value::String(name) => name,
        inner @ Value::Object(_) => return of_json(inner),
        _ => return None,
    };
    let arguments = fields.remove("arguments").or_else(|| fields.remove("parameters"));
    let arguments = match arguments {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(arguments)) => arguments,
        Some(Value::String(text)) => serde_json::from_str(&text).ok()?,
        Some(_) => return None,
    };
    (!name.is_empty()).then_some(RawCall { name, arguments })
}

/// Behind `[TOOL_CALLS]`: a list of JSON objects, or since version 11 `name[ARGS]{…}`, with `[CALL_ID]…` between.
pub(super) fn read_mistral(body: &str) -> Option<Vec<RawCall>> {
    let Some((head, arguments)) = body.split_once("[ARGS]") else { return read_json(body) };
    let name = head.split_once("[CALL_ID]").map_or(head, |(name, _)| name).trim();
    let arguments = serde_json::from_str(arguments.trim()).ok()?;
    (!name.is_empty()).then(|| vec![RawCall { name: name.to_owned(), arguments }])
}

/// Qwen3-Coder: `<function=name><parameter=key>value</parameter></function>`.
fn read_functions(body: &str) -> Option<Vec<RawCall>> {
    let mut calls = Vec::new();
    let mut rest = body.trim();
    while !rest.is_empty() {
        let (name, after) = rest.strip_prefix("<function=")?.split_once('>')?;
        let (inside, after) = after.split_once("</function>")?;
        let parameters = elements(inside, "<parameter=", "</parameter>", |head| Some(head.to_owned()))?;
        let arguments = parameters.iter().map(|(key, value)| (key.as_str(), text(without_frame(value)))).collect();
        calls.push(RawCall::of_texts(name, arguments)?);
        rest = after.trim_start();
    }
    Some(calls)
}

/// The newlines that the template puts around a value.
fn without_frame(value: &str) -> &str {
    let value = value.strip_prefix('\n').unwrap_or(value);
    value.strip_suffix('\n').unwrap_or(value)
}

/// GLM: `name<arg_key>key</arg_key><arg_value>value</arg_value>`; a forced call may be JSON.
pub(super) fn read_glm(body: &str) -> Option<Vec<RawCall>> {
    let body = body.trim();
    if body.starts_with('{') {
        return read_json(body);
    }
    let (name, mut rest) = body.split_at(body.find("<arg_key>").unwrap_or(body.len()));
    let mut arguments = Vec::new();
    while !rest.is_empty() {
        let (key, after) = rest.strip_prefix("<arg_key>")?.split_once("</arg_key>")?;
        let (value, after) = after.trim_start().strip_prefix("<arg_value>")?.split_once("</arg_value>")?;
        arguments.push((key, text(value)));
        rest = after.trim_start();
    }
    // A name is one word: anything else between the tags is talk.
    let is_name = !name.trim().contains(char::is_whitespace);
    is_name.then(|| RawCall::of_texts(name, arguments).map(|call| vec![call])).flatten()
}

/// DeepSeek V3.2 and V4: `<｜DSML｜invoke name="f"><｜DSML｜parameter name="a" string="true">…`.
pub(super) fn read_dsml(body: &str) -> Option<Vec<RawCall>> {
    let calls: Option<Vec<RawCall>> = elements(body.trim(), "<｜DSML｜invoke", "</｜DSML｜invoke>", attribute_name)?
        .iter()
        .map(|(name, inside)| {
            let head = |head: &str| Some((attribute_name(head)?, head.contains("string=\"true\"")));
            let parameters = elements(inside, "<｜DSML｜parameter", "</｜DSML｜parameter>", head)?;
            let value = |is_text: bool, value: &str| match serde_json::from_str(value) {
                Ok(json) if !is_text => json,
                _ => text(value),
            };
            let arguments = parameters.iter().map(|((key, is_text), raw)| (key.as_str(), value(*is_text, raw)));
            RawCall::of_texts(name, arguments.collect())
        })
        .collect();
    calls.filter(|calls| !calls.is_empty())
}

fn attribute_name(head: &str) -> Option<String> {
    let (name, _) = head.split_once("name=\"")?.1.split_once('"')?;
    Some(name.to_owned())
}

/// DeepSeek V3 and R1: `<｜tool▁call▁begin｜>function<｜tool▁sep｜>name`, then JSON in a code block or bare.
pub(super) fn read_deepseek(body: &str) -> Option<Vec<RawCall>> {
    let mut calls = Vec::new();
    let mut rest = body.trim();
    while !rest.is_empty() {
        let (call, after) = rest.strip_prefix("<｜tool▁call▁begin｜>")?.split_once("<｜tool▁call▁end｜>")?;
        let (head, tail) = call.split_once("<｜tool▁sep｜>")?;
        let (name, arguments) = match head.trim() {
            "function" => tail.split_once('\n')?,
            name => (name, tail),
        };
        let arguments = arguments.trim().trim_start_matches("```json").trim_matches('`').trim();
        calls.push(RawCall { name: name.trim().to_owned(), arguments: serde_json::from_str(arguments).ok()? });
        rest = after.trim_start();
    }
    let are_named = calls.iter().all(|call| !call.name.is_empty());
    (are_named && !calls.is_empty()).then_some(calls)
}

/// A list of `{open}HEAD>VALUE{close}` and white space, and nothing else.
fn elements<'a, H>(
    body: &'a str,
    open: &str,
    close: &str,
    head: impl Fn(&str) -> Option<H>,
) -> Option<Vec<(H, &'a str)>> {
    let mut found = Vec::new();
    let mut rest = body.trim_start();
    while !rest.is_empty() {
        let (in_tag, after) = rest.strip_prefix(open)?.split_once('>')?;
        let (value, after) = after.split_once(close)?;
        found.push((head(in_tag)?, value));
        rest = after.trim_start();
    }
    Some(found)
}

fn text(value: &str) -> Value {
    Value::String(value.to_owned())
}

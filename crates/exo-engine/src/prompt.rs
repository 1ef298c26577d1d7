//! From what a caller asks to continue to the tokens of a prompt, and how the reply to it is read.

use std::time::{SystemTime, UNIX_EPOCH};

use exo_grammar::Grammar;
use exo_text::{
    CallPattern, Chat, ChatTemplate, ChatTool, ControlTokens, OfferedTools, RenderOptions, ReplyParser, Tokenizer,
    UnixSeconds,
};

use crate::{
    answer::Reply,
    request::{GenerateRequest, Prompt, SubmitError, ToolChoice},
};

/// A request that can be computed.
pub(crate) struct Prepared {
    pub(crate) tokens: Vec<u32>,
    pub(crate) reply: Reply,
    /// What the reply has to match.
    pub(crate) grammar: Option<Grammar>,
    /// Whether the reply begins in the middle of the model's reasoning.
    pub(crate) starts_in_reasoning: bool,
}

/// Renders, tokenizes, and chooses how the reply is read.
pub(crate) fn prepare(
    request: &GenerateRequest,
    template: &ChatTemplate,
    tokenizer: &Tokenizer,
) -> Result<Prepared, SubmitError> {
    let plain = |tokens| {
        let reply = Reply { parser: None, markers: Vec::new() };
        Ok(Prepared { tokens, reply, grammar: request.reply.grammar.clone(), starts_in_reasoning: false })
    };
    match &request.prompt {
        Prompt::Text(text) => plain(tokenizer.encode_prompt(text, ControlTokens::AsText)?),
        Prompt::Tokens(tokens) => plain(tokens.clone()),
        Prompt::Chat(chat) => prepare_chat(chat, request, template, tokenizer),
    }
}

fn prepare_chat(
    chat: &Chat,
    request: &GenerateRequest,
    template: &ChatTemplate,
    tokenizer: &Tokenizer,
) -> Result<Prepared, SubmitError> {
    let grammar = grammar(chat, request, template)?;
    let options = RenderOptions { add_generation_prompt: true, now: request.asked_at.unwrap_or_else(unix_now) };
    let text = template.render(&chat.map_texts(&|text| tokenizer.guard(text)), options)?;
    let tokens = tokenizer.encode_prompt(&text, ControlTokens::Parse)?;
    let format = template.reply_format();
    let starts_in_reasoning = format.is_reasoning_after(&text);
    let offered = (!chat.tools.is_empty()).then(|| {
        let tool = |tool: &ChatTool| (tool.name.clone(), tool.parameters.clone());
        OfferedTools(chat.tools.iter().map(tool).collect())
    });
    let markers = format.marker_tokens(offered.is_some());
    let markers = markers.into_iter().filter_map(|text| tokenizer.control_token(text)).collect();
    let parser = Some(ReplyParser::new(format, starts_in_reasoning, offered));
    Ok(Prepared { tokens, reply: Reply { parser, markers }, grammar, starts_in_reasoning })
}

/// What the reply to a chat has to match: calls that are required, or a grammar; of JSON, calls may take the place.
fn grammar(chat: &Chat, request: &GenerateRequest, template: &ChatTemplate) -> Result<Option<Grammar>, SubmitError> {
    let reply = &request.reply;
    let calls = |tools: &[ChatTool]| template.reply_format().forced_calls(tools, reply.one_call);
    let tools: Vec<ChatTool> = match &reply.tool_choice {
        ToolChoice::Auto => {
            let json = match &reply.grammar {
                Some(Grammar::JsonSchema { schema, .. }) => schema.clone(),
                Some(Grammar::JsonObject) => serde_json::json!({ "type": "object" }),
                _ => return Ok(reply.grammar.clone()),
            };
            let or_calls = || CallPattern::OneOf(vec![calls(&chat.tools), CallPattern::Json(json)]);
            return Ok(if chat.tools.is_empty() { reply.grammar.clone() } else { Some(Grammar::Calls(or_calls())) });
        }
        ToolChoice::Required => chat.tools.clone(),
        ToolChoice::Named(name) => chat.tools.iter().filter(|tool| tool.name == *name).cloned().collect(),
    };
    if reply.grammar.is_some() {
        return Err(SubmitError::CallAndGrammar);
    }
    match (&reply.tool_choice, tools.is_empty()) {
        (_, false) => Ok(Some(Grammar::Calls(calls(&tools)))),
        (ToolChoice::Named(name), true) => Err(SubmitError::UnknownTool(name.clone())),
        (_, true) => Err(SubmitError::UnknownTool("any tool".to_owned())),
    }
}

fn unix_now() -> UnixSeconds {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixSeconds(since_epoch.as_secs() as i64)
}

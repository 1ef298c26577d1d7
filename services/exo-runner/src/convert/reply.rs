//! Dialogues, tools and grammars.

use exo_grammar::Grammar;
use exo_text::{Chat, ChatCall, ChatMessage, ChatTool};
use exo_types::{
    Constraint, EmbeddingOptions, ErrorChunk, ErrorCode, Pooling, Prompt, ReplyOptions, Tool, ToolCall, ToolChoice,
};
use serde_json::{Value, json};

/// What to continue, and what the reply may and must be. Tools are part of the one, whether they are called of the other.
pub(super) fn split(
    prompt: Prompt,
    options: ReplyOptions,
) -> Result<(exo_engine::Prompt, exo_engine::ReplyOptions), ErrorChunk> {
    let ReplyOptions { tools, tool_choice, one_call, constraint, enable_thinking, reasoning_effort, embedding } =
        options;
    let prompt = match prompt {
        Prompt::Text(text) => exo_engine::Prompt::Text(text),
        Prompt::Tokens(tokens) => exo_engine::Prompt::Tokens(tokens),
        Prompt::Chat(messages) => exo_engine::Prompt::Chat(Chat {
            messages: messages.into_iter().map(message).collect(),
            tools: tools.into_iter().map(tool).collect::<Result<_, _>>()?,
            enable_thinking,
            reasoning_effort,
        }),
    };
    let tool_choice = match tool_choice {
        ToolChoice::Auto => exo_engine::ToolChoice::Auto,
        ToolChoice::Required => exo_engine::ToolChoice::Required,
        ToolChoice::Named(name) => exo_engine::ToolChoice::Named(name),
    };
    let grammar = constraint.map(grammar).transpose()?;
    let embedding = embedding.map(embedding_options);
    Ok((prompt, exo_engine::ReplyOptions { tool_choice, one_call, grammar, embedding }))
}

fn embedding_options(options: EmbeddingOptions) -> exo_engine::EmbeddingOptions {
    let pooling = options.pooling.map(|pooling| match pooling {
        Pooling::Mean => exo_engine::Pooling::Mean,
        Pooling::Last => exo_engine::Pooling::Last,
        Pooling::Cls => exo_engine::Pooling::Cls,
    });
    exo_engine::EmbeddingOptions { pooling }
}

fn message(message: exo_types::ChatMessage) -> ChatMessage {
    ChatMessage {
        role: message.role.as_str().to_owned(),
        content: message.content,
        reasoning: message.reasoning,
        calls: message.tool_calls.into_iter().map(call).collect(),
        call_id: message.tool_call_id,
        name: message.name,
    }
}

/// Templates want an object; what a model once wrote need not be one.
fn call(call: ToolCall) -> ChatCall {
    let arguments = serde_json::from_str(&call.arguments).unwrap_or_else(|_| Value::from(call.arguments.as_str()));
    ChatCall { id: call.id, name: call.name, arguments }
}

fn tool(tool: Tool) -> Result<ChatTool, ErrorChunk> {
    let parameters = match &tool.parameters {
        Some(text) => schema(text)?,
        None => json!({ "type": "object", "properties": {} }),
    };
    Ok(ChatTool { name: tool.name, description: tool.description, parameters })
}

fn grammar(constraint: Constraint) -> Result<Grammar, ErrorChunk> {
    Ok(match constraint {
        Constraint::JsonObject => Grammar::JsonObject,
        Constraint::JsonSchema { schema: text, strict } => Grammar::JsonSchema { schema: schema(&text)?, strict },
        Constraint::Regex(text) => Grammar::Regex(text),
        Constraint::Lark(text) => Grammar::Lark(text),
    })
}

fn schema(text: &str) -> Result<Value, ErrorChunk> {
    serde_json::from_str(text).map_err(|error| {
        let message = format!("a schema is not JSON at column {}; send valid JSON", error.column());
        ErrorChunk { code: ErrorCode::InvalidRequest, message }
    })
}

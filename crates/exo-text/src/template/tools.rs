//! Tools in plain words, for models whose template knows nothing of them.

use serde_json::json;

use crate::message::{Chat, ChatMessage};

/// The same chat without anything that needs the template's help: tools are described at its beginning, calls and
/// their results stand in the text, between the tags that [`crate::ReplyParser`] looks for.
pub(super) fn in_words(chat: &Chat) -> Chat {
    let mut messages: Vec<ChatMessage> = Vec::new();
    for message in &chat.messages {
        match (message.role.as_str(), messages.last_mut()) {
            // Results of several calls are one turn: many templates insist that turns alternate.
            ("tool", Some(last)) if last.role == "user" && last.content.ends_with(RESPONSE_END) => {
                last.content = format!("{}\n{}", last.content, response(message));
            }
            ("tool", _) => messages.push(ChatMessage::new("user", response(message))),
            _ => messages.push(with_calls(message)),
        }
    }
    if !chat.tools.is_empty() {
        let description = describe(chat);
        match messages.first_mut() {
            Some(first) if first.role == "system" => first.content = format!("{}\n\n{description}", first.content),
            _ => messages.insert(0, ChatMessage::new("system", description)),
        }
    }
    Chat { messages, tools: Vec::new(), ..chat.clone() }
}

/// The same chat with what the system says at the beginning of what the user says, for templates without a system turn.
pub(super) fn without_system(chat: &Chat) -> Option<Chat> {
    let (system, rest) = chat.messages.split_first().filter(|(first, _)| first.role == "system")?;
    let mut messages = rest.to_vec();
    let first = messages.first_mut().filter(|message| message.role == "user")?;
    first.content = format!("{}\n\n{}", system.content, first.content);
    Some(Chat { messages, ..chat.clone() })
}

const RESPONSE_END: &str = "</tool_response>";

fn response(message: &ChatMessage) -> String {
    format!("<tool_response>\n{}\n{RESPONSE_END}", message.content)
}

fn with_calls(message: &ChatMessage) -> ChatMessage {
    let mut content = message.content.clone();
    for call in &message.calls {
        let json = json!({ "name": call.name, "arguments": call.arguments });
        content += if content.is_empty() { "" } else { "\n" };
        content += &format!("<tool_call>\n{json}\n</tool_call>");
    }
    ChatMessage { content, calls: Vec::new(), call_id: None, ..message.clone() }
}

fn describe(chat: &Chat) -> String {
    let tools: Vec<String> = chat.tools.iter().map(|tool| tool.to_json().to_string()).collect();
    format!(
        "You can call these tools:\n<tools>\n{}\n</tools>\nTo call one, write its name and arguments between tags:\n\
         <tool_call>\n{{\"name\": \"...\", \"arguments\": {{...}}}}\n</tool_call>\nResults come between <tool_response> tags.",
        tools.join("\n")
    )
}

//! A chat template, which is a program out of a model's file.

use crate::input;
use exo_text::{Chat, ChatCall, ChatMessage, ChatTemplate, ChatTool, MAX_RENDERED_BYTES, RenderOptions, UnixSeconds};
use serde_json::json;
use std::sync::LazyLock;

/// Chats with everything that a chat can have.
static CHATS: LazyLock<[Chat; 2]> = LazyLock::new(|| {
    let plain =
        Chat::from(vec![ChatMessage::new("system", "Be brief."), ChatMessage::new("user", "Hello, {{ you }}!")]);
    let call = ChatCall { id: "c1".to_owned(), name: "look".to_owned(), arguments: json!({ "at": ["a", 1, null] }) };
    let parameters = json!({ "type": "object", "properties": { "at": { "type": "array" } } });
    let tool = ChatTool { name: "look".to_owned(), description: Some("Looks.".to_owned()), parameters };
    let called =
        ChatMessage { calls: vec![call], reasoning: Some("Hm.".to_owned()), ..ChatMessage::new("assistant", "") };
    let answer = ChatMessage { call_id: Some("c1".to_owned()), ..ChatMessage::new("tool", "nothing") };
    let with_tools = Chat {
        messages: plain.messages.iter().cloned().chain([called, answer]).collect(),
        tools: vec![tool],
        enable_thinking: Some(true),
        reasoning_effort: Some("low".to_owned()),
    };
    [plain, with_tools]
});

/// Compiles and renders it.
pub(crate) fn run(bytes: &[u8]) {
    let Ok(template) = ChatTemplate::new(input::text(bytes), "<s>", "</s>") else { return };
    let _ = template.reply_format();
    for chat in CHATS.iter() {
        let options = RenderOptions { add_generation_prompt: true, now: UnixSeconds(1_700_000_000) };
        let length = template.render(chat, options).map_or(0, |text| text.len());
        assert!(length <= MAX_RENDERED_BYTES, "{length} bytes");
    }
}

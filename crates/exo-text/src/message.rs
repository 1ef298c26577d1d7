//! What a chat is made of before a template turns it into a prompt.

use serde_json::{Map, Value, json};

/// One turn of a chat.
///
/// `role` is free text because templates decide which roles they know; a template that meets an unknown one says so
/// through `raise_exception`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ChatMessage {
    /// Who speaks: `system`, `user`, `assistant` or `tool` for most models.
    pub role: String,
    /// What is said.
    pub content: String,
    /// What the assistant said to itself before.
    pub reasoning: Option<String>,
    /// Which tools the assistant called.
    pub calls: Vec<ChatCall>,
    /// Which call a tool answers.
    pub call_id: Option<String>,
    /// Name of the tool that answers, or of the speaker.
    pub name: Option<String>,
}

/// A call of a tool in an earlier turn.
#[derive(Debug, Clone, PartialEq)]
pub struct ChatCall {
    /// Its name among the calls of the chat.
    pub id: String,
    /// Which tool.
    pub name: String,
    /// Its arguments: an object; text where the model wrote something else.
    pub arguments: Value,
}

/// A tool that the model may call.
#[derive(Debug, Clone, PartialEq)]
pub struct ChatTool {
    /// Its name.
    pub name: String,
    /// What it does.
    pub description: Option<String>,
    /// JSON schema of its arguments.
    pub parameters: Value,
}

/// A dialogue, and what goes with it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Chat {
    /// The turns.
    pub messages: Vec<ChatMessage>,
    /// Tools that the model may call.
    pub tools: Vec<ChatTool>,
    /// Whether the model reasons before it answers; the template's own choice if nothing is said.
    pub enable_thinking: Option<bool>,
    /// How much it reasons: a word that the template knows.
    pub reasoning_effort: Option<String>,
}

impl ChatMessage {
    /// A turn of `role` that says `content`.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self { role: role.into(), content: content.into(), ..Self::default() }
    }

    /// As templates expect it: OpenAI's fields, absent ones left out.
    pub(crate) fn to_json(&self) -> Value {
        let mut fields = Map::from_iter([
            ("role".to_owned(), Value::from(self.role.as_str())),
            ("content".to_owned(), Value::from(self.content.as_str())),
        ]);
        // Two names for the same: most templates know the first, gpt-oss' the second.
        let reasoning = self.reasoning.as_deref();
        let named = [
            ("reasoning_content", reasoning),
            ("thinking", reasoning),
            ("tool_call_id", self.call_id.as_deref()),
            ("name", self.name.as_deref()),
        ];
        fields.extend(named.into_iter().filter_map(|(name, text)| Some((name.to_owned(), Value::from(text?)))));
        if !self.calls.is_empty() {
            fields.insert("tool_calls".to_owned(), self.calls.iter().map(ChatCall::to_json).collect());
        }
        Value::Object(fields)
    }
}

impl ChatCall {
    fn to_json(&self) -> Value {
        let function = json!({ "name": self.name, "arguments": self.arguments });
        json!({ "id": self.id, "type": "function", "function": function })
    }
}

impl ChatTool {
    /// OpenAI's description of a tool.
    pub(crate) fn to_json(&self) -> Value {
        let mut function = Map::from_iter([("name".to_owned(), Value::from(self.name.as_str()))]);
        if let Some(description) = &self.description {
            function.insert("description".to_owned(), Value::from(description.as_str()));
        }
        function.insert("parameters".to_owned(), self.parameters.clone());
        json!({ "type": "function", "function": function })
    }
}

impl From<Vec<ChatMessage>> for Chat {
    fn from(messages: Vec<ChatMessage>) -> Self {
        Self { messages, ..Self::default() }
    }
}

impl Chat {
    /// The same chat with every text changed by `change`, in arguments and schemas too.
    pub fn map_texts(&self, change: &dyn Fn(&str) -> String) -> Self {
        let optional = |text: &Option<String>| text.as_deref().map(change);
        let call = |call: &ChatCall| ChatCall {
            id: change(&call.id),
            name: change(&call.name),
            arguments: map_value(&call.arguments, change),
        };
        let message = |message: &ChatMessage| ChatMessage {
            role: change(&message.role),
            content: change(&message.content),
            reasoning: optional(&message.reasoning),
            calls: message.calls.iter().map(call).collect(),
            call_id: optional(&message.call_id),
            name: optional(&message.name),
        };
        let tool = |tool: &ChatTool| ChatTool {
            name: change(&tool.name),
            description: optional(&tool.description),
            parameters: map_value(&tool.parameters, change),
        };
        Self {
            messages: self.messages.iter().map(message).collect(),
            tools: self.tools.iter().map(tool).collect(),
            enable_thinking: self.enable_thinking,
            reasoning_effort: optional(&self.reasoning_effort),
        }
    }
}

/// Values from JSON text are nested at most 128 deep.
fn map_value(value: &Value, change: &dyn Fn(&str) -> String) -> Value {
    match value {
        Value::String(text) => Value::String(change(text)),
        Value::Array(items) => items.iter().map(|item| map_value(item, change)).collect(),
        Value::Object(fields) => fields.iter().map(|(name, value)| (change(name), map_value(value, change))).collect(),
        other => other.clone(),
    }
}

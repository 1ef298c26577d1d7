//! What a chat is made of before a template turns it into a prompt.

use serde::{Deserialize, Serialize};

/// One turn of a chat.
///
/// `role` is free text because templates decide which roles they know; a template that meets an unknown one says so
/// through `raise_exception`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatMessage {
    /// Who speaks: `system`, `user` or `assistant` for most models.
    pub role: String,
    /// What is said.
    pub content: String,
}

impl ChatMessage {
    /// A turn of `role` that says `content`.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self { role: role.into(), content: content.into() }
    }
}

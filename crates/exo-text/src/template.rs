//! Chat templates: a chat becomes the prompt that the model was trained on.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use minijinja::{Environment, Error, ErrorKind, context};
use thiserror::Error as ThisError;

use crate::{
    message::{Chat, ChatMessage},
    reply::ReplyFormat,
};

mod helpers;
mod limits;
mod tools;

pub use helpers::UnixSeconds;
use limits::{Budget, Cause, DEEPEST, LimitedWriter};

/// Largest template source in bytes.
pub const MAX_TEMPLATE_BYTES: usize = 256 << 10;
/// Largest prompt that a template may produce, in bytes.
pub const MAX_RENDERED_BYTES: usize = 8 << 20;
/// Instructions that one rendering may execute. A chat of a hundred turns takes some thousand.
const FUEL: u64 = 400_000;
/// Bytes that all expressions of one rendering may handle together: it bounds what concatenation can build.
const EXPRESSION_BYTES: usize = 32 << 20;
/// How deep macros may call each other.
const RECURSION_LIMIT: usize = 64;

/// The template of a model that brings none: turns between `<|im_start|>` and `<|im_end|>`.
const CHATML: &str = "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n\
                      {% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

/// Why a chat could not be rendered.
#[derive(Debug, ThisError)]
pub enum TemplateError {
    /// The source is too large to be a chat template.
    #[error("the chat template has {0} bytes; the limit is {MAX_TEMPLATE_BYTES}")]
    SourceTooLarge(usize),
    /// The source is not a template, or names something that does not exist.
    #[error("the chat template is broken: {0}")]
    Broken(String),
    /// The template refused the chat through `raise_exception`.
    #[error("the chat template refuses this chat: {0}")]
    Refused(String),
    /// It ran for too long.
    #[error("the chat template ran more than {FUEL} instructions and was stopped")]
    TooLong,
    /// It called itself too often.
    #[error("the chat template calls itself more than {RECURSION_LIMIT} levels deep and was stopped")]
    TooDeep,
    /// It put too many values into each other.
    #[error(
        "the chat template puts more than {DEEPEST} lists and maps into each other, or a namespace into one, and was stopped"
    )]
    TooNested,
    /// It made too much text.
    #[error("the chat template made more than {0} bytes of text and was stopped")]
    OutputTooLarge(usize),
}

/// What a rendering needs besides the messages.
#[derive(Debug, Clone, Copy, Default)]
pub struct RenderOptions {
    /// End with the start of the assistant's turn.
    pub add_generation_prompt: bool,
    /// What `strftime_now` prints, in UTC.
    pub now: UnixSeconds,
}

/// A chat template in the Jinja dialect of model files.
///
/// Templates are data from a model file: they run without files or network, and instructions, depth and sizes are
/// limited. Unlike Python, `tojson` takes no `sort_keys`, and undefined values print as nothing.
#[derive(Debug, Clone)]
pub struct ChatTemplate {
    source: String,
    bos_token: String,
    eos_token: String,
    format: ReplyFormat,
    /// Phi 4 looks for the tools in the system's turn.
    tools_in_system: bool,
}

impl ChatTemplate {
    /// Checks `source`; `bos_token` and `eos_token` are the texts that the template may use by these names.
    pub fn new(source: &str, bos_token: &str, eos_token: &str) -> Result<Self, TemplateError> {
        if source.len() > MAX_TEMPLATE_BYTES {
            return Err(TemplateError::SourceTooLarge(source.len()));
        }
        let format = ReplyFormat::of_template(source);
        let tools_in_system = source.contains("'tools' in message");
        let source = limits::bound_operands(source).map_err(TemplateError::Broken)?;
        Environment::new().template_from_str(&source).map_err(|error| TemplateError::Broken(error.to_string()))?;
        let (bos_token, eos_token) = (bos_token.to_owned(), eos_token.to_owned());
        Ok(Self { source, bos_token, eos_token, format, tools_in_system })
    }

    /// The ChatML template, for models that bring none.
    pub fn chatml() -> Self {
        let eos_token = "<|im_end|>".to_owned();
        let (source, format) = (CHATML.to_owned(), ReplyFormat::PLAIN);
        Self { source, bos_token: String::new(), eos_token, format, tools_in_system: false }
    }

    /// How replies to its prompts are written.
    pub fn reply_format(&self) -> ReplyFormat {
        self.format
    }

    /// Renders a chat to the text of a prompt, control tokens written out. Where the template knows nothing of tools,
    /// they are put into words.
    pub fn render(&self, chat: &Chat, options: RenderOptions) -> Result<String, TemplateError> {
        let uses_tools = !chat.tools.is_empty()
            || chat.messages.iter().any(|message| message.role == "tool" || !message.calls.is_empty());
        if self.format.knows_tools() || !uses_tools {
            return self.render_as_is(chat, options);
        }
        let in_words = tools::in_words(chat);
        match (self.render_as_is(&in_words, options), tools::without_system(&in_words)) {
            (Err(TemplateError::Refused(_)), Some(without_system)) => self.render_as_is(&without_system, options),
            (result, _) => result,
        }
    }

    fn render_as_is(&self, chat: &Chat, options: RenderOptions) -> Result<String, TemplateError> {
        let budget: Budget = Arc::new(AtomicUsize::new(EXPRESSION_BYTES));
        let environment = environment(&budget, options.now);
        let template = environment.template_from_str(&self.source).map_err(explain)?;
        let tools: Vec<serde_json::Value> = chat.tools.iter().map(crate::message::ChatTool::to_json).collect();
        let variables = context! {
            messages => self.messages(chat, &tools),
            // `none` where there are none: templates ask `tools is not none`.
            tools => (!tools.is_empty()).then_some(&tools),
            enable_thinking => or_undefined(chat.enable_thinking),
            reasoning_effort => or_undefined(chat.reasoning_effort.as_deref()),
            add_generation_prompt => options.add_generation_prompt,
            bos_token => self.bos_token,
            eos_token => self.eos_token,
        };
        let mut output = LimitedWriter::new(MAX_RENDERED_BYTES);
        template.render_captured_to(variables, &mut output).map_err(explain)?;
        String::from_utf8(output.into_bytes()).map_err(|error| TemplateError::Broken(error.to_string()))
    }

    fn messages(&self, chat: &Chat, tools: &[serde_json::Value]) -> Vec<serde_json::Value> {
        let mut messages: Vec<_> = chat.messages.iter().map(ChatMessage::to_json).collect();
        if self.tools_in_system && !tools.is_empty() {
            if chat.messages.first().is_none_or(|first| first.role != "system") {
                messages.insert(0, ChatMessage::new("system", "").to_json());
            }
            messages[0]["tools"] = serde_json::Value::Array(tools.to_vec()).to_string().into();
        }
        messages
    }
}

/// Templates ask `is defined`, which `none` is.
fn or_undefined(value: Option<impl Into<minijinja::Value>>) -> minijinja::Value {
    value.map_or(minijinja::Value::UNDEFINED, Into::into)
}

fn environment(budget: &Budget, now: UnixSeconds) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_trim_blocks(true);
    environment.set_lstrip_blocks(true);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(RECURSION_LIMIT);
    limits::install(&mut environment, budget);
    helpers::install(&mut environment, budget, now);
    environment
}

/// Turns what the template engine reports into what the caller can act on.
fn explain(error: Error) -> TemplateError {
    let mut link: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(current) = link {
        match current.downcast_ref::<Cause>() {
            Some(Cause::Raised(message)) => return TemplateError::Refused(message.clone()),
            Some(Cause::TooNested) => return TemplateError::TooNested,
            Some(Cause::TooMuch(limit)) => return TemplateError::OutputTooLarge(*limit),
            None => {}
        }
        if let Some(reported) = current.downcast_ref::<Error>() {
            if reported.kind() == ErrorKind::OutOfFuel {
                return TemplateError::TooLong;
            }
            match reported.detail() {
                Some(detail) if detail.contains("recursion limit") => return TemplateError::TooDeep,
                Some(detail) if detail.contains("too large") => return TemplateError::OutputTooLarge(EXPRESSION_BYTES),
                _ => {}
            }
        }
        link = current.source().or_else(|| inner_of_io(current));
    }
    TemplateError::Broken(error.to_string())
}

/// An `io::Error` hides the error it was made of from `source`.
fn inner_of_io<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a (dyn std::error::Error + 'static)> {
    error.downcast_ref::<std::io::Error>()?.get_ref().map(|inner| inner as &(dyn std::error::Error + 'static))
}

/// Takes the printed size of `value` from `budget`, without ever building the text.
fn charge(budget: &Budget, value: &minijinja::Value) -> Result<(), Error> {
    struct Meter<'a>(&'a Budget);
    impl fmt::Write for Meter<'_> {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            // One byte at least, so that endless structures of empty strings end too.
            let size = text.len().max(1);
            let charged = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(size));
            charged.map(|_| ()).map_err(|_| fmt::Error)
        }
    }
    // It is printed to be measured, and printing calls itself for every level.
    limits::check_depth(budget, value, false)?;
    fmt::write(&mut Meter(budget), format_args!("{value}")).map_err(|_| Cause::TooMuch(EXPRESSION_BYTES).into())
}

#[cfg(test)]
mod tests;

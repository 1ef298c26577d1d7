//! Grammars into matchers.

use std::sync::Arc;

use exo_text::{CallPattern, Tokenizer};
use llguidance::{
    Matcher, ParserFactory, api::ParserLimits, api::TopLevelGrammar, earley::SlicedBiasComputer, panic_utils,
    toktrie::InferenceCapabilities,
};
use serde_json::{Value, json};

use crate::{error::GrammarError, grammar::Grammar, vocabulary::Words};

/// White space between the parts of a JSON value: bounded, since some models love it.
const WHITE_SPACE: &str = "[ \\n]{1,20}";

/// Compiles for one vocabulary.
pub(crate) struct Compiler {
    tokenizer: Arc<Tokenizer>,
    factory: ParserFactory,
    /// The word that stands for the end of an answer.
    pub(crate) end: u32,
}

impl Compiler {
    pub(crate) fn new(tokenizer: Arc<Tokenizer>) -> Result<Self, GrammarError> {
        let made = panic_utils::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let words = Words::new(&tokenizer);
            let slices = SlicedBiasComputer::general_slices();
            let mut factory = ParserFactory::new(&words.env, InferenceCapabilities::default(), &slices)?;
            factory.quiet();
            *factory.limits_mut() = limits();
            Ok((factory, words.end))
        }));
        let (factory, end) = made.map_err(|error| GrammarError::Refused(first_line(&error.to_string())))?;
        Ok(Self { tokenizer, factory, end })
    }

    /// A matcher at the start of an answer.
    pub(crate) fn compile(&self, grammar: &Grammar) -> Result<Matcher, GrammarError> {
        let compiled = panic_utils::catch_unwind(std::panic::AssertUnwindSafe(|| {
            Ok(Matcher::new(self.factory.create_parser(self.source(grammar))))
        }));
        let matcher = compiled.map_err(|error| GrammarError::Refused(first_line(&error.to_string())))?;
        matcher.get_error().map_or(Ok(matcher), |error| Err(GrammarError::Refused(first_line(&error))))
    }

    fn source(&self, grammar: &Grammar) -> TopLevelGrammar {
        match grammar {
            Grammar::JsonObject => TopLevelGrammar::from_json_schema(with_options(&json!({ "type": "object" }), true)),
            Grammar::JsonSchema { schema, strict } => TopLevelGrammar::from_json_schema(with_options(schema, *strict)),
            Grammar::Regex(text) => TopLevelGrammar::from_regex(text),
            Grammar::Lark(text) => TopLevelGrammar::from_lark(text.clone()),
            Grammar::Calls(pattern) => TopLevelGrammar::from_lark(format!("start: {}\n", self.lark(pattern))),
        }
    }

    /// A pattern as an expression of Lark.
    fn lark(&self, pattern: &CallPattern) -> String {
        let joined = |parts: &[CallPattern], between: &str| {
            let parts: Vec<String> = parts.iter().map(|part| self.lark(part)).collect();
            format!("({})", parts.join(between))
        };
        match pattern {
            CallPattern::Text(text) => Value::from(text.as_str()).to_string(),
            CallPattern::Marker(text) => match self.tokenizer.control_token(text) {
                Some(token) => format!("<[{token}]>"),
                None => Value::from(*text).to_string(),
            },
            CallPattern::Json(schema) => format!("%json {}", with_options(schema, false)),
            CallPattern::All(parts) => joined(parts, " "),
            CallPattern::OneOf(parts) => joined(parts, " | "),
            CallPattern::Maybe(part) => format!("({})?", self.lark(part)),
            CallPattern::UpTo(count, part) => format!("({}){{1,{count}}}", self.lark(part)),
        }
    }
}

/// The schema with our own choices; a schema's own ideas of them count nothing. `true` and `false` are schemas too.
fn with_options(schema: &Value, strict: bool) -> Value {
    let mut fields = match schema {
        Value::Object(fields) => fields.clone(),
        Value::Bool(true) => serde_json::Map::new(),
        other => serde_json::Map::from_iter([("allOf".to_owned(), json!([other]))]),
    };
    fields.insert("x-guidance".to_owned(), json!({ "whitespace_pattern": WHITE_SPACE, "lenient": !strict }));
    Value::Object(fields)
}

/// Bounds of one answer: some tens of milliseconds for the grammar, some for each token, some tens of megabytes.
fn limits() -> ParserLimits {
    ParserLimits {
        max_items_in_row: 2_000,
        initial_lexer_fuel: 1_000_000,
        step_lexer_fuel: 200_000,
        step_max_items: 50_000,
        max_lexer_states: 50_000,
        max_grammar_size: 200_000,
        precompute_large_lexemes: false,
        // An error must not quote the answer.
        verbose_errors: false,
    }
}

/// What people can use of an error: not the traces behind it.
pub(crate) fn first_line(error: &str) -> String {
    let line = error.lines().find(|line| !line.trim().is_empty()).unwrap_or("it is not understood");
    line.chars().take(300).collect()
}

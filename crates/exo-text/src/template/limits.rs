//! What keeps a template from building more text than it should.
//!
//! Fuel bounds the number of instructions, but a string that is doubled forty times needs only forty. So every operand
//! of `~` and `+`, every printed value and every argument of a filter that builds text is charged to one budget
//! before the text is built: nothing larger than the budget can come into being. A text is repeated (`*`) only if it is
//! short, and the number is charged.
//!
//! What prints, compares and drops a value calls itself for what is in it. So values may be nested only so deep, and no
//! namespace may belong to another, or to itself: what a variable is set to is looked at.

use std::{
    io,
    sync::{Arc, atomic::AtomicUsize},
};

use minijinja::{Environment, Error, ErrorKind, State, Value, escape_formatter, value::ValueKind};
use thiserror::Error as ThisError;

use super::charge;

mod operands;

pub(super) use operands::bound_operands;

/// Bytes that the expressions of one rendering may still handle.
pub(super) type Budget = Arc<AtomicUsize>;

/// Why we ended a rendering ourselves; found again at the bottom of the template engine's error.
#[derive(Debug, ThisError)]
pub(super) enum Cause {
    #[error("{0}")]
    Raised(String),
    #[error("more than {0} bytes")]
    TooMuch(usize),
    #[error("more than {DEEPEST} levels, or a namespace in a namespace")]
    TooNested,
}

/// Most lists and maps inside each other: twice as many as a chat can bring along.
pub(super) const DEEPEST: usize = 256;
/// Longest text that may be repeated, in bytes.
const LONGEST_REPEATED: usize = 64;

impl From<Cause> for Error {
    fn from(cause: Cause) -> Self {
        Self::new(ErrorKind::InvalidOperation, cause.to_string()).with_source(cause)
    }
}

/// Installs the checks of printed values, operands, filters and methods.
pub(super) fn install(environment: &mut Environment<'static>, budget: &Budget) {
    let printed = Arc::clone(budget);
    environment.set_formatter(move |output, state, value| {
        charge(&printed, value)?;
        escape_formatter(output, state, value)
    });
    let operand = Arc::clone(budget);
    environment.add_filter(operands::FILTER, move |value: Value| charge(&operand, &value).map(|()| value));
    let factor = Arc::clone(budget);
    environment.add_filter(operands::FACTOR, move |value: Value| charge_factor(&factor, &value).map(|()| value));
    let set = Arc::clone(budget);
    environment.add_filter(operands::SET, move |value: Value| check_depth(&set, &value, false).map(|()| value));
    let member = Arc::clone(budget);
    environment.add_filter(operands::SET_IN, move |value: Value| check_depth(&member, &value, true).map(|()| value));
    let method = Arc::clone(budget);
    environment.set_unknown_method_callback(move |state, value, name, arguments| {
        charge_growth(&method, name, value, arguments)?;
        minijinja_contrib::pycompat::unknown_method_callback(state, value, name, arguments)
    });
    for name in ["replace", "join", "string", "indent", "upper", "lower", "list", "title", "capitalize", "pprint"] {
        wrap_filter(environment, name, budget);
    }
    for name in ["format", "urlencode", "batch", "slice", "chain", "zip"] {
        environment.remove_filter(name);
    }
}

/// Replaces a built-in filter by itself behind a check of its arguments.
fn wrap_filter(environment: &mut Environment<'static>, name: &'static str, budget: &Budget) {
    let plain = Environment::new();
    let budget = Arc::clone(budget);
    environment.add_filter(name, move |_: &State, value: Value, arguments: minijinja::value::Rest<Value>| {
        charge_growth(&budget, name, &value, &arguments)?;
        let state = plain.empty_state();
        let all: Vec<Value> = std::iter::once(value).chain(arguments.iter().cloned()).collect();
        state.apply_filter(name, &all)
    });
}

/// Charges what a call may build: the value, and for calls that put one argument into another as often as it fits,
/// each argument that often.
fn charge_growth(budget: &Budget, name: &str, value: &Value, arguments: &[Value]) -> Result<(), Error> {
    charge(budget, value)?;
    let repetitions = match name {
        "replace" | "join" | "indent" => value.as_str().map(str::len).or_else(|| value.len()).unwrap_or(1) + 1,
        _ => 1,
    };
    for argument in arguments {
        let size = match i64::try_from(argument.clone()) {
            Ok(width) => usize::try_from(width).unwrap_or(0),
            Err(_) => argument.as_str().map_or(0, str::len),
        };
        charge(budget, argument)?;
        take(budget, size.saturating_mul(repetitions))?;
    }
    Ok(())
}

/// Charges one side of a `*`, which does not know the other: a number as if it repeated the longest text.
fn charge_factor(budget: &Budget, value: &Value) -> Result<(), Error> {
    match (value.as_str(), i64::try_from(value.clone())) {
        (Some(text), _) if text.len() > LONGEST_REPEATED => Err(Cause::TooMuch(super::EXPRESSION_BYTES).into()),
        (None, Ok(number)) => take(budget, usize::try_from(number).unwrap_or(0).saturating_mul(LONGEST_REPEATED)),
        _ => Ok(()),
    }
}

/// Refuses a value that is nested too deep; what is to be a member of a namespace must not have a namespace, or what may
/// hold one, in it.
pub(super) fn check_depth(budget: &Budget, value: &Value, is_member: bool) -> Result<(), Error> {
    check_levels(budget, value, is_member, DEEPEST)
}

/// Whether a value shares what a template can still change: a namespace, or a macro, which holds those that it names.
fn may_lead_back(value: &Value) -> bool {
    let kind = value.as_object().map_or("", |object| object.type_name());
    value.kind() == ValueKind::Plain || ["::Namespace", "::Macro"].iter().any(|known| kind.ends_with(known))
}

fn check_levels(budget: &Budget, value: &Value, is_member: bool, levels: usize) -> Result<(), Error> {
    take(budget, 1)?;
    if levels == 0 || is_member && may_lead_back(value) {
        return Err(Cause::TooNested.into());
    }
    match value.kind() {
        ValueKind::Seq | ValueKind::Iterable => {
            value.try_iter()?.try_for_each(|item| check_levels(budget, &item, is_member, levels - 1))
        }
        ValueKind::Map => {
            value.try_iter()?.try_for_each(|key| check_levels(budget, &value.get_item(&key)?, is_member, levels - 1))
        }
        _ => Ok(()),
    }
}

/// Takes `size` bytes from the budget.
pub(super) fn take(budget: &Budget, size: usize) -> Result<(), Error> {
    use std::sync::atomic::Ordering::Relaxed;
    let taken = budget.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(size));
    taken.map(|_| ()).map_err(|_| Cause::TooMuch(super::EXPRESSION_BYTES).into())
}

/// Collects output up to a limit.
pub(super) struct LimitedWriter {
    bytes: Vec<u8>,
    limit: usize,
}

impl LimitedWriter {
    pub(super) fn new(limit: usize) -> Self {
        Self { bytes: Vec::new(), limit }
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

impl io::Write for LimitedWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.limit {
            return Err(io::Error::other(Cause::TooMuch(self.limit)));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

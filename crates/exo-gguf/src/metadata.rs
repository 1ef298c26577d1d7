//! Typed access to the key-value section.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::error::{GgufError, Problem};
use crate::value::{Array, Value};

/// The key-value section of a file.
///
/// Each getter has a strict form, for which an absent key is an error, and an `opt_` form, for which it is `None`. A key
/// of another type is an error in both. Integers may have any width in the file as long as the value fits, because
/// converters do not agree on widths.
#[derive(Debug)]
pub struct Metadata {
    file: PathBuf,
    entries: BTreeMap<String, Value>,
}

/// One pair of getters: strict and optional.
macro_rules! getters {
    ($($(#[$doc:meta])* $name:ident, $opt:ident, $result:ty, $wanted:literal, $read:expr;)*) => {
        $(
            $(#[$doc])*
            pub fn $name(&self, key: &str) -> Result<$result, GgufError> {
                self.$opt(key)?.ok_or_else(|| self.fail(Problem::MissingKey { key: key.to_owned() }))
            }

            #[doc = concat!("Like [`", stringify!($name), "`](Self::", stringify!($name), "), `None` for an absent key.")]
            pub fn $opt(&self, key: &str) -> Result<Option<$result>, GgufError> {
                self.read(key, $wanted, $read)
            }
        )*
    };
}

impl Metadata {
    /// Entries of `file`, which stands in errors: for files of other formats that say the same in other words.
    pub fn new(file: &Path, entries: BTreeMap<String, Value>) -> Self {
        Self { file: file.to_owned(), entries }
    }

    getters! {
        /// An integer of any width that fits.
        u32, opt_u32, u32, "an integer from 0 to 4294967295", |v| v.integer().and_then(|v| u32::try_from(v).ok());
        /// An integer of any width that fits.
        u64, opt_u64, u64, "an integer above or equal to 0", |v| v.integer().and_then(|v| u64::try_from(v).ok());
        /// A floating-point number; a double is rounded.
        f32, opt_f32, f32, "a floating-point number", float;
        /// A boolean.
        bool, opt_bool, bool, "a boolean", |v| if let Value::Bool(v) = v { Some(*v) } else { None };
        /// A string.
        str, opt_str, &str, "a string", |v| if let Value::String(v) = v { Some(v.as_str()) } else { None };
        /// An array of strings.
        strings, opt_strings, &[String], "an array of strings",
            |v| if let Value::Array(Array::String(v)) = v { Some(v.as_slice()) } else { None };
        /// An array of 32-bit integers.
        i32s, opt_i32s, &[i32], "an array of i32",
            |v| if let Value::Array(Array::I32(v)) = v { Some(v.as_slice()) } else { None };
        /// An array of floats.
        f32s, opt_f32s, &[f32], "an array of f32",
            |v| if let Value::Array(Array::F32(v)) = v { Some(v.as_slice()) } else { None };
    }

    /// The value as it stands in the file.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.entries.get(key)
    }

    /// Every entry, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.entries.iter().map(|(key, value)| (key.as_str(), value))
    }

    fn read<'a, T>(
        &'a self,
        key: &str,
        wanted: &'static str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, GgufError> {
        let Some(value) = self.entries.get(key) else { return Ok(None) };
        let wrong = || self.fail(Problem::WrongType { key: key.to_owned(), found: value.describe(), wanted });
        read(value).map(Some).ok_or_else(wrong)
    }

    fn fail(&self, problem: Problem) -> GgufError {
        GgufError { file: self.file.clone(), problem }
    }
}

fn float(value: &Value) -> Option<f32> {
    match value {
        Value::F32(v) => Some(*v),
        Value::F64(v) => Some(*v as f32),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(key: &str, value: impl Into<Value>) -> Metadata {
        Metadata::new(Path::new("m.gguf"), BTreeMap::from([(key.to_owned(), value.into())]))
    }

    #[test]
    fn integers_are_read_at_any_width_that_fits() {
        assert_eq!(metadata("k", 7u8).u32("k").expect("fits"), 7);
        assert_eq!(metadata("k", 7i64).u64("k").expect("fits"), 7);
        let error = metadata("k", -1i32).u32("k").expect_err("negative");
        assert_eq!(
            error.to_string(),
            "m.gguf: metadata \"k\" is i32 -1, wanted an integer from 0 to 4294967295; convert the model again"
        );
        metadata("k", 1u64 << 32).u32("k").expect_err("too large");
    }

    #[test]
    fn an_absent_key_is_an_error_only_for_the_strict_getter() {
        let metadata = metadata("k", "text");
        assert_eq!(metadata.opt_str("other").expect("absent is fine"), None);
        let error = metadata.str("other").expect_err("absent");
        assert!(matches!(error.problem, Problem::MissingKey { .. }), "{error}");
    }

    #[test]
    fn another_type_is_an_error_for_both_getters() {
        let metadata = metadata("k", vec![1.0f32]);
        assert_eq!(metadata.f32s("k").expect("floats"), [1.0]);
        let error = metadata.opt_strings("k").expect_err("wrong type");
        assert!(error.to_string().contains("is an array of 1 f32, wanted an array of strings"), "{error}");
    }
}

//! A model's metadata with the checks that models need: ranges, and lists that may be missing.

use exo_weights::ModelFiles;

use crate::load_error::LoadError;

/// Reads entries of one model.
#[derive(Clone, Copy)]
pub(crate) struct Metadata<'a>(&'a exo_gguf::Metadata);

impl<'a> Metadata<'a> {
    pub(crate) fn of(files: &'a ModelFiles) -> Self {
        Self(files.metadata())
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.0.get(key).is_some()
    }

    /// A number from 1 to `max`.
    pub(crate) fn count(&self, key: &str, max: usize) -> Result<usize, LoadError> {
        self.whole(key, 1, max)
    }

    /// A whole number from `min` to `max`.
    pub(crate) fn whole(&self, key: &str, min: usize, max: usize) -> Result<usize, LoadError> {
        let value = self.0.u64(key)?;
        let is_in_range = (min as u64..=max as u64).contains(&value);
        let (low, high) = (min as f64, max as f64);
        let out_of_range = || LoadError::OutOfRange { key: key.into(), value: value as f64, min: low, max: high };
        is_in_range.then_some(value as usize).ok_or_else(out_of_range)
    }

    /// A number from `min` to `max`, which rules out NaN.
    pub(crate) fn number(&self, key: &str, min: f32, max: f32) -> Result<f32, LoadError> {
        let value = self.0.f32(key)?;
        let [wide, low, high] = [value, min, max].map(f64::from);
        let out_of_range = || LoadError::OutOfRange { key: key.into(), value: wide, min: low, max: high };
        (min..=max).contains(&value).then_some(value).ok_or_else(out_of_range)
    }

    pub(crate) fn required_text(&self, key: &str) -> Result<&'a str, LoadError> {
        Ok(self.0.str(key)?)
    }

    pub(crate) fn text(&self, key: &str) -> Result<Option<&'a str>, LoadError> {
        Ok(self.0.opt_str(key)?)
    }

    pub(crate) fn flag(&self, key: &str) -> Result<Option<bool>, LoadError> {
        Ok(self.0.opt_bool(key)?)
    }

    /// The id of a token; it is checked against the vocabulary by the tokenizer.
    pub(crate) fn token(&self, key: &str) -> Result<Option<u32>, LoadError> {
        Ok(self.0.opt_u32(key)?)
    }

    /// A list of texts; empty if it is missing.
    pub(crate) fn texts(&self, key: &str) -> Result<Vec<String>, LoadError> {
        Ok(self.0.opt_strings(key)?.unwrap_or_default().to_vec())
    }

    /// A list of numbers; empty if it is missing.
    pub(crate) fn numbers(&self, key: &str) -> Result<Vec<f32>, LoadError> {
        Ok(self.0.opt_f32s(key)?.unwrap_or_default().to_vec())
    }

    /// A list of whole numbers; empty if it is missing.
    pub(crate) fn integers(&self, key: &str) -> Result<Vec<i32>, LoadError> {
        Ok(self.0.opt_i32s(key)?.unwrap_or_default().to_vec())
    }

    /// Length of a list of texts that must be there.
    pub(crate) fn list_length(&self, key: &str) -> Result<usize, LoadError> {
        Ok(self.0.strings(key)?.len())
    }
}

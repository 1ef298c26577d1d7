//! A model's card from the headers of its files.

use exo_gguf::{GgufError, Metadata};
use exo_types::{KvFormat, Memory, ModelCard, ModelId};
use exo_weights::{ModelFiles, WeightsError};
use std::collections::BTreeMap;
use thiserror::Error;

/// No model has more layers, heads or a wider head; what a header says is checked against these before it is multiplied.
const MAX_LAYERS: u32 = 4096;
const MAX_WIDTH: u32 = 1 << 20;

/// A model that cannot be placed.
#[derive(Debug, Error)]
pub enum CardError {
    /// Damaged, or of no known form.
    #[error(transparent)]
    Files(#[from] WeightsError),
    /// An entry of the metadata that is missing or of another type.
    #[error(transparent)]
    Entry(#[from] GgufError),
    /// A number that no model has.
    #[error("{key} is {value}, wanted 1 to {most}; convert the model again")]
    OutOfRange {
        /// The entry.
        key: String,
        /// What it says.
        value: u32,
        /// The largest accepted value.
        most: u32,
    },
    /// A file without weights: a vocabulary, or an adapter.
    #[error("the file has no weights of layers (a vocabulary or an adapter); use the file of a whole model")]
    NoLayers,
    /// One part of several.
    #[error("the file is one of {parts} parts; merge them into one file first (gguf-split --merge)")]
    Split {
        /// How many there are.
        parts: u32,
    },
}

/// Reads the card of an open model.
pub fn card(model_id: ModelId, files: &ModelFiles, kv_format: KvFormat) -> Result<ModelCard, CardError> {
    let metadata = files.metadata();
    if let Some(parts @ 2..) = metadata.opt_u32("split.count")? {
        return Err(CardError::Split { parts });
    }
    let architecture = metadata.str("general.architecture")?.to_owned();
    let number = Numbers { metadata, architecture: &architecture };
    let n_layers = number.within("block_count", MAX_LAYERS)?;
    let hidden_size = number.within("embedding_length", MAX_WIDTH)?;
    let context_length = number.within("context_length", u32::MAX)?;
    let heads = number.within("attention.head_count", MAX_WIDTH)?;
    let kv_heads = number.opt_within("attention.head_count_kv", MAX_WIDTH)?.unwrap_or(heads);
    let kv_bytes_per_token = number.kv_bytes_per_token(n_layers, hidden_size.div_ceil(heads), kv_heads, kv_format)?;
    let weights = weigh(files);
    if weights.layers == 0 {
        return Err(CardError::NoLayers);
    }
    Ok(ModelCard {
        model_id,
        name: metadata.opt_str("general.name")?.unwrap_or_default().chars().take(256).collect(),
        quantization: weights.quantization,
        n_layers,
        hidden_size,
        heads,
        kv_heads,
        context_length,
        kv_bytes_per_token,
        kv_format,
        layer_size: Memory { in_bytes: weights.layers / u64::from(n_layers) },
        storage_size: Memory { in_bytes: weights.all },
        architecture,
    })
}

struct Numbers<'a> {
    metadata: &'a Metadata,
    architecture: &'a str,
}

impl Numbers<'_> {
    fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.architecture)
    }

    fn within(&self, name: &str, most: u32) -> Result<u32, CardError> {
        let key = self.key(name);
        let value = self.metadata.u32(&key)?;
        if (1..=most).contains(&value) { Ok(value) } else { Err(CardError::OutOfRange { key, value, most }) }
    }

    fn opt_within(&self, name: &str, most: u32) -> Result<Option<u32>, CardError> {
        match self.metadata.get(&self.key(name)) {
            Some(_) => self.within(name, most).map(Some),
            None => Ok(None),
        }
    }

    /// Keys and values of all heads that have their own, over all layers; `width` is that of heads which tell none.
    fn kv_bytes_per_token(
        &self,
        n_layers: u32,
        width: u32,
        kv_heads: u32,
        kv_format: KvFormat,
    ) -> Result<u64, CardError> {
        let keys = self.opt_within("attention.key_length", MAX_WIDTH)?.unwrap_or(width);
        let values = self.opt_within("attention.value_length", MAX_WIDTH)?.unwrap_or(width);
        let bytes = |width: u32| match kv_format {
            KvFormat::F16 => u64::from(width) * 2,
            // And a scale for each part of 32.
            KvFormat::Q8 => u64::from(width) + u64::from(width.div_ceil(32)) * 4,
        };
        // Each factor is less than 2^24, so their product fits.
        let per_layer = u64::from(kv_heads) * (bytes(keys) + bytes(values));
        Ok(per_layer.saturating_mul(u64::from(n_layers)))
    }
}

struct Weights {
    all: u64,
    layers: u64,
    quantization: String,
}

/// Sums the tensors; the type with the most bytes names the quantisation.
fn weigh(files: &ModelFiles) -> Weights {
    let mut by_type = BTreeMap::<&str, u64>::new();
    let (mut all, mut layers) = (0u64, 0u64);
    for tensor in files.tensors() {
        let bytes = tensor.bytes();
        all = all.saturating_add(bytes);
        if tensor.name.starts_with("blk.") {
            layers = layers.saturating_add(bytes);
        }
        *by_type.entry(tensor.dtype.name()).or_default() += bytes;
    }
    let most = by_type.into_iter().max_by_key(|(_, bytes)| *bytes);
    Weights { all, layers, quantization: most.map_or_else(String::new, |(name, _)| name.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use exo_gguf::{GgmlType, GgufFile, GgufWriter};
    use exo_testkit::ModelSpec;
    use std::path::Path;

    fn card_of(writer: GgufWriter<'_>) -> Result<ModelCard, CardError> {
        let bytes = writer.to_bytes().expect("small");
        let file = GgufFile::from_bytes(Path::new("m.gguf"), bytes)?;
        card(ModelId::new("m").expect("a good id"), &file.into(), KvFormat::F16)
    }

    #[test]
    fn a_card_tells_what_placement_needs() {
        let spec = ModelSpec { matrices: GgmlType::Q8_0, ..ModelSpec::default() };
        let card = card_of(spec.writer()).expect("a whole model");
        assert_eq!((card.architecture.as_str(), card.quantization.as_str()), ("llama", "Q8_0"));
        assert_eq!((card.n_layers, card.hidden_size, card.context_length), (3, 128, 512));
        assert_eq!((card.heads, card.kv_heads), (4, 2));
        // 3 layers, 2 key heads of 32, keys and values, 2 bytes each.
        assert_eq!(card.kv_bytes_per_token, 3 * 2 * (32 + 32) * 2);
        assert!(card.layer_size.in_bytes * 3 < card.storage_size.in_bytes);
    }

    #[test]
    fn a_card_tells_encoders_from_models_that_make_text() {
        use exo_testkit::Architecture;
        for architecture in Architecture::DECODERS.into_iter().chain([Architecture::Bert]) {
            let card = card_of(ModelSpec::of(architecture).writer()).expect("a whole model");
            assert_eq!(card.makes_text(), !architecture.is_encoder(), "{architecture:?}");
        }
        let card = card_of(ModelSpec::of(Architecture::Bert).writer()).expect("a whole model");
        assert_eq!((card.n_layers, card.context_length, card.kv_heads), (3, 96, 4));
    }

    #[test]
    fn a_header_that_lies_is_refused_with_its_numbers() {
        let check = |key: &str, value: u32, expect: &str| {
            let error = card_of(header((key, value))).expect_err(expect).to_string();
            assert!(error.contains(expect), "{error} does not contain {expect}");
        };
        check("llama.block_count", 0, "llama.block_count is 0");
        check("llama.block_count", 1_000_000, "1000000");
        check("llama.attention.head_count", 0, "head_count is 0");
        check("llama.attention.key_length", u32::MAX, "key_length is 4294967295");
        check("split.count", 4, "4 parts");
    }

    #[test]
    fn a_file_without_layers_is_no_model() {
        assert!(matches!(card_of(header(("llama.block_count", 1))), Err(CardError::NoLayers)));
    }

    /// A header without tensors in which every number is 1, but for one.
    fn header(other: (&str, u32)) -> GgufWriter<'static> {
        let names = ["block_count", "embedding_length", "context_length", "attention.head_count"];
        let mut numbers: BTreeMap<_, _> = names.iter().map(|name| (format!("llama.{name}"), 1)).collect();
        numbers.insert(other.0.to_owned(), other.1);
        let mut writer = GgufWriter::new();
        writer.set("general.architecture", "llama");
        for (key, value) in numbers {
            writer.set(&key, value);
        }
        writer
    }
}

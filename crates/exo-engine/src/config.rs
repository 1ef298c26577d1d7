//! The shape of a model, read from its file's metadata and checked before anything is allocated.

use crate::{
    arch::{self, Family},
    load_error::LoadError,
    metadata::Metadata,
};

/// How a rotary embedding pairs the dimensions of a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RopeLayout {
    /// Neighbours: 0 with 1, 2 with 3.
    Interleaved,
    /// The first half with the second: 0 with n/2.
    Halves,
}

/// Rotary position embedding.
#[derive(Debug, Clone, PartialEq)]
pub struct RopeConfig {
    /// Pairing of dimensions.
    pub layout: RopeLayout,
    /// Dimensions of each head that turn, an even number; the others stay.
    pub dimensions: usize,
    /// Base of the frequencies.
    pub base: f32,
    /// Positions are divided by this (linear scaling); 1 is off.
    pub position_divisor: f32,
}

/// Sizes and constants of a model. Every number was checked; products of two of them fit a `usize`.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    /// Name of the architecture.
    pub architecture: String,
    /// Number of layers.
    pub layers: usize,
    /// Width of the hidden states.
    pub hidden: usize,
    /// Width of the feed-forward network.
    pub feed_forward: usize,
    /// Number of query heads.
    pub heads: usize,
    /// Number of key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_width: usize,
    /// Number of tokens.
    pub vocabulary: usize,
    /// Positions that the model was trained for.
    pub context: usize,
    /// Added to the mean square in normalisation.
    pub norm_epsilon: f32,
    /// Rotary position embedding.
    pub rope: RopeConfig,
}

impl ModelConfig {
    /// Reads and checks the metadata; also returns the family that knows the model's tensors.
    pub(crate) fn read(metadata: &Metadata) -> Result<(Self, &'static Family), LoadError> {
        let architecture = metadata.required_text("general.architecture")?.to_owned();
        let family = arch::family(&architecture)
            .ok_or_else(|| LoadError::Architecture { name: architecture.clone(), known: arch::names() })?;
        let count = |name: &'static str, max| metadata.count(&format!("{architecture}.{name}"), max);
        let hidden = count("embedding_length", 1 << 16)?;
        let heads = count("attention.head_count", 1024)?;
        let kv_heads = match metadata.has(&format!("{architecture}.attention.head_count_kv")) {
            true => count("attention.head_count_kv", 1024)?,
            false => heads,
        };
        let head_width = head_width(metadata, &architecture, hidden, heads)?;
        let config = Self {
            layers: count("block_count", 1024)?,
            feed_forward: count("feed_forward_length", 1 << 20)?,
            context: count("context_length", 1 << 30)?,
            vocabulary: metadata.list_length("tokenizer.ggml.tokens")?,
            norm_epsilon: metadata.number(&format!("{architecture}.attention.layer_norm_rms_epsilon"), 1e-12, 1.0)?,
            rope: rope(metadata, &architecture, family.rope_layout, head_width)?,
            architecture,
            hidden,
            heads,
            kv_heads,
            head_width,
        };
        config.check().map(|()| (config, family))
    }

    fn check(&self) -> Result<(), LoadError> {
        let shape = |problem: String| Err(LoadError::Shape(problem));
        if !self.heads.is_multiple_of(self.kv_heads) {
            return shape(format!("{} query heads cannot share {} key heads evenly", self.heads, self.kv_heads));
        }
        for (name, width) in [("hidden", self.hidden), ("feed-forward", self.feed_forward)] {
            if !width.is_multiple_of(32) {
                return shape(format!("the {name} width is {width}, which is no multiple of 32"));
            }
        }
        if !self.head_width.is_multiple_of(16) || self.head_width > 512 {
            return shape(format!("heads are {} wide; it must be a multiple of 16 up to 512", self.head_width));
        }
        if self.vocabulary > exo_text::MAX_TOKENS {
            return shape(format!(
                "the vocabulary has {} tokens; the limit is {}",
                self.vocabulary,
                exo_text::MAX_TOKENS
            ));
        }
        Ok(())
    }

    /// Width of all query heads together.
    pub fn query_width(&self) -> usize {
        self.heads * self.head_width
    }

    /// Width of all key heads together, and of all value heads.
    pub fn kv_width(&self) -> usize {
        self.kv_heads * self.head_width
    }
}

fn head_width(metadata: &Metadata, architecture: &str, hidden: usize, heads: usize) -> Result<usize, LoadError> {
    let keys = ["key_length", "value_length"].map(|name| format!("{architecture}.attention.{name}"));
    let mut widths = Vec::new();
    for key in keys.iter().filter(|key| metadata.has(key)) {
        widths.push(metadata.count(key, 512)?);
    }
    match widths[..] {
        [key, value] if key != value => {
            Err(LoadError::Shape(format!("keys are {key} wide and values {value}; they must be the same")))
        }
        [width, ..] => Ok(width),
        [] if hidden.is_multiple_of(heads) => Ok(hidden / heads),
        [] => Err(LoadError::Shape(format!("a hidden width of {hidden} cannot be split into {heads} heads"))),
    }
}

fn rope(
    metadata: &Metadata,
    architecture: &str,
    layout: RopeLayout,
    head_width: usize,
) -> Result<RopeConfig, LoadError> {
    let key = |name: &str| format!("{architecture}.rope.{name}");
    let dimensions = match metadata.has(&key("dimension_count")) {
        true => metadata.count(&key("dimension_count"), head_width)?,
        false => head_width,
    };
    if !dimensions.is_multiple_of(2) {
        return Err(LoadError::Shape(format!("the rotary embedding turns {dimensions} dimensions, an odd number")));
    }
    let base = match metadata.has(&key("freq_base")) {
        true => metadata.number(&key("freq_base"), 1.0, 1e12)?,
        false => 10_000.0,
    };
    let divisor = match metadata.text(&key("scaling.type"))? {
        Some("linear") => metadata.number(&key("scaling.factor"), 1e-3, 1e6)?,
        Some("none") | None if metadata.has(&key("scale_linear")) => {
            metadata.number(&key("scale_linear"), 1e-3, 1e6)?
        }
        Some("none") | None => 1.0,
        Some(kind) => return Err(LoadError::RopeScaling(kind.to_owned())),
    };
    Ok(RopeConfig { layout, dimensions, base, position_divisor: divisor })
}

//! The shape of a model: what its metadata says, checked before anything is allocated.

mod read;
mod rope;

pub use rope::{RopeConfig, RopeLayout, RopeScaling};

use crate::load_error::LoadError;

/// What stands between gate and up in a feed-forward network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// x / (1 + e^-x).
    Silu,
    /// GELU in its form with tanh.
    Gelu,
    /// SiLU with a slope of 1.702, inputs cut at 7, and 1 added to up.
    ClampedSilu,
}

/// Positions that a layer sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowConfig {
    /// So many, the row's own included.
    pub positions: usize,
    /// Every so many layers the last one has no window; 0: all have it.
    pub period: usize,
}

/// Feed-forward networks of which each token uses some.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExpertConfig {
    /// How many there are.
    pub count: usize,
    /// How many a token uses.
    pub used: usize,
    /// Whether the weights of those sum to one; otherwise they are shares of the softmax over all.
    pub normalised: bool,
    /// Factor of the weights.
    pub scale: f32,
}

/// Sizes and constants of a model. Every number was checked; products of two of them fit a `usize`.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    /// Name of the architecture.
    pub architecture: String,
    /// Whether it makes vectors of texts, and no text: every token sees the whole text.
    pub is_encoder: bool,
    /// Number of layers.
    pub layers: usize,
    /// Width of the hidden states.
    pub hidden: usize,
    /// Width of the feed-forward network, or of each expert.
    pub feed_forward: usize,
    /// Number of query heads.
    pub heads: usize,
    /// Number of key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_width: usize,
    /// Number of tokens.
    pub vocabulary: usize,
    /// Number of types that a token of an encoder may have; the first one counts.
    pub token_types: usize,
    /// Positions that the model was trained for.
    pub context: usize,
    /// Positions of the first training, where the file tells: beyond them other rotary factors hold.
    pub original_context: Option<usize>,
    /// Added to the mean square, or the variance, in normalisation.
    pub norm_epsilon: f32,
    /// Rotary position embedding, where positions are not learned.
    pub rope: Option<RopeConfig>,
    /// The same of layers with a window, where it is another.
    pub window_rope: Option<RopeConfig>,
    /// Layers that see the last positions only.
    pub window: Option<WindowConfig>,
    /// Factor of attention scores.
    pub attention_scale: f32,
    /// Attention scores become `cap · tanh(score / cap)`.
    pub attention_soft_cap: Option<f32>,
    /// Logits become `cap · tanh(logit / cap)`.
    pub logit_soft_cap: Option<f32>,
    /// Factor of the embeddings.
    pub embedding_scale: f32,
    /// Between gate and up. A network without a gate has GELU as it is defined, by the normal distribution.
    pub activation: Activation,
    /// Experts in place of one feed-forward network.
    pub experts: Option<ExpertConfig>,
}

impl ModelConfig {
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
        if let Some(experts) = self.experts.filter(|experts| experts.used > experts.count) {
            return shape(format!("a token uses {} experts, but there are {}", experts.used, experts.count));
        }
        let limit = exo_text::MAX_TOKENS;
        if self.vocabulary > limit {
            return shape(format!("the vocabulary has {} tokens; the limit is {limit}", self.vocabulary));
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

    /// Positions that a layer sees; `None` is all before its own.
    pub fn window_of(&self, layer: usize) -> Option<usize> {
        let window = self.window?;
        let sees_all = window.period > 0 && (layer + 1).is_multiple_of(window.period);
        (!sees_all).then_some(window.positions)
    }
}

#[cfg(test)]
mod tests;

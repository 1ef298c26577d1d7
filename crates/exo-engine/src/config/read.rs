//! Reads the configuration out of metadata.

use super::{ExpertConfig, ModelConfig, RopeConfig, RopeLayout, RopeScaling, WindowConfig};
use crate::{
    arch::{self, Architecture, Experts},
    load_error::LoadError,
    metadata::Metadata,
};

impl ModelConfig {
    /// Reads and checks the metadata; also returns the architecture's record. `layout` overrides the record's for files
    /// that store heads in another order.
    pub(crate) fn read(
        metadata: &Metadata<'_>,
        layout: Option<RopeLayout>,
    ) -> Result<(Self, &'static Architecture), LoadError> {
        let name = metadata.required_text("general.architecture")?;
        let record = arch::architecture(name)
            .ok_or_else(|| LoadError::Architecture { name: name.into(), known: arch::names() })?;
        let keys = Keys { metadata, architecture: name };
        let hidden = keys.count("embedding_length", 1 << 16)?;
        let layers = keys.count("block_count", 1024)?;
        let heads = keys.count("attention.head_count", 1024)?;
        let head_width = keys.head_width(hidden, heads)?;
        let experts = keys.experts(record.experts)?;
        let window = keys.window(record)?;
        let rope = match record.learned_positions {
            true => None,
            false => Some(keys.rope(layout.unwrap_or(record.rope_layout), head_width)?),
        };
        let epsilon =
            if record.norms_after { "attention.layer_norm_epsilon" } else { "attention.layer_norm_rms_epsilon" };
        let window_base = keys.opt_number("rope.freq_base_swa", 1.0, 1e12)?.or(record.window_rope_base);
        let scaled_by = match record.layers_scaled_by_hidden == Some(layers) {
            true => hidden / heads,
            false => head_width,
        };
        let config = Self {
            is_encoder: keys.is_encoder(record)?,
            layers,
            feed_forward: keys.feed_forward(experts.is_some())?,
            kv_heads: keys.opt_count("attention.head_count_kv", 1024)?.unwrap_or(heads),
            context: keys.count("context_length", 1 << 30)?,
            original_context: keys.opt_count("rope.scaling.original_context_length", 1 << 30)?,
            vocabulary: metadata.list_length("tokenizer.ggml.tokens")?,
            token_types: if record.learned_positions {
                metadata.count("tokenizer.ggml.token_type_count", 1024)?
            } else {
                0
            },
            norm_epsilon: keys.number(epsilon, 1e-12, 1.0)?,
            window_rope: window_base.filter(|_| window.is_some()).zip(rope.clone()).map(|(base, rope)| RopeConfig {
                base,
                scaling: RopeScaling::Linear { factor: 1.0 },
                ..rope
            }),
            rope,
            window,
            attention_scale: keys.opt_number("attention.scale", 1e-6, 1e3)?.unwrap_or(1.0 / (scaled_by as f32).sqrt()),
            attention_soft_cap: keys.soft_cap("attn_logit_softcapping", record.attention_soft_cap)?,
            logit_soft_cap: keys.soft_cap("final_logit_softcapping", record.logit_soft_cap)?,
            embedding_scale: if record.scales_embedding { (hidden as f32).sqrt() } else { 1.0 },
            activation: record.activation,
            experts,
            architecture: name.to_owned(),
            hidden,
            heads,
            head_width,
        };
        config.check().map(|()| (config, record))
    }
}

/// Keys that begin with the architecture's name.
struct Keys<'a> {
    metadata: &'a Metadata<'a>,
    architecture: &'a str,
}

impl Keys<'_> {
    fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.architecture)
    }

    fn has(&self, name: &str) -> bool {
        self.metadata.has(&self.key(name))
    }

    /// As the record has it; a file that says otherwise would need another computation.
    fn is_encoder(&self, record: &Architecture) -> Result<bool, LoadError> {
        let key = self.key("attention.causal");
        match self.metadata.flag(&key)? {
            Some(is_causal) if is_causal == record.is_encoder => {
                Err(LoadError::Shape(format!("{key} is {is_causal}, which this architecture never is")))
            }
            _ => Ok(record.is_encoder),
        }
    }

    fn count(&self, name: &str, max: usize) -> Result<usize, LoadError> {
        self.metadata.count(&self.key(name), max)
    }

    fn opt_count(&self, name: &str, max: usize) -> Result<Option<usize>, LoadError> {
        self.has(name).then(|| self.count(name, max)).transpose()
    }

    fn number(&self, name: &str, min: f32, max: f32) -> Result<f32, LoadError> {
        self.metadata.number(&self.key(name), min, max)
    }

    fn opt_number(&self, name: &str, min: f32, max: f32) -> Result<Option<f32>, LoadError> {
        self.has(name).then(|| self.number(name, min, max)).transpose()
    }

    /// A cap; 0 in the file is none.
    fn soft_cap(&self, name: &str, default: Option<f32>) -> Result<Option<f32>, LoadError> {
        let cap = self.opt_number(name, 0.0, 1e6)?.or(default);
        Ok(cap.filter(|&cap| cap > 0.0))
    }

    /// Of the one network, or of each expert.
    fn feed_forward(&self, has_experts: bool) -> Result<usize, LoadError> {
        let of_expert = "expert_feed_forward_length";
        let name = if has_experts && self.has(of_expert) { of_expert } else { "feed_forward_length" };
        self.count(name, 1 << 20)
    }

    fn head_width(&self, hidden: usize, heads: usize) -> Result<usize, LoadError> {
        let [key, value] = ["attention.key_length", "attention.value_length"].map(|name| self.opt_count(name, 512));
        match (key?, value?) {
            (Some(key), Some(value)) if key != value => {
                Err(LoadError::Shape(format!("keys are {key} wide and values {value}; they must be the same")))
            }
            (Some(width), _) | (None, Some(width)) => Ok(width),
            (None, None) if hidden.is_multiple_of(heads) => Ok(hidden / heads),
            (None, None) => {
                Err(LoadError::Shape(format!("a hidden width of {hidden} cannot be split into {heads} heads")))
            }
        }
    }

    fn experts(&self, rule: Experts) -> Result<Option<ExpertConfig>, LoadError> {
        let is_counted = match self.has("expert_count") {
            true => self.metadata.whole(&self.key("expert_count"), 0, 1024)? > 0,
            false => false,
        };
        if rule == Experts::None || rule == Experts::IfCounted && !is_counted {
            return Ok(None);
        }
        Ok(Some(ExpertConfig {
            count: self.count("expert_count", 1024)?,
            used: self.count("expert_used_count", 64)?,
            normalised: self.metadata.flag(&self.key("expert_weights_norm"))?.unwrap_or(true),
            // 0 stands for none, as llama.cpp has it.
            scale: self.opt_number("expert_weights_scale", 0.0, 1e3)?.filter(|&scale| scale > 0.0).unwrap_or(1.0),
        }))
    }

    fn window(&self, record: &Architecture) -> Result<Option<WindowConfig>, LoadError> {
        let Some(rule) = record.window else { return Ok(None) };
        let name = "attention.sliding_window";
        let positions = match self.has(name) {
            // 0 is none.
            true => Some(self.metadata.whole(&self.key(name), 0, 1 << 30)?).filter(|&positions| positions > 0),
            false => rule.default,
        };
        let pattern = "attention.sliding_window_pattern";
        let period = match self.has(pattern) {
            true => self.metadata.whole(&self.key(pattern), 0, 1024)?,
            false => rule.period,
        };
        Ok(positions.map(|positions| WindowConfig { positions, period }))
    }

    fn rope(&self, layout: RopeLayout, head_width: usize) -> Result<RopeConfig, LoadError> {
        let dimensions = self.opt_count("rope.dimension_count", head_width)?.unwrap_or(head_width);
        if !dimensions.is_multiple_of(2) {
            return Err(LoadError::Shape(format!("the rotary embedding turns {dimensions} dimensions, an odd number")));
        }
        let base = self.opt_number("rope.freq_base", 1.0, 1e12)?.unwrap_or(10_000.0);
        let scaling = self.rope_scaling(base)?;
        let magnitude = self.opt_number("rope.scaling.attn_factor", 1e-3, 1e3)?.unwrap_or(match scaling {
            RopeScaling::Yarn { factor, .. } => 1.0 + 0.1 * factor.max(1.0).ln(),
            _ => 1.0,
        });
        Ok(RopeConfig { layout, dimensions, base, scaling, magnitude })
    }

    fn rope_scaling(&self, base: f32) -> Result<RopeScaling, LoadError> {
        let factor = match self.opt_number("rope.scaling.factor", 0.0, 1e6)? {
            // 0 is none.
            Some(factor) => Some(factor).filter(|&factor| factor > 0.0),
            None => self.opt_number("rope.scale_linear", 1e-3, 1e6)?,
        };
        let original_context = || self.count("rope.scaling.original_context_length", 1 << 30);
        let factor = factor.unwrap_or(1.0);
        match self.metadata.text(&self.key("rope.scaling.type"))? {
            // The factors of "longrope" are tensors.
            Some("none" | "longrope") => Ok(RopeScaling::Linear { factor: 1.0 }),
            Some("linear") | None => Ok(RopeScaling::Linear { factor }),
            Some("yarn") if base > 1.0 => Ok(RopeScaling::Yarn {
                factor,
                original_context: original_context()?,
                beta_fast: self.opt_number("rope.scaling.yarn_beta_fast", 1e-3, 1e6)?.unwrap_or(32.0),
                beta_slow: self.opt_number("rope.scaling.yarn_beta_slow", 1e-3, 1e6)?.unwrap_or(1.0),
                whole_pairs: self.metadata.flag(&self.key("rope.scaling.yarn_truncate"))?.unwrap_or(true),
            }),
            Some("llama3") => {
                let (low, high) = ("rope.scaling.low_freq_factor", "rope.scaling.high_freq_factor");
                let (low, high) = (self.number(low, 1e-3, 1e6)?, self.number(high, 1e-3, 1e6)?);
                if low >= high {
                    return Err(LoadError::Shape(format!(
                        "rotary frequencies are low from {low} and high from {high}"
                    )));
                }
                Ok(RopeScaling::Llama3 { factor, low, high, original_context: original_context()? })
            }
            Some(kind) => Err(LoadError::RopeScaling(kind.to_owned())),
        }
    }
}

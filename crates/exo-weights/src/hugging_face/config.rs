//! `config.json` in the words of GGUF's metadata.

use std::collections::BTreeMap;

use exo_gguf::Value;

use super::CONFIG_FILE;
use super::family::{Family, Windows, family, model_types};
use super::json::Object;
use super::rope;
use crate::error::DirectoryProblem;

/// Gemma 3 with an eye leaves out what is as in its smallest model.
const GEMMA3_DEFAULTS: [(&str, u32); 4] = [
    ("num_attention_heads", 8),
    ("num_key_value_heads", 4),
    ("max_position_embeddings", 131_072),
    ("vocab_size", 262_208),
];

/// The configuration of the part that reads and writes text, and its family.
#[derive(Debug)]
pub(super) struct Config<'a> {
    pub(super) family: &'static Family,
    pub(super) object: Object<'a>,
    outer: Object<'a>,
}

/// Entries under the architecture's name.
pub(super) struct Entries {
    architecture: &'static str,
    entries: BTreeMap<String, Value>,
}

impl Entries {
    pub(super) fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.entries.insert(format!("{}.{name}", self.architecture), value.into());
    }
}

impl<'a> Config<'a> {
    pub(super) fn read(whole: &'a serde_json::Value) -> Result<Self, DirectoryProblem> {
        let outer = Object::whole(CONFIG_FILE, whole)?;
        let found = outer.opt_text("model_type")?.ok_or_else(|| outer.missing("model_type"))?;
        let unknown = || DirectoryProblem::ModelType { found: found.chars().take(64).collect(), known: model_types() };
        let family = family(found).ok_or_else(unknown)?;
        let object = outer.opt_object("text_config")?.unwrap_or_else(|| outer.clone());
        let config = Self { family, object, outer };
        config.check_what_is_not_read()?;
        Ok(config)
    }

    /// Whether the embedding is the head too.
    pub(super) fn is_tied(&self) -> Result<bool, DirectoryProblem> {
        let said = self.outer.opt_flag("tie_word_embeddings")?.or(self.object.opt_flag("tie_word_embeddings")?);
        Ok(said.unwrap_or(self.family.is_tied))
    }

    /// Tokens that end an answer, as far as the configuration names them.
    pub(super) fn ends(&self) -> Option<&'a serde_json::Value> {
        self.outer.get("eos_token_id").or_else(|| self.object.get("eos_token_id"))
    }

    pub(super) fn vocabulary(&self) -> Result<u32, DirectoryProblem> {
        self.count("vocab_size")
    }

    /// All of it as metadata, but for the tokenizer.
    pub(super) fn metadata(&self) -> Result<BTreeMap<String, Value>, DirectoryProblem> {
        let architecture = self.family.architecture;
        let mut entries = Entries { architecture, entries: BTreeMap::new() };
        entries.entries.insert("general.architecture".to_owned(), architecture.into());
        self.set_shape(&mut entries)?;
        self.set_experts(&mut entries)?;
        self.set_windows(&mut entries)?;
        self.set_caps(&mut entries)?;
        match self.family.is_encoder {
            true => self.set_encoder(&mut entries)?,
            false => rope::set(self, &mut entries)?,
        }
        Ok(entries.entries)
    }

    fn count(&self, key: &str) -> Result<u32, DirectoryProblem> {
        let of_gemma3 = |key: &str| GEMMA3_DEFAULTS.iter().find(|(name, _)| *name == key).map(|(_, count)| *count);
        let default = if self.family.architecture == "gemma3" { of_gemma3(key) } else { None };
        match default {
            Some(default) => Ok(self.object.opt_count(key)?.unwrap_or(default)),
            None => self.object.count(key),
        }
    }

    /// Width of a head; 0 heads are refused by whoever reads the metadata.
    pub(super) fn head_width(&self) -> Result<u32, DirectoryProblem> {
        let computed = self.count("hidden_size")?.checked_div(self.count("num_attention_heads")?).unwrap_or(0);
        Ok(self.object.opt_count("head_dim")?.or(self.family.head_width).unwrap_or(computed))
    }

    /// Positions that the model was trained for.
    pub(super) fn context(&self) -> Result<u32, DirectoryProblem> {
        self.count("max_position_embeddings")
    }

    fn set_shape(&self, entries: &mut Entries) -> Result<(), DirectoryProblem> {
        let heads = self.count("num_attention_heads")?;
        let kv_heads = match self.object.get("num_key_value_heads") {
            // Early files of Llama, and all of BERT.
            None if self.family.architecture == "llama" || self.family.is_encoder => heads,
            _ => self.count("num_key_value_heads")?,
        };
        for (name, count) in [
            ("block_count", self.count("num_hidden_layers")?),
            ("context_length", self.context()?),
            ("embedding_length", self.count("hidden_size")?),
            ("feed_forward_length", self.count("intermediate_size")?),
            ("attention.head_count", heads),
            ("attention.head_count_kv", kv_heads),
            ("attention.key_length", self.head_width()?),
            ("attention.value_length", self.head_width()?),
            ("vocab_size", self.vocabulary()?),
        ] {
            entries.set(name, count);
        }
        let (theirs, ours) = match self.family.is_encoder {
            true => ("layer_norm_eps", "attention.layer_norm_epsilon"),
            false => ("rms_norm_eps", "attention.layer_norm_rms_epsilon"),
        };
        entries.set(ours, self.object.opt_number(theirs)?.unwrap_or(self.family.norm_epsilon));
        Ok(())
    }

    fn set_encoder(&self, entries: &mut Entries) -> Result<(), DirectoryProblem> {
        entries.set("attention.causal", false);
        let types = self.object.opt_count("type_vocab_size")?.unwrap_or(2);
        entries.entries.insert("tokenizer.ggml.token_type_count".to_owned(), types.into());
        Ok(())
    }

    fn set_experts(&self, entries: &mut Entries) -> Result<(), DirectoryProblem> {
        let Some((count, width)) = self.family.experts else { return Ok(()) };
        entries.set("expert_count", self.object.count(count)?);
        entries.set("expert_used_count", self.object.count("num_experts_per_tok")?);
        entries.set("expert_feed_forward_length", self.object.count(width)?);
        if self.family.architecture == "qwen3moe" {
            entries.set("expert_weights_norm", self.object.opt_flag("norm_topk_prob")?.unwrap_or(false));
        }
        Ok(())
    }

    fn set_windows(&self, entries: &mut Entries) -> Result<(), DirectoryProblem> {
        let key = "sliding_window_pattern";
        let period = match self.family.windows {
            Windows::None => return self.check_no_windows(),
            Windows::All => 0,
            Windows::AllButOneOf(period) if self.family.architecture == "gemma3" => {
                self.object.opt_count(key)?.or(self.object.opt_count("_sliding_window_pattern")?).unwrap_or(period)
            }
            Windows::AllButOneOf(period) => period,
        };
        let positions = match self.object.get("sliding_window") {
            None if self.family.windows == Windows::All => 0,
            _ => self.object.count("sliding_window")?,
        };
        if positions > 0 {
            self.check_layer_types(period)?;
        }
        entries.set("attention.sliding_window", positions);
        entries.set("attention.sliding_window_pattern", period);
        Ok(())
    }

    /// Each layer must be as the period says: the last of so many sees everything.
    fn check_layer_types(&self, period: u32) -> Result<(), DirectoryProblem> {
        let Some(types) = self.object.opt_list("layer_types")? else { return Ok(()) };
        let is_full = |layer: usize| period > 0 && (layer + 1).is_multiple_of(period as usize);
        let expected = |layer| if is_full(layer) { "full_attention" } else { "sliding_attention" };
        let as_expected = types.iter().enumerate().all(|(layer, found)| found.as_str() == Some(expected(layer)));
        if as_expected { Ok(()) } else { Err(self.object.unsupported("layer_types")) }
    }

    /// Qwen and Mixtral can have windows, which neither their models nor the GGUF files of them use. Phi 3 names one, and
    /// runs without it here as everywhere else that reads GGUF.
    fn check_no_windows(&self) -> Result<(), DirectoryProblem> {
        let uses = self.object.opt_flag("use_sliding_window")? == Some(true)
            || self.family.model_type == "mixtral" && self.object.get("sliding_window").is_some();
        if uses {
            return Err(self.object.unsupported("sliding_window"));
        }
        let types = self.object.opt_list("layer_types")?.unwrap_or_default();
        let all_full = types.iter().all(|found| found.as_str() == Some("full_attention"));
        if all_full { Ok(()) } else { Err(self.object.unsupported("layer_types")) }
    }

    fn set_caps(&self, entries: &mut Entries) -> Result<(), DirectoryProblem> {
        if !self.family.adds_one_to_norms {
            return Ok(());
        }
        for key in ["attn_logit_softcapping", "final_logit_softcapping"] {
            // Without one there is none, whatever GGUF's default is: 0 says so.
            entries.set(key, self.object.opt_number(key)?.unwrap_or(0.0));
        }
        let scalar = self.object.opt_number("query_pre_attn_scalar")?.unwrap_or(256.0);
        entries.set("attention.scale", 1.0 / scalar.sqrt());
        Ok(())
    }

    /// Refuses what would change results and has no entry in the metadata.
    fn check_what_is_not_read(&self) -> Result<(), DirectoryProblem> {
        let config = &self.object;
        for key in ["hidden_act", "hidden_activation"] {
            // Gemma's first files name another in `hidden_act`, which `hidden_activation` overrides.
            let is_overridden = key == "hidden_act" && self.family.adds_one_to_norms;
            let is_other = config.opt_text(key)?.is_some_and(|found| found != self.family.activation);
            if is_other && !is_overridden {
                return Err(config.unsupported(key));
            }
        }
        if self.family.is_encoder {
            if config.opt_text("position_embedding_type")?.is_some_and(|kind| kind != "absolute") {
                return Err(config.unsupported("position_embedding_type"));
            }
            for key in ["is_decoder", "add_cross_attention"] {
                if config.opt_flag(key)? == Some(true) {
                    return Err(config.unsupported(key));
                }
            }
        }
        if config.opt_number("swiglu_limit")?.is_some_and(|limit| limit != 7.0) {
            return Err(config.unsupported("swiglu_limit"));
        }
        if config.opt_count("decoder_sparse_step")?.is_some_and(|step| step != 1) {
            return Err(config.unsupported("decoder_sparse_step"));
        }
        if config.opt_list("mlp_only_layers")?.is_some_and(|layers| !layers.is_empty()) {
            return Err(config.unsupported("mlp_only_layers"));
        }
        match self.outer.opt_object("quantization_config")? {
            Some(quantised) if quantised.opt_text("quant_method")? == Some("mxfp4") => match self.family.model_type {
                "gpt_oss" => Ok(()),
                _ => Err(quantised.unsupported("quant_method")),
            },
            Some(quantised) => Err(quantised.unsupported("quant_method")),
            None => Ok(()),
        }
    }
}

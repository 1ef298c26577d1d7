//! A generated model as a Hugging Face directory: the same numbers under the names, and in the order, that transformers
//! expects.

use std::{fs, io, path::Path};

use half::bf16;
use serde_json::{Value, json};

use super::{
    Architecture, ModelSpec, ModelTokens,
    metadata::{ATTENTION_CAP, ENCODER_EPSILON, LINEAR_FACTOR, LOGIT_CAP, ORIGINAL_CONTEXT, TOKEN_TYPES, YARN_FACTOR},
    tensors,
    word_pieces::WordPieces,
};

mod names;

/// A tensor of the directory: rows of numbers, the slowest dimension first.
struct HfTensor {
    name: String,
    shape: Vec<usize>,
    values: Vec<f32>,
}

/// How a directory stores its tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HfStorage {
    /// One file, f32.
    F32,
    /// Two files and an index, bf16.
    ShardedBf16,
}

impl ModelSpec {
    /// Writes the directory. The matrices of the specification must be f32.
    ///
    /// # Panics
    /// If they are not.
    pub fn write_hugging_face(&self, folder: &Path, storage: HfStorage) -> io::Result<()> {
        fs::create_dir_all(folder)?;
        let mut tensors = Vec::new();
        for tensor in tensors::all(self) {
            tensors.extend(names::translate(self, &tensor.name, &tensor.shape, tensor.floats()?));
        }
        let tensors = names::join_gate_and_up(tensors);
        write_json(&folder.join("config.json"), &self.config_json())?;
        self.write_tokenizer(folder)?;
        match storage {
            HfStorage::F32 => fs::write(folder.join("model.safetensors"), safetensors(&tensors, storage)),
            HfStorage::ShardedBf16 => write_shards(folder, &tensors, storage),
        }
    }

    fn write_tokenizer(&self, folder: &Path) -> io::Result<()> {
        if self.architecture.is_encoder() {
            write_json(&folder.join("tokenizer.json"), &WordPieces::new(self.vocabulary).tokenizer_json())?;
            return write_json(&folder.join("tokenizer_config.json"), &WordPieces::settings_json());
        }
        write_json(&folder.join("tokenizer.json"), &ModelTokens::new(self.vocabulary).tokenizer_json())?;
        let end = ModelTokens::new(self.vocabulary).end();
        let template = self.chat_template.as_deref().map_or(Value::Null, Value::from);
        write_json(
            &folder.join("tokenizer_config.json"),
            &json!({ "chat_template": template, "eos_token": "<|im_end|>", "bos_token": "<|endoftext|>", "add_bos_token": false }),
        )?;
        write_json(&folder.join("generation_config.json"), &json!({ "eos_token_id": end }))
    }

    fn encoder_json(&self) -> Value {
        json!({
            "model_type": "bert",
            "architectures": ["BertModel"],
            "vocab_size": self.vocabulary,
            "hidden_size": self.hidden,
            "intermediate_size": self.feed_forward,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "max_position_embeddings": self.context,
            "type_vocab_size": TOKEN_TYPES,
            "position_embedding_type": "absolute",
            "layer_norm_eps": ENCODER_EPSILON,
            "hidden_act": "gelu",
            "pad_token_id": 0,
            "torch_dtype": "float32",
        })
    }

    fn config_json(&self) -> Value {
        if self.architecture.is_encoder() {
            return self.encoder_json();
        }
        let mut config = json!({
            "vocab_size": self.vocabulary,
            "hidden_size": self.hidden,
            "intermediate_size": self.feed_forward,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "head_dim": self.head_width,
            "max_position_embeddings": self.context,
            "rms_norm_eps": 1e-5,
            "rope_theta": 10_000.0,
            "tie_word_embeddings": self.tied,
            "hidden_act": "silu",
            "torch_dtype": "float32",
        });
        let more = self.peculiarities_json();
        if let (Some(config), Value::Object(more)) = (config.as_object_mut(), more) {
            config.extend(more);
        }
        config
    }

    fn peculiarities_json(&self) -> Value {
        let (experts, used) = self.experts.unwrap_or_default();
        let window = self.architecture.window();
        let scaled_query = self.head_width;
        match self.architecture {
            Architecture::Llama if self.experts.is_some() => json!({
                "model_type": "mixtral", "architectures": ["MixtralForCausalLM"],
                "num_local_experts": experts, "num_experts_per_tok": used,
            }),
            Architecture::Llama => json!({ "model_type": "llama", "architectures": ["LlamaForCausalLM"] }),
            Architecture::Mistral => {
                json!({ "model_type": "mistral", "architectures": ["MistralForCausalLM"], "sliding_window": window })
            }
            Architecture::Qwen2 => json!({ "model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"] }),
            Architecture::Qwen3 => json!({ "model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"] }),
            Architecture::Qwen3Moe => json!({
                "model_type": "qwen3_moe", "architectures": ["Qwen3MoeForCausalLM"],
                "num_experts": experts, "num_experts_per_tok": used, "moe_intermediate_size": self.feed_forward,
                "norm_topk_prob": true, "decoder_sparse_step": 1, "mlp_only_layers": [],
            }),
            Architecture::Gemma2 => json!({
                "model_type": "gemma2", "architectures": ["Gemma2ForCausalLM"],
                "hidden_activation": "gelu_pytorch_tanh", "query_pre_attn_scalar": scaled_query,
                "sliding_window": window, "attn_logit_softcapping": ATTENTION_CAP,
                "final_logit_softcapping": LOGIT_CAP,
            }),
            Architecture::Gemma3 => json!({
                "model_type": "gemma3_text", "architectures": ["Gemma3ForCausalLM"],
                "hidden_activation": "gelu_pytorch_tanh", "query_pre_attn_scalar": scaled_query,
                "sliding_window": window, "sliding_window_pattern": 6, "rope_local_base_freq": 10_000.0,
                "rope_scaling": { "rope_type": "linear", "factor": LINEAR_FACTOR },
            }),
            Architecture::Phi3 => json!({
                "model_type": "phi3", "architectures": ["Phi3ForCausalLM"], "pad_token_id": 0,
                "original_max_position_embeddings": ORIGINAL_CONTEXT,
                "rope_scaling": {
                    "type": "longrope",
                    "long_factor": self.numbers("rope_factors_long.weight"),
                    "short_factor": self.numbers("rope_factors_short.weight"),
                },
            }),
            Architecture::GptOss => json!({
                "model_type": "gpt_oss", "architectures": ["GptOssForCausalLM"],
                "num_local_experts": experts, "num_experts_per_tok": used, "sliding_window": window,
                "attention_bias": true, "swiglu_limit": 7.0,
                "rope_scaling": {
                    "rope_type": "yarn", "factor": YARN_FACTOR, "beta_fast": 32.0, "beta_slow": 1.0, "truncate": true,
                    "original_max_position_embeddings": ORIGINAL_CONTEXT,
                },
            }),
            Architecture::Bert => json!({}),
        }
    }

    /// The numbers of a small tensor.
    fn numbers(&self, name: &str) -> Vec<f32> {
        let tensor = tensors::all(self).into_iter().find(|tensor| tensor.name == name);
        tensor.and_then(|tensor| tensor.floats().ok()).unwrap_or_default()
    }
}

fn write_json(path: &Path, value: &Value) -> io::Result<()> {
    fs::write(path, value.to_string())
}

fn write_shards(folder: &Path, tensors: &[HfTensor], storage: HfStorage) -> io::Result<()> {
    let (first, second) = tensors.split_at(tensors.len() / 2);
    let mut map = serde_json::Map::new();
    for (index, shard) in [first, second].into_iter().enumerate() {
        let file = format!("model-{:05}-of-00002.safetensors", index + 1);
        shard.iter().for_each(|tensor| _ = map.insert(tensor.name.clone(), file.as_str().into()));
        fs::write(folder.join(file), safetensors(shard, storage))?;
    }
    write_json(&folder.join("model.safetensors.index.json"), &json!({ "metadata": {}, "weight_map": map }))
}

/// The bytes of a safetensors file: the length of the header, the header, the numbers.
fn safetensors(tensors: &[HfTensor], storage: HfStorage) -> Vec<u8> {
    let mut header = serde_json::Map::new();
    let mut data = Vec::new();
    for tensor in tensors {
        let start = data.len();
        match storage {
            HfStorage::F32 => data.extend(tensor.values.iter().flat_map(|value| value.to_le_bytes())),
            HfStorage::ShardedBf16 => {
                data.extend(tensor.values.iter().flat_map(|&value| bf16::from_f32(value).to_le_bytes()));
            }
        }
        let dtype = if storage == HfStorage::F32 { "F32" } else { "BF16" };
        let entry = json!({ "dtype": dtype, "shape": tensor.shape, "data_offsets": [start, data.len()] });
        header.insert(tensor.name.clone(), entry);
    }
    let mut header = Value::Object(header).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header);
    file.extend(data);
    file
}

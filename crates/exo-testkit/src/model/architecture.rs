//! What the files of each architecture have that those of plain Llama do not.

/// An architecture that models are generated for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    /// Llama 2 and 3; Mistral in GGUF files.
    Llama,
    /// Mistral as Hugging Face has it, with a window in every layer.
    Mistral,
    /// Qwen 2 and 2.5.
    Qwen2,
    /// Qwen 3.
    Qwen3,
    /// Qwen 3 with experts.
    Qwen3Moe,
    /// Gemma 2.
    Gemma2,
    /// Gemma 3.
    Gemma3,
    /// Phi 3 and 3.5.
    Phi3,
    /// gpt-oss.
    GptOss,
    /// BERT: an encoder.
    Bert,
}

impl Architecture {
    /// Every decoder.
    pub const DECODERS: [Self; 9] = [
        Self::Llama,
        Self::Mistral,
        Self::Qwen2,
        Self::Qwen3,
        Self::Qwen3Moe,
        Self::Gemma2,
        Self::Gemma3,
        Self::Phi3,
        Self::GptOss,
    ];

    /// Name in `general.architecture`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Mistral => "mistral",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
            Self::Qwen3Moe => "qwen3moe",
            Self::Gemma2 => "gemma2",
            Self::Gemma3 => "gemma3",
            Self::Phi3 => "phi3",
            Self::GptOss => "gpt-oss",
            Self::Bert => "bert",
        }
    }

    /// Layers of a small model that has every kind of layer.
    pub(super) fn layers(self) -> usize {
        // Every sixth layer of Gemma 3 is another.
        if self == Self::Gemma3 { 7 } else { 3 }
    }

    /// A window that a test's prompt is longer than.
    pub(super) fn window(self) -> Option<usize> {
        matches!(self, Self::Mistral | Self::Gemma2 | Self::Gemma3 | Self::GptOss).then_some(20)
    }

    /// How many experts, and how many of them a token uses.
    pub(super) fn experts(self) -> Option<(usize, usize)> {
        matches!(self, Self::Qwen3Moe | Self::GptOss).then_some((6, 2))
    }

    /// Whether every token sees the whole text.
    pub fn is_encoder(self) -> bool {
        self == Self::Bert
    }

    pub(super) fn is_gemma(self) -> bool {
        matches!(self, Self::Gemma2 | Self::Gemma3)
    }

    pub(super) fn has_input_biases(self) -> bool {
        matches!(self, Self::Qwen2 | Self::GptOss | Self::Bert)
    }

    pub(super) fn has_output_biases(self) -> bool {
        matches!(self, Self::GptOss | Self::Bert)
    }

    pub(super) fn has_head_norms(self) -> bool {
        matches!(self, Self::Qwen3 | Self::Qwen3Moe | Self::Gemma3)
    }

    pub(super) fn is_fused(self) -> bool {
        self == Self::Phi3
    }

    /// Name of the norm between attention and feed-forward network.
    pub(super) fn feed_forward_norm(self) -> &'static str {
        if self == Self::GptOss { "post_attention_norm" } else { "ffn_norm" }
    }
}

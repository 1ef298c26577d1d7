//! What llama.cpp and transformers computed for generated models, recorded so that tests need neither.
//!
//! `cargo xtask conformance engine --record` (with `--torch` for transformers) writes the files, the engine's tests read
//! them.

use exo_gguf::GgmlType;
use serde::{Deserialize, Serialize};

use crate::{AgreementBound, Architecture, ModelSpec};

/// A generated model that both engines compute.
#[derive(Debug, Clone)]
pub struct ReferenceCase {
    /// Name of the case and of its file.
    pub name: &'static str,
    /// The model.
    pub spec: ModelSpec,
}

/// Logits of a case after some of its tokens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReferenceLogits {
    /// The sequence.
    pub tokens: Vec<u32>,
    /// Indices into `tokens` after which the rows come.
    pub positions: Vec<usize>,
    /// One row of logits for each of `positions`.
    pub rows: Vec<Vec<f32>>,
}

/// The likeliest continuation of a sequence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReferenceContinuation {
    /// The sequence.
    pub tokens: Vec<u32>,
    /// What follows.
    pub continuation: Vec<u32>,
}

/// A text and the tokens that it becomes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReferenceText {
    /// The text.
    pub text: String,
    /// Its tokens, none added.
    pub tokens: Vec<u32>,
}

/// What transformers makes of a text with an encoder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReferenceEncoding {
    /// The text.
    pub text: String,
    /// Its tokens, with those that stand around it.
    pub tokens: Vec<u32>,
    /// Its vectors, of length one: of the mean of all states, of the first and of the last. Some are recorded only.
    pub vectors: Option<[Vec<f32>; 3]>,
}

impl ReferenceCase {
    /// Every format of matrices, then every shape and every architecture that llama.cpp knows.
    pub fn all() -> Vec<Self> {
        let format = |(name, dtype)| Self { name, spec: ModelSpec { matrices: dtype, embedding: dtype, ..base() } };
        let mut all: Vec<Self> = FORMATS.map(format).into();
        all.extend([
            Self { name: "tied", spec: ModelSpec { tied: true, ..base() } },
            Self { name: "rope_factors", spec: ModelSpec { rope_factors: true, ..base() } },
            Self { name: "wide_heads", spec: ModelSpec { heads: 4, kv_heads: 4, head_width: 96, ..base() } },
            Self { name: "mixtral", spec: ModelSpec { experts: Some((6, 2)), ..base() } },
        ]);
        // Llama is what the formats are compared with; Mistral has no name of its own in GGUF files.
        let is_new = |case: &Self| !matches!(case.spec.architecture, Architecture::Llama | Architecture::Mistral);
        all.extend(Self::architectures().into_iter().filter(is_new));
        all
    }

    /// A small f32 model of every decoder.
    pub fn architectures() -> Vec<Self> {
        Architecture::DECODERS.map(Self::of).into()
    }

    /// A small f32 encoder.
    pub fn encoder() -> Self {
        Self::of(Architecture::Bert)
    }

    fn of(architecture: Architecture) -> Self {
        Self { name: architecture.name(), spec: ModelSpec::of(architecture) }
    }

    /// The sequence that is computed: long enough for several blocks of every kernel, the same everywhere.
    pub fn tokens(&self) -> Vec<u32> {
        let vocabulary = self.spec.vocabulary as u32;
        (0..48_u32).map(|index| index.wrapping_mul(2_654_435_761) % vocabulary).collect()
    }

    /// How close logits must be.
    pub fn bound(&self) -> AgreementBound {
        AgreementBound::for_type(&self.spec.matrices.to_string())
    }
}

impl ReferenceLogits {
    /// Keeps some of the rows: both ways of computing, prefill and token by token, take part in them.
    pub fn sampled(tokens: Vec<u32>, rows: &[Vec<f32>]) -> Self {
        let last = tokens.len().saturating_sub(1);
        let positions = vec![0, last / 3, last / 2, last - 1, last];
        let rows = positions.iter().map(|position| rows[*position].clone()).collect();
        Self { tokens, positions, rows }
    }

    /// The same positions out of all rows of another engine.
    pub fn select(&self, rows: &[Vec<f32>]) -> Vec<Vec<f32>> {
        self.positions.iter().map(|position| rows[*position].clone()).collect()
    }
}

/// The types that matrices may have.
const FORMATS: [(&str, GgmlType); 16] = [
    ("f32", GgmlType::F32),
    ("f16", GgmlType::F16),
    ("bf16", GgmlType::BF16),
    ("q4_0", GgmlType::Q4_0),
    ("q4_1", GgmlType::Q4_1),
    ("q5_0", GgmlType::Q5_0),
    ("q5_1", GgmlType::Q5_1),
    ("q8_0", GgmlType::Q8_0),
    ("q2_k", GgmlType::Q2_K),
    ("q3_k", GgmlType::Q3_K),
    ("q4_k", GgmlType::Q4_K),
    ("q5_k", GgmlType::Q5_K),
    ("q6_k", GgmlType::Q6_K),
    ("iq4_nl", GgmlType::IQ4_NL),
    ("iq4_xs", GgmlType::IQ4_XS),
    ("mxfp4", GgmlType::MXFP4),
];

/// Wide enough for the K-quants, whose blocks have 256 numbers.
fn base() -> ModelSpec {
    ModelSpec { hidden: 256, heads: 4, kv_heads: 2, head_width: 64, feed_forward: 512, ..ModelSpec::default() }
}

/// Texts on which tokenizers differ: spaces, digits, scripts, marks that combine, things that look like control tokens.
pub const REFERENCE_TEXTS: [&str; 20] = [
    "What is exo?",
    "exo joins Linux machines into one cluster.",
    "  two spaces before, two behind  ",
    "tab\tnewline\nreturn\r\nblank\n\n\nlines",
    "1 12 123 1234 12345 3.14159 1e-5 0xff",
    "I'll, you've, it's, THEY'RE, don't, we'd",
    "snake_case camelCase kebab-case path/to/file.txt",
    "curl http://127.0.0.1:52415/v1/models | jq '.data[].id'",
    "services.exo = { enable = true; mode = \"auto\"; };",
    "Größe, façade, naïve, smörgåsbord, Ærø",
    "cafe\u{301} vs café",
    "Ελληνικά, русский, עברית, العربية",
    "日本語のテキスト、中文文本，한국어",
    "हिन्दी ไทย தமிழ்",
    "👍🏽 👩\u{200d}💻 🏳️\u{200d}🌈 🇩🇪",
    "≤ ≥ ± × ÷ ∑ √ ∞ “quotes” – dashes — …",
    "<|im_start|>user\nnot a control token<|im_end|>",
    "null\u{0}byte and \u{7f}delete and \u{a0}no-break",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "",
];

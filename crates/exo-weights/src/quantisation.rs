//! Quantisation while a model is read.

use std::fmt;
use std::str::FromStr;

use exo_gguf::GgmlType;

/// The type in which matrices that are stored as f32, f16 or bf16 are computed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantisation {
    /// 8 bits a weight and a scale for each 32: hardly different from the original.
    Q8_0,
    /// 4 bits a weight and a scale for each 32; embedding and head in Q8_0.
    Q4_0,
}

/// Matrices of a layer; routers, norms and biases stay as they are.
const MATRICES: [&str; 8] = ["attn_q", "attn_k", "attn_v", "attn_qkv", "attn_output", "ffn_gate", "ffn_up", "ffn_down"];

impl Quantisation {
    /// As it is written in the configuration: `Q8_0`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Q8_0 => "Q8_0",
            Self::Q4_0 => "Q4_0",
        }
    }

    /// The type of a tensor afterwards.
    pub(crate) fn type_of(self, name: &str, shape: &[usize], stored: GgmlType) -> GgmlType {
        let is_float = matches!(stored, GgmlType::F32 | GgmlType::F16 | GgmlType::BF16);
        let wanted = match self {
            _ if !is_float => return stored,
            _ if matches!(name, "token_embd.weight" | "output.weight") => GgmlType::Q8_0,
            _ if !is_matrix_of_layer(name) => return stored,
            Self::Q8_0 => GgmlType::Q8_0,
            Self::Q4_0 => GgmlType::Q4_0,
        };
        let is_whole = shape.first().is_some_and(|&row| row.is_multiple_of(wanted.block_elements()));
        if is_whole && shape.len() > 1 { wanted } else { stored }
    }
}

/// `blk.N.MATRIX.weight`, `blk.N.MATRIX_exps.weight` or `blk.N.MATRIX.EXPERT.weight`.
fn is_matrix_of_layer(name: &str) -> bool {
    let mut parts = name.split('.').skip(2);
    let stem = parts.next().unwrap_or_default();
    name.starts_with("blk.")
        && name.ends_with(".weight")
        && MATRICES.contains(&stem.strip_suffix("_exps").unwrap_or(stem))
}

impl FromStr for Quantisation {
    type Err = UnknownQuantisation;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let known = [Self::Q8_0, Self::Q4_0].into_iter().find(|known| known.name() == name);
        known.ok_or_else(|| UnknownQuantisation(name.chars().take(32).collect()))
    }
}

impl fmt::Display for Quantisation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that stands for no quantisation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("models cannot be quantised as {0:?} while they are loaded; known are Q8_0 and Q4_0")]
pub struct UnknownQuantisation(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matrices_are_quantised_and_nothing_else() {
        let check = |name: &str, shape: &[usize], expect: GgmlType| {
            assert_eq!(Quantisation::Q4_0.type_of(name, shape, GgmlType::BF16), expect, "{name}");
        };
        check("blk.0.attn_q.weight", &[64, 8], GgmlType::Q4_0);
        check("blk.12.ffn_up_exps.weight", &[64, 8, 4], GgmlType::Q4_0);
        check("blk.0.ffn_down.31.weight", &[64, 8], GgmlType::Q4_0);
        check("token_embd.weight", &[64, 8], GgmlType::Q8_0);
        check("output.weight", &[64, 8], GgmlType::Q8_0);
        check("blk.0.attn_q.weight", &[40, 8], GgmlType::BF16);
        check("blk.0.attn_q.bias", &[64], GgmlType::BF16);
        check("blk.0.attn_norm.weight", &[64], GgmlType::BF16);
        check("blk.0.ffn_gate_inp.weight", &[64, 8], GgmlType::BF16);
        check("rope_freqs.weight", &[64], GgmlType::BF16);
        let stored = Quantisation::Q4_0.type_of("blk.0.attn_q.weight", &[64, 8], GgmlType::Q6_K);
        assert_eq!(stored, GgmlType::Q6_K, "what is quantised stays");
    }

    #[test]
    fn names_lead_back() {
        assert_eq!("Q8_0".parse(), Ok(Quantisation::Q8_0));
        assert_eq!(Quantisation::Q4_0.to_string().parse(), Ok(Quantisation::Q4_0));
        assert!("Q5_0".parse::<Quantisation>().is_err());
    }
}

//! How far the logits of two engines are apart, and how far they may be.

use std::fmt;

/// Difference between rows of logits and those of a reference.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Agreement {
    /// Largest difference of a logit, as a share of its row's range in the reference.
    pub difference: f32,
    /// Mean Kullback–Leibler divergence of the distributions from the reference's, in nats a row.
    pub divergence: f32,
    /// Share of rows whose likeliest token is the same.
    pub same_likeliest: f32,
}

/// What an [`Agreement`] must reach.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AgreementBound {
    /// Most that [`Agreement::difference`] may be.
    pub difference: f32,
    /// Most that [`Agreement::divergence`] may be.
    pub divergence: f32,
    /// Least that [`Agreement::same_likeliest`] may be.
    pub same_likeliest: f32,
}

impl Agreement {
    /// Compares row by row.
    ///
    /// # Panics
    /// If the numbers of rows or the widths of the rows differ: that is no matter of degree.
    pub fn between(rows: &[Vec<f32>], reference: &[Vec<f32>]) -> Self {
        assert_eq!(rows.len(), reference.len(), "numbers of rows");
        let pairs = || rows.iter().zip(reference).inspect(|(row, other)| assert_eq!(row.len(), other.len(), "widths"));
        let count = reference.len().max(1) as f32;
        Self {
            difference: pairs().map(|(row, reference)| difference(row, reference)).fold(0.0, worse),
            divergence: pairs().map(|(row, reference)| divergence(row, reference)).sum::<f32>() / count,
            same_likeliest: pairs().filter(|(row, other)| likeliest(row) == likeliest(other)).count() as f32 / count,
        }
    }

    /// Whether the bound is kept; a NaN keeps none.
    pub fn keeps(&self, bound: &AgreementBound) -> bool {
        self.difference <= bound.difference
            && self.divergence <= bound.divergence
            && self.same_likeliest >= bound.same_likeliest
    }
}

/// Most that the vector of a text may be [apart](distance) from that of transformers.
pub const VECTOR_BOUND: f32 = 1e-3;

/// How far a vector is from a reference, as a share of the reference's length.
///
/// # Panics
/// If their widths differ.
pub fn distance(vector: &[f32], reference: &[f32]) -> f32 {
    assert_eq!(vector.len(), reference.len(), "widths");
    let length =
        |values: &mut dyn Iterator<Item = f32>| values.map(|value| f64::from(value).powi(2)).sum::<f64>().sqrt();
    let apart = length(&mut vector.iter().zip(reference).map(|(left, right)| left - right));
    (apart / length(&mut reference.iter().copied())) as f32
}

impl AgreementBound {
    /// The bound for f32 models against transformers: keys and values are rounded to halves here and not there.
    pub const WITH_TORCH: Self = Self { difference: 1e-3, divergence: 1e-4, same_likeliest: 0.9 };

    /// The bound for a model whose matrices have this type, named as in GGUF (`Q4_0`, `BF16`).
    ///
    /// What the engines do differently sets it: both round activations to 8 bits before quantised products, over
    /// blocks that need not be the same; bf16 and f16 activations are rounded by one engine and not by the other.
    pub fn for_type(name: &str) -> Self {
        let (difference, divergence, same_likeliest) = match name.to_ascii_uppercase().as_str() {
            "F32" => (0.002, 1e-5, 0.9),
            "F16" => (0.005, 1e-4, 0.9),
            "BF16" => (0.02, 1e-3, 0.9),
            // llama.cpp rounds activations over blocks of 256 before products with these; of tokens that are nearly as
            // likely another may then come first.
            "Q2_K" | "Q3_K" | "Q4_K" | "Q5_K" | "Q6_K" | "IQ4_XS" => (0.04, 1e-2, 0.8),
            _ => (0.03, 3e-3, 0.9),
        };
        Self { difference, divergence, same_likeliest }
    }
}

impl fmt::Display for Agreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { difference, divergence, same_likeliest } = self;
        write!(f, "difference {difference:.5}, divergence {divergence:.2e}, same likeliest {same_likeliest:.3}")
    }
}

/// The larger of two, or NaN where one is: `f32::max` would hide it.
fn worse(left: f32, right: f32) -> f32 {
    if left.is_nan() || left >= right { left } else { right }
}

fn difference(row: &[f32], reference: &[f32]) -> f32 {
    let largest = reference.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let smallest = reference.iter().copied().fold(f32::INFINITY, f32::min);
    let apart = row.iter().zip(reference).map(|(left, right)| (left - right).abs()).fold(0.0, worse);
    apart / (largest - smallest)
}

fn divergence(row: &[f32], reference: &[f32]) -> f32 {
    let (row, reference) = (log_softmax(row), log_softmax(reference));
    let terms = reference.iter().zip(&row).map(|(reference, row)| reference.exp() * (reference - row));
    let divergence = terms.sum::<f64>() as f32;
    // Never negative but for rounding.
    if divergence < 0.0 { 0.0 } else { divergence }
}

fn log_softmax(row: &[f32]) -> Vec<f64> {
    let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let shifted = |value: &f32| f64::from(value - largest);
    let log_sum = row.iter().map(|value| shifted(value).exp()).sum::<f64>().ln();
    row.iter().map(|value| shifted(value) - log_sum).collect()
}

fn likeliest(row: &[f32]) -> usize {
    (0..row.len()).fold(0, |best, index| if row[index] > row[best] { index } else { best })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agreement(row: &[f32], reference: &[f32]) -> Agreement {
        Agreement::between(&[row.to_vec()], &[reference.to_vec()])
    }

    #[test]
    fn equal_rows_agree_wholly() {
        let equal = agreement(&[1.0, 2.0, 3.0], &[1.0, 2.0, 3.0]);
        assert_eq!(equal, Agreement { difference: 0.0, divergence: 0.0, same_likeliest: 1.0 });
        assert!(equal.keeps(&AgreementBound::for_type("F32")));
    }

    #[test]
    fn a_difference_counts_as_a_share_of_the_range() {
        let apart = agreement(&[0.0, 2.5, 4.0], &[0.0, 2.0, 4.0]);
        assert!((apart.difference - 0.125).abs() < 1e-6, "{apart}");
        assert!(apart.divergence > 0.0 && apart.same_likeliest > 0.9, "{apart}");
        assert!(!apart.keeps(&AgreementBound::for_type("Q4_0")));
    }

    #[test]
    fn a_distance_is_a_share_of_the_references_length() {
        assert_eq!(distance(&[3.0, 4.0], &[3.0, 4.0]), 0.0);
        assert_eq!(distance(&[0.0, 4.0], &[0.0, 2.0]), 1.0);
        assert!(distance(&[f32::NAN, 4.0], &[0.0, 2.0]).is_nan());
    }

    #[test]
    fn nan_keeps_no_bound() {
        for row in [[f32::NAN, 1.0], [1.0, f32::NAN]] {
            assert!(!agreement(&row, &[0.0, 1.0]).keeps(&AgreementBound::for_type("Q4_0")), "{row:?}");
        }
    }
}

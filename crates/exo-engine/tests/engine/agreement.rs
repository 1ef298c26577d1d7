//! Logits of every instruction set against the reference.

use exo_engine::EngineOptions;
use exo_gguf::{GgmlType, GgufFile};
use exo_kernels::Isa;
use exo_testkit::ModelSpec;

use crate::{
    reference::Reference,
    support::{load, logits, options, tokens, write},
};

/// Largest difference as a share of the spread of the reference's logits.
fn worst(got: &[Vec<f32>], expected: &[Vec<f32>]) -> f32 {
    assert_eq!(got.len(), expected.len());
    let rows = got.iter().zip(expected).map(|(got, expected)| {
        assert_eq!(got.len(), expected.len());
        let mean = expected.iter().sum::<f32>() / expected.len() as f32;
        let spread = (expected.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / expected.len() as f32).sqrt();
        got.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / spread
    });
    rows.fold(0.0, f32::max)
}

fn check(spec: &ModelSpec, bound: f32) {
    let model = write(spec);
    let file = GgufFile::open(&model.path()).expect("a valid file");
    let prompt = tokens(3, 40);
    let expected = Reference::new(spec, &file).logits(&prompt);
    for isa in Isa::available() {
        let mut engine = load(&model, &EngineOptions { isa: Some(isa), ..options() });
        let worst = worst(&logits(&mut engine, &prompt), &expected);
        assert!(worst < bound, "{isa}: {worst} of {bound} with {spec:?}");
    }
}

/// Activations are rounded to bytes beside quantised weights, to bf16 beside bf16 ones, and keys and values to
/// halves: the bounds are what that costs, as measured, times two to four.
#[test]
fn every_format_agrees_with_the_reference() {
    for (format, bound) in [
        (GgmlType::F32, 0.003),
        (GgmlType::F16, 0.003),
        (GgmlType::BF16, 0.04),
        (GgmlType::Q8_0, 0.15),
        (GgmlType::Q4_0, 0.15),
        (GgmlType::Q4_K, 0.2),
        (GgmlType::Q6_K, 0.15),
        (GgmlType::Q4_1, 0.15),
        (GgmlType::Q5_0, 0.15),
        (GgmlType::Q5_1, 0.15),
        (GgmlType::Q2_K, 0.2),
        (GgmlType::Q3_K, 0.15),
        (GgmlType::Q5_K, 0.15),
        (GgmlType::IQ4_NL, 0.15),
        (GgmlType::IQ4_XS, 0.15),
        (GgmlType::MXFP4, 0.15),
    ] {
        let wide = ModelSpec { hidden: 256, heads: 8, matrices: format, embedding: format, ..ModelSpec::default() };
        check(&wide, bound);
    }
}

#[test]
fn every_shape_agrees_with_the_reference() {
    let spec = ModelSpec::default;
    for shape in [
        ModelSpec { kv_heads: 4, ..spec() },
        ModelSpec { heads: 8, kv_heads: 1, ..spec() },
        ModelSpec { heads: 8, kv_heads: 2, head_width: 16, ..spec() },
        ModelSpec { heads: 2, kv_heads: 2, head_width: 64, ..spec() },
        ModelSpec { heads: 4, kv_heads: 1, head_width: 128, ..spec() },
        ModelSpec { tied: true, ..spec() },
        ModelSpec { rope_factors: true, ..spec() },
        ModelSpec { layers: 1, vocabulary: 267, feed_forward: 96, ..spec() },
    ] {
        check(&shape, 0.003);
    }
}

#[test]
fn formats_may_be_mixed_in_one_file() {
    let spec = ModelSpec { hidden: 256, heads: 8, ..ModelSpec::default() };
    check(&ModelSpec { matrices: GgmlType::Q4_0, embedding: GgmlType::Q6_K, tied: true, ..spec.clone() }, 0.25);
    check(&ModelSpec { matrices: GgmlType::Q8_0, embedding: GgmlType::F16, ..spec.clone() }, 0.25);
    check(&ModelSpec { matrices: GgmlType::BF16, embedding: GgmlType::Q4_K, ..spec }, 0.25);
}

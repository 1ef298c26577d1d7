//! Blocks of random bytes against what the `gguf` package of Python (0.19) reads in them.

use exo_gguf::{GgmlType, dequantize, quantize};
use proptest::prelude::*;
use serde_json::Value;

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal");
    (0..hex.len()).step_by(2).map(digit).collect()
}

#[test]
fn every_type_is_read_as_the_gguf_package_reads_it() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("vectors/dequantize.json")).expect("JSON");
    assert_eq!(cases.len(), 13);
    for case in cases {
        let name = case["type"].as_str().expect("a name");
        let dtype = GgmlType::all().find(|dtype| dtype.name() == name).expect("a known type");
        let values = dequantize::to_vec(dtype, &bytes(case["bytes"].as_str().expect("bytes")));
        let wanted: Vec<f32> = serde_json::from_value(case["values"].clone()).expect("numbers");
        assert_eq!(values.len(), wanted.len(), "{name}");
        for (i, (value, wanted)) in values.iter().zip(&wanted).enumerate() {
            // The order of multiplications differs: two roundings.
            assert!((value - wanted).abs() <= 3e-7 * wanted.abs().max(0.37), "{name} {i}: {value}, not {wanted}");
        }
    }
}

fn any_quantised() -> impl Strategy<Value = GgmlType> {
    let types: Vec<_> = GgmlType::all().filter(|&dtype| quantize::supports(dtype)).collect();
    prop::sample::select(types)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_stands_in_a_block_is_read_without_panic(
        dtype in any_quantised(), seed in prop::array::uniform32(any::<u8>()),
    ) {
        let bytes: Vec<u8> = seed.iter().copied().cycle().take(dtype.block_bytes() * 2).collect();
        prop_assert_eq!(dequantize::to_vec(dtype, &bytes).len(), dtype.block_elements() * 2);
    }

    #[test]
    fn what_is_written_stays_within_its_range(
        dtype in any_quantised(), values in prop::collection::vec(-1e3f32..1e3, 256),
    ) {
        let largest = values.iter().fold(0.0f32, |most, value| most.max(value.abs()));
        let read = dequantize::to_vec(dtype, &quantize::to_vec(dtype, &values));
        prop_assert!(read.iter().all(|value| value.abs() <= 2.1 * largest + 1e-3), "{} of {}", dtype, largest);
    }
}

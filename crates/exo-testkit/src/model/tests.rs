use exo_gguf::{GgufFile, dequantize, quantize};

use super::*;

fn spec(format: GgmlType) -> ModelSpec {
    ModelSpec { hidden: 256, heads: 8, matrices: format, embedding: format, ..ModelSpec::default() }
}

#[test]
fn one_spec_gives_one_file() {
    let bytes = |seed| ModelSpec { seed, ..spec(GgmlType::Q4_0) }.writer().to_bytes().expect("writes");
    assert_eq!(bytes(1), bytes(1));
    assert_ne!(bytes(1), bytes(2));
}

#[test]
fn weights_have_the_same_size_in_every_format() {
    for format in GgmlType::all().filter(|&format| quantize::supports(format)) {
        let bytes = spec(format).writer().to_bytes().expect("writes");
        let file = GgufFile::from_bytes("model.gguf".as_ref(), bytes).expect("a valid file");
        let down = file.tensor("blk.1.ffn_down.weight").expect("there");
        let values = dequantize::to_vec(down.dtype, down.bytes);
        let mean = values.iter().sum::<f32>() / values.len() as f32;
        let deviation = (values.iter().map(|value| value * value).sum::<f32>() / values.len() as f32).sqrt();
        assert!(mean.abs() < 0.01, "{format}: mean {mean}");
        assert!((0.8..1.3).contains(&(deviation * 16.0)), "{format}: deviation {deviation} for 256 inputs");
    }
}

#[test]
fn a_temporary_model_goes_with_its_handle() {
    let model = ModelSpec::default().write_temporary().expect("writes");
    let path = model.path();
    assert!(path.exists());
    drop(model);
    assert!(!path.exists());
}

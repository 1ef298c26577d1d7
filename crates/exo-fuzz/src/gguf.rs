//! A GGUF file, and the card of a model that is made of it.

use exo_gguf::{GgufFile, dequantize};
use exo_types::{KvFormat, ModelId};
use exo_weights::ModelFiles;
use std::path::Path;

/// Checks the header, then reads what it says there is.
pub(crate) fn run(bytes: &[u8]) {
    let Ok(file) = GgufFile::from_bytes(Path::new("f.gguf"), bytes.to_vec()) else { return };
    for (key, _) in file.metadata().iter() {
        let metadata = file.metadata();
        let _ = (metadata.opt_u32(key), metadata.opt_strings(key), metadata.opt_str(key));
    }
    for tensor in file.tensors() {
        let elements: usize = tensor.shape.iter().product();
        assert_eq!(tensor.dtype.bytes_of(elements), Some(tensor.bytes.len()), "{}", tensor.name);
        if dequantize::supports(tensor.dtype) {
            assert_eq!(dequantize::to_vec(tensor.dtype, tensor.bytes).len(), elements, "{}", tensor.name);
        }
    }
    let files = ModelFiles::from(file);
    let _ = exo_models::card(ModelId::new("f").expect("a good id"), &files, KvFormat::Q8);
}

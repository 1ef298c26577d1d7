//! A safetensors file.

use exo_gguf::safetensors::SafetensorsFile;
use std::path::Path;

/// As it is, and with a length before the header that is right.
pub(crate) fn run(bytes: &[u8]) {
    read(bytes.to_vec());
    // Behind the header, which ends with the last bracket, stand the numbers.
    let end = bytes.iter().rposition(|byte| *byte == b'}').map_or(0, |at| at + 1);
    read([&(end as u64).to_le_bytes(), bytes].concat());
}

fn read(bytes: Vec<u8>) {
    let Ok(file) = SafetensorsFile::from_bytes(Path::new("f.safetensors"), bytes) else { return };
    for tensor in file.tensors() {
        let elements: u64 = tensor.shape.iter().map(|&size| size as u64).product();
        assert_eq!(elements * tensor.element.bytes(), tensor.bytes.len() as u64, "{}", tensor.name);
        assert!(file.tensor(tensor.name).is_some(), "{}", tensor.name);
    }
}

//! safetensors files that lie: every answer is an error that names the tensor, never a panic.

use std::path::Path;

use exo_gguf::GgmlType;
use exo_gguf::safetensors::{SafetensorsError, SafetensorsFile, SafetensorsProblem};
use proptest::prelude::*;

const HEADER: &str = r#"{"__metadata__":{"format":"pt"},
    "b":{"dtype":"BF16","shape":[2,3],"data_offsets":[4,16]},
    "a":{"dtype":"F32","shape":[],"data_offsets":[0,4]},
    "none":{"dtype":"F16","shape":[0,7],"data_offsets":[16,16]}}"#;

fn file(header: &str, numbers: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.extend((0..numbers).map(|at| at as u8));
    bytes
}

fn open(bytes: Vec<u8>) -> Result<SafetensorsFile, SafetensorsError> {
    SafetensorsFile::from_bytes(Path::new("hostile.safetensors"), bytes)
}

#[track_caller]
fn refused(bytes: Vec<u8>, expect: &str) {
    let error = open(bytes).expect_err("it lies").to_string();
    assert!(error.contains(expect) && error.starts_with("hostile.safetensors: "), "{error}");
}

#[test]
fn what_stands_in_the_header_is_read() {
    let file = open(file(HEADER, 16)).expect("valid");
    let b = file.tensor("b").expect("there");
    assert_eq!((b.element.as_float(), b.shape), (Some(GgmlType::BF16), [2, 3].as_slice()));
    assert_eq!(b.bytes, [4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
    assert_eq!((file.tensor("a").expect("there").shape, file.tensor("a").expect("there").bytes.len()), (&[][..], 4));
    assert_eq!(file.tensors().map(|tensor| tensor.name).collect::<Vec<_>>(), ["a", "b", "none"]);
    assert!(file.tensor("__metadata__").is_none());
}

#[test]
fn a_mapped_file_can_be_advised() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("m.safetensors");
    std::fs::write(&path, file(HEADER, 16)).expect("writes");
    let file = SafetensorsFile::open(&path).expect("valid");
    let b = file.tensor("b").expect("there");
    file.prefetch(b.bytes);
    file.release(b.bytes);
    file.release(&[1, 2, 3]);
    assert_eq!((b.bytes[0], file.path()), (4, path.as_path()));
    let missing = SafetensorsFile::open(&folder.path().join("x")).expect_err("absent");
    assert!(matches!(missing.problem, SafetensorsProblem::Io(_)), "{missing}");
}

#[test]
fn a_header_that_lies_is_refused_with_its_numbers() {
    refused(vec![1; 7], "has 7 bytes");
    refused(u64::MAX.to_le_bytes().to_vec(), "claims a header of 18446744073709551615 bytes, at most 0");
    refused(file("[]", 0), "broken header");
    refused(file("{\"a\":1}", 0), "broken header");
    refused(file(&HEADER[1..], 16), "broken header");
    let with = |from: &str, to: &str| file(&HEADER.replace(from, to), 16);
    refused(with("BF16", "Q4"), "tensor \"b\" has the type \"Q4\"");
    refused(with("[2,3]", "[2,4]"), "\"b\" lies at 4 to 16, but its shape needs 16 bytes");
    refused(with("[2,3]", "[4294967296,4294967296]"), "whose size overflows");
    refused(with("[2,3]", "[-1]"), "broken header");
    refused(with("[4,16]", "[8,16]"), "\"b\" begins at 8, the one before it ends at 4");
    refused(with("[4,16]", "[2,16]"), "\"b\" begins at 2, the one before it ends at 4");
    refused(with("[4,16]", "[4,2]"), "\"b\" begins at 4");
    refused(with("[16,16]", "[16,18446744073709551615]"), "end at 18446744073709551615");
    refused(with("\"none\"", "\"a\""), "tensor \"a\" stands in the file twice");
    refused(file(HEADER, 15), "end at 16, but the file has 15");
    refused(file(HEADER, 17), "end at 16, but the file has 17");
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = open(bytes);
    }

    /// A file with some bytes changed is refused, or has the tensors that its header says, each inside the file.
    #[test]
    fn changed_bytes_never_lead_out_of_the_file(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in 0usize..40,
    ) {
        let mut bytes = file(HEADER, 16);
        for (index, byte) in changes {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(bytes.len() - cut);
        if let Ok(file) = open(bytes) {
            for tensor in file.tensors() {
                let needed = tensor.shape.iter().product::<usize>() as u64 * tensor.element.bytes();
                prop_assert_eq!(tensor.bytes.len() as u64, needed);
            }
        }
    }

    /// Headers of the right form with any numbers in them.
    #[test]
    fn any_numbers_are_checked(
        shape in prop::collection::vec(any::<u64>(), 0..4),
        offsets in any::<[u64; 2]>(),
        small in any::<bool>(),
    ) {
        let [start, end] = offsets.map(|offset| if small { offset % 40 } else { offset });
        let header = format!("{{\"t\":{{\"dtype\":\"F32\",\"shape\":{shape:?},\"data_offsets\":[{start},{end}]}}}}");
        let file = open(file(&header, 32));
        let needed = shape.iter().try_fold(4u64, |product, &n| product.checked_mul(n));
        prop_assert_eq!(file.is_ok(), start == 0 && end == 32 && needed == Some(32));
    }
}

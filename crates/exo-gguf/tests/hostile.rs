//! Files that lie: every answer is an error that names the field, never a panic, and never more memory than the file
//! can explain.

#![expect(unsafe_code, reason = "an allocator that counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::path::Path;

use exo_gguf::{Array, GgmlType, GgufError, GgufFile, GgufWriter, Problem, Value};
use proptest::prelude::*;

thread_local! {
    /// Bytes that this thread holds, and the most that it held.
    static HELD: Cell<(isize, isize)> = const { Cell::new((0, 0)) };
}

/// Counts what each thread holds.
struct Counting;

// SAFETY: passes everything on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    // SAFETY: the trait's contract, passed on.
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }

    // SAFETY: the trait's contract, passed on.
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

fn count(bytes: isize) {
    // A thread that is ending has no counter any more, and nobody asks for it.
    let _ = HELD.try_with(|held| {
        let (now, most) = held.get();
        held.set((now + bytes, most.max(now + bytes)));
    });
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most that a file of `size` bytes may take: the largest element (a nested array of 12 bytes) grows to 32, a vector
/// that grows may hold twice what it needs and its old half, and a map's nodes are half empty.
fn allowed(size: usize) -> isize {
    (16 * size + 16_384).cast_signed()
}

fn open(bytes: &[u8]) -> Result<GgufFile, GgufError> {
    let owned = bytes.to_vec();
    let before = HELD.get().0;
    HELD.set((before, before));
    let result = GgufFile::from_bytes(Path::new("hostile.gguf"), owned);
    let most = HELD.get().1 - before;
    assert!(most <= allowed(bytes.len()), "{} bytes took {most}", bytes.len());
    result
}

fn writer() -> GgufWriter<'static> {
    let mut writer = GgufWriter::new();
    writer.set("general.architecture", "llama").set("llama.block_count", 2u32).set("flag", true);
    writer.set("tokens", ["a", "bc", ""].as_slice()).set("scores", vec![0.5f32, -1.0, 2.0]);
    writer.set("nested", Value::Array(Array::Array(vec![Array::U8(vec![1, 2]), Array::I64(vec![-1])])));
    writer.tensor("weight", GgmlType::Q8_0, &[64, 3], vec![7u8; 204]);
    writer.tensor("norm", GgmlType::F32, &[5], vec![1u8; 20]);
    writer
}

fn valid() -> Vec<u8> {
    writer().to_bytes().expect("sizes fit")
}

/// Where a needle starts in the valid file.
fn find(bytes: &[u8], needle: &[u8]) -> usize {
    bytes.windows(needle.len()).position(|window| window == needle).expect("the file has it")
}

/// Overwrites bytes `at` and gives the complaint.
fn complaint(at: usize, with: &[u8]) -> String {
    let mut bytes = valid();
    bytes[at..at + with.len()].copy_from_slice(with);
    open(&bytes).expect_err("it lies").to_string()
}

#[track_caller]
fn check(at: usize, with: &[u8], expect: &str) {
    let found = complaint(at, with);
    assert!(found.contains(expect) && found.starts_with("hostile.gguf: "), "{found}");
}

#[test]
fn what_was_written_is_read() {
    let bytes = valid();
    let file = open(&bytes).expect("valid");
    let metadata = file.metadata();
    assert_eq!(metadata.str("general.architecture").expect("there"), "llama");
    assert_eq!(metadata.u32("llama.block_count").expect("there"), 2);
    assert!(metadata.bool("flag").expect("there"));
    assert_eq!(metadata.strings("tokens").expect("there"), ["a", "bc", ""]);
    assert_eq!(metadata.f32s("scores").expect("there"), [0.5, -1.0, 2.0]);
    let weight = file.tensor("weight").expect("there");
    assert_eq!(
        (weight.dtype, weight.shape, weight.rows(), weight.row_bytes()),
        (GgmlType::Q8_0, [64, 3].as_slice(), 3, 68)
    );
    assert_eq!(weight.bytes, [7; 204]);
    assert_eq!(file.tensor("norm").expect("there").bytes, [1; 20]);
    assert_eq!(file.tensors().map(|tensor| tensor.name).collect::<Vec<_>>(), ["norm", "weight"]);
    assert!(matches!(file.tensor("bias").expect_err("absent").problem, Problem::MissingTensor { .. }));
}

#[test]
fn a_written_file_is_whole_mapped_and_can_be_advised() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("m.gguf");
    writer().write(&path).expect("written");
    let file = GgufFile::open(&path).expect("valid");
    let weight = file.tensor("weight").expect("there");
    file.prefetch(weight.bytes);
    file.prefetch(&weight.bytes[34..68]);
    file.release(weight.bytes);
    assert_eq!(weight.bytes, [7; 204]);
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 1, "no part file is left");
    let mut wrong = GgufWriter::new();
    wrong.tensor("short", GgmlType::F32, &[5], vec![0u8; 19]);
    wrong.write(&folder.path().join("w.gguf")).expect_err("one byte short");
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 1, "nothing half-written stays");
}

#[test]
fn each_lie_gets_its_error() {
    let bytes = valid();
    check(0, b"GGML", "instead of \"GGUF\"");
    check(4, &1u32.to_le_bytes(), "version 1");
    check(4, &3u32.to_be_bytes(), "big-endian");
    check(8, &u64::MAX.to_le_bytes(), "18446744073709551615 tensors");
    check(16, &(1u64 << 40).to_le_bytes(), "1099511627776 metadata entries");
    let key = find(&bytes, b"llama.block_count");
    check(key - 8, &70_000u64.to_le_bytes(), "the key of metadata entry 1 is 70000 bytes long");
    check(key, &[0xff], "not valid UTF-8");
    check(key + 17, &77u32.to_le_bytes(), "value type 77");
    check(find(&bytes, b"flag") + 8, &[2], "the boolean 2");
    let tokens = find(&bytes, b"tokens");
    check(tokens + 14, &u64::MAX.to_le_bytes(), "elements of metadata \"tokens\"");
    check(tokens + 22, &(1u64 << 60).to_le_bytes(), "metadata \"tokens\"");
    let weight = find(&bytes, b"weight");
    check(weight - 8, &65u64.to_le_bytes(), "the name of tensor 0 is 65 bytes long");
    check(weight + 6, &5u32.to_le_bytes(), "1 to 4 dimensions");
    check(weight + 10, &0u64.to_le_bytes(), "dimensions above zero");
    check(weight + 10, &33u64.to_le_bytes(), "needs a multiple of 32");
    check(weight + 10, &(1u64 << 62).to_le_bytes(), "overflows");
    check(weight + 18, &4096u64.to_le_bytes(), "the file has");
    check(weight + 26, &99u32.to_le_bytes(), "type number 99");
    check(weight + 30, &7u64.to_le_bytes(), "no multiple of the alignment 32");
    check(weight + 30, &(u64::MAX - 31).to_le_bytes(), "tensor \"weight\" needs bytes");
}

#[test]
fn names_stand_once_and_alignment_is_a_power_of_two() {
    let refuse =
        |writer: GgufWriter<'_>| open(&writer.to_bytes().expect("sizes fit")).expect_err("it lies").to_string();
    let mut twice = GgufWriter::new();
    twice.set("k", 1u32).set("k", 2u32);
    assert!(refuse(twice).contains("metadata \"k\" stands in the file twice"));
    let mut twice = GgufWriter::new();
    twice.tensor("t", GgmlType::F32, &[1], [0; 4]).tensor("t", GgmlType::F32, &[1], [0; 4]);
    assert!(refuse(twice).contains("tensor \"t\" stands in the file twice"));
    let mut odd = GgufWriter::new();
    odd.set("general.alignment", 24u32);
    assert!(refuse(odd).contains("general.alignment is 24"));
    let mut nested = Array::U8(vec![0]);
    for _ in 0..5 {
        nested = Array::Array(vec![nested]);
    }
    let mut deep = GgufWriter::new();
    deep.set("deep", Value::Array(nested));
    assert!(refuse(deep).contains("nests arrays deeper than 4"));
}

#[test]
fn every_truncation_is_an_error() {
    let bytes = valid();
    // The last tensor's padding is no part of any tensor.
    for end in 0..bytes.len() - 12 {
        open(&bytes[..end]).expect_err("truncated");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), header in any::<bool>()) {
        let mut file = if header { b"GGUF\x03\x00\x00\x00".to_vec() } else { Vec::new() };
        file.extend(bytes);
        let _ = open(&file);
    }

    #[test]
    fn mutated_files_never_panic_and_their_tensors_lie_inside(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        words in proptest::collection::vec((any::<prop::sample::Index>(), any::<u64>(), 0u32..64), 0..3),
    ) {
        let mut bytes = valid();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        for (at, word, shift) in words {
            let at = at.index(bytes.len() - 8);
            bytes[at..at + 8].copy_from_slice(&(word >> shift).to_le_bytes());
        }
        if let Ok(file) = open(&bytes) {
            for tensor in file.tensors() {
                let elements: usize = tensor.shape.iter().product();
                prop_assert_eq!(tensor.dtype.bytes_of(elements), Some(tensor.bytes.len()));
            }
            for (key, _) in file.metadata().iter() {
                let _ = (file.metadata().opt_u32(key), file.metadata().opt_strings(key));
            }
        }
    }
}

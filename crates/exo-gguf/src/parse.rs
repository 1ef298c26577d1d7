//! Header, key-value section and tensor table, every field checked.

use std::collections::BTreeMap;

use crate::cursor::Cursor;
use crate::error::Problem;
use crate::ggml_type::GgmlType;
use crate::tensor::TensorInfo;
use crate::value::{ARRAY_TYPE, Array, Value};

const DEFAULT_ALIGNMENT: u64 = 32;
const LARGEST_ALIGNMENT: u64 = 1 << 20;
const LONGEST_KEY: u64 = 65_535;
/// The specification's limit.
const LONGEST_TENSOR_NAME: u64 = 64;
/// The specification allows arrays in arrays without bound; no writer goes beyond two.
const DEEPEST_ARRAY: u32 = 4;
const MOST_DIMENSIONS: u32 = 4;
/// Key length, one byte of key, type, one byte of value.
const LEAST_ENTRY: u64 = 8 + 1 + 4 + 1;
/// Name length, one byte of name, dimensions, one of them, type, offset.
const LEAST_TENSOR: u64 = 8 + 1 + 4 + 8 + 4 + 8;

/// What the parser found.
#[derive(Debug)]
pub(crate) struct Contents {
    pub(crate) entries: BTreeMap<String, Value>,
    pub(crate) tensors: BTreeMap<String, TensorInfo>,
}

pub(crate) fn parse(bytes: &[u8]) -> Result<Contents, Problem> {
    let mut cursor = Cursor::new(bytes);
    read_version(&mut cursor)?;
    let n_tensors = cursor.count(LEAST_TENSOR, &|| "tensors".to_owned())?;
    let n_entries = cursor.count(LEAST_ENTRY, &|| "metadata entries".to_owned())?;
    let mut entries = BTreeMap::new();
    for index in 0..n_entries {
        read_entry(&mut cursor, index, &mut entries)?;
    }
    let alignment = alignment(&entries)?;
    let mut raw = BTreeMap::new();
    for index in 0..n_tensors {
        read_tensor(&mut cursor, index, alignment, &mut raw)?;
    }
    let data = cursor.position().next_multiple_of(alignment);
    let tensors =
        raw.into_iter().map(|(name, tensor)| place(name, tensor, data, cursor.size())).collect::<Result<_, _>>()?;
    Ok(Contents { entries, tensors })
}

fn read_version(cursor: &mut Cursor<'_>) -> Result<(), Problem> {
    let found = cursor.magic()?;
    if &found != b"GGUF" {
        return Err(Problem::Magic { found });
    }
    match cursor.u32(&|| "the version".to_owned())? {
        2 | 3 => Ok(()),
        version if matches!(version.swap_bytes(), 1..=3) => Err(Problem::BigEndian),
        found => Err(Problem::Version { found }),
    }
}

fn read_entry(cursor: &mut Cursor<'_>, index: usize, entries: &mut BTreeMap<String, Value>) -> Result<(), Problem> {
    let field = || format!("the key of metadata entry {index}");
    let key = cursor.string(LONGEST_KEY, &field)?;
    if key.is_empty() {
        return Err(Problem::Empty { field: field() });
    }
    let value_type = cursor.u32(&|| format!("the type of metadata {key:?}"))?;
    let value = read_value(cursor, key, value_type)?;
    match entries.insert(key.to_owned(), value) {
        None => Ok(()),
        Some(_) => Err(Problem::Duplicate { what: "metadata", name: key.to_owned() }),
    }
}

fn read_value(cursor: &mut Cursor<'_>, key: &str, value_type: u32) -> Result<Value, Problem> {
    if value_type == ARRAY_TYPE {
        return read_array(cursor, key, 1).map(Value::Array);
    }
    // One value is read as an array of one: the widths stand in one place.
    Ok(match read_elements(cursor, key, value_type, 1, 0)? {
        Array::U8(v) => Value::U8(v[0]),
        Array::I8(v) => Value::I8(v[0]),
        Array::U16(v) => Value::U16(v[0]),
        Array::I16(v) => Value::I16(v[0]),
        Array::U32(v) => Value::U32(v[0]),
        Array::I32(v) => Value::I32(v[0]),
        Array::U64(v) => Value::U64(v[0]),
        Array::I64(v) => Value::I64(v[0]),
        Array::F32(v) => Value::F32(v[0]),
        Array::F64(v) => Value::F64(v[0]),
        Array::Bool(v) => Value::Bool(v[0]),
        Array::String(mut v) => Value::String(v.swap_remove(0)),
        Array::Array(mut v) => Value::Array(v.swap_remove(0)),
    })
}

fn read_array(cursor: &mut Cursor<'_>, key: &str, depth: u32) -> Result<Array, Problem> {
    if depth > DEEPEST_ARRAY {
        return Err(Problem::Depth { key: key.to_owned(), limit: DEEPEST_ARRAY });
    }
    let element_type = cursor.u32(&|| format!("the element type of metadata {key:?}"))?;
    let least = match element_type {
        0 | 1 | 7 => 1,
        2 | 3 => 2,
        4..=6 => 4,
        8 | 10..=12 => 8,
        ARRAY_TYPE => 12,
        found => return Err(Problem::ValueType { key: key.to_owned(), found }),
    };
    let count = cursor.count(least, &|| format!("elements of metadata {key:?}"))?;
    read_elements(cursor, key, element_type, count, depth)
}

/// Reads `count` elements; memory for them is bounded by the caller's count check.
fn read_elements(
    cursor: &mut Cursor<'_>,
    key: &str,
    element_type: u32,
    count: usize,
    depth: u32,
) -> Result<Array, Problem> {
    let field = || format!("the value of metadata {key:?}");
    macro_rules! numbers {
        ($variant:ident, $number:ty) => {{
            const WIDTH: usize = size_of::<$number>();
            let bytes = cursor.take((count * WIDTH) as u64, &field)?;
            let (chunks, _) = bytes.as_chunks::<WIDTH>();
            Array::$variant(chunks.iter().map(|chunk| <$number>::from_le_bytes(*chunk)).collect())
        }};
    }
    Ok(match element_type {
        0 => numbers!(U8, u8),
        1 => numbers!(I8, i8),
        2 => numbers!(U16, u16),
        3 => numbers!(I16, i16),
        4 => numbers!(U32, u32),
        5 => numbers!(I32, i32),
        6 => numbers!(F32, f32),
        7 => Array::Bool((0..count).map(|_| boolean(cursor.u8(&field)?, key)).collect::<Result<_, _>>()?),
        8 => {
            let limit = cursor.size();
            let string = |_| cursor.string(limit, &field).map(str::to_owned);
            Array::String((0..count).map(string).collect::<Result<_, _>>()?)
        }
        ARRAY_TYPE => Array::Array((0..count).map(|_| read_array(cursor, key, depth + 1)).collect::<Result<_, _>>()?),
        10 => numbers!(U64, u64),
        11 => numbers!(I64, i64),
        12 => numbers!(F64, f64),
        found => return Err(Problem::ValueType { key: key.to_owned(), found }),
    })
}

fn boolean(byte: u8, key: &str) -> Result<bool, Problem> {
    match byte {
        0 => Ok(false),
        1 => Ok(true),
        found => Err(Problem::Boolean { key: key.to_owned(), found }),
    }
}

fn alignment(entries: &BTreeMap<String, Value>) -> Result<u64, Problem> {
    let Some(value) = entries.get("general.alignment") else { return Ok(DEFAULT_ALIGNMENT) };
    let found = value.integer().and_then(|v| u64::try_from(v).ok()).unwrap_or(0);
    let sound = found.is_power_of_two() && found <= LARGEST_ALIGNMENT;
    if sound { Ok(found) } else { Err(Problem::Alignment { found }) }
}

fn read_tensor(
    cursor: &mut Cursor<'_>,
    index: usize,
    alignment: u64,
    tensors: &mut BTreeMap<String, TensorInfo>,
) -> Result<(), Problem> {
    let field = || format!("the name of tensor {index}");
    let name = cursor.string(LONGEST_TENSOR_NAME, &field)?;
    if name.is_empty() {
        return Err(Problem::Empty { field: field() });
    }
    let shape = read_shape(cursor, name)?;
    let number = cursor.u32(&|| format!("the type of tensor {name:?}"))?;
    let dtype =
        GgmlType::from_number(number).ok_or_else(|| Problem::TensorType { tensor: name.to_owned(), found: number })?;
    let length = tensor_bytes(name, &shape, dtype)?;
    let offset = cursor.u64(&|| format!("the offset of tensor {name:?}"))?;
    if !offset.is_multiple_of(alignment) {
        return Err(Problem::Misaligned { tensor: name.to_owned(), offset, alignment });
    }
    let shape = shape.into_iter().map(|n| usize::try_from(n).expect("the product fits usize")).collect();
    match tensors.insert(name.to_owned(), TensorInfo { dtype, shape, start: offset, length }) {
        None => Ok(()),
        Some(_) => Err(Problem::Duplicate { what: "tensor", name: name.to_owned() }),
    }
}

fn read_shape(cursor: &mut Cursor<'_>, name: &str) -> Result<Vec<u64>, Problem> {
    let field = || format!("the shape of tensor {name:?}");
    let dimensions = cursor.u32(&field)?;
    if !(1..=MOST_DIMENSIONS).contains(&dimensions) {
        return Err(Problem::Shape { tensor: name.to_owned(), shape: Vec::new() });
    }
    let shape = (0..dimensions).map(|_| cursor.u64(&field)).collect::<Result<Vec<_>, _>>()?;
    if shape.contains(&0) {
        return Err(Problem::Shape { tensor: name.to_owned(), shape });
    }
    Ok(shape)
}

fn tensor_bytes(name: &str, shape: &[u64], dtype: GgmlType) -> Result<u64, Problem> {
    let (row, block) = (shape[0], dtype.block_elements() as u64);
    if !row.is_multiple_of(block) {
        return Err(Problem::Blocks { tensor: name.to_owned(), row, dtype: dtype.name(), block });
    }
    let elements = shape.iter().try_fold(1u64, |product, &n| product.checked_mul(n));
    // isize::MAX bounds every slice; elements below it make every dimension fit usize as well.
    let elements = elements.filter(|&n| isize::try_from(n).is_ok());
    let bytes = elements.and_then(|n| (n / block).checked_mul(dtype.block_bytes() as u64));
    bytes.ok_or_else(|| Problem::SizeOverflow { tensor: name.to_owned(), shape: shape.to_vec() })
}

/// Turns the offset in the data section into one in the file and checks that the tensor lies inside.
fn place(name: String, tensor: TensorInfo, data: u64, size: u64) -> Result<(String, TensorInfo), Problem> {
    let start = data.checked_add(tensor.start);
    let end = start.and_then(|start| start.checked_add(tensor.length));
    match (start, end) {
        (Some(start), Some(end)) if end <= size => Ok((name, TensorInfo { start, ..tensor })),
        _ => Err(Problem::OutOfFile {
            tensor: name,
            start: start.unwrap_or(u64::MAX),
            end: end.unwrap_or(u64::MAX),
            size,
        }),
    }
}

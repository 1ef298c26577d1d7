//! Writes files: for generators, tests and benchmarks.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::ggml_type::GgmlType;
use crate::value::{Array, Value};

const ALIGNMENT: u64 = 32;
const VERSION: u32 = 3;

/// Why a file could not be written.
#[derive(Debug, Error)]
pub enum WriteError {
    /// The operating system refused.
    #[error("cannot write {}: {source}; check the folder, its permissions and the free space", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The bytes of a tensor do not fit its shape and type.
    #[error("tensor {name:?} of type {dtype} and shape {shape:?} got {found} bytes; give whole rows of that type")]
    Size {
        /// The tensor.
        name: String,
        /// Its type.
        dtype: GgmlType,
        /// Its shape.
        shape: Vec<usize>,
        /// How many bytes were given.
        found: u64,
    },
}

/// Writes the bytes of one tensor.
type Fill<'a> = Box<dyn FnOnce(&mut dyn Write) -> io::Result<()> + 'a>;

struct Tensor<'a> {
    name: String,
    dtype: GgmlType,
    shape: Vec<usize>,
    fill: Fill<'a>,
}

/// Collects metadata and tensors and writes them as one file.
#[derive(Default)]
pub struct GgufWriter<'a> {
    entries: Vec<(String, Value)>,
    tensors: Vec<Tensor<'a>>,
}

impl<'a> GgufWriter<'a> {
    /// An empty file.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a metadata entry.
    pub fn set(&mut self, key: &str, value: impl Into<Value>) -> &mut Self {
        self.entries.push((key.to_owned(), value.into()));
        self
    }

    /// Adds a tensor; `shape` has the fastest dimension first.
    pub fn tensor(&mut self, name: &str, dtype: GgmlType, shape: &[usize], bytes: impl AsRef<[u8]> + 'a) -> &mut Self {
        self.tensor_with(name, dtype, shape, move |out| out.write_all(bytes.as_ref()))
    }

    /// Adds a tensor whose bytes are made while the file is written, so that a large file needs little memory.
    pub fn tensor_with(
        &mut self,
        name: &str,
        dtype: GgmlType,
        shape: &[usize],
        fill: impl FnOnce(&mut dyn Write) -> io::Result<()> + 'a,
    ) -> &mut Self {
        let tensor = Tensor { name: name.to_owned(), dtype, shape: shape.to_vec(), fill: Box::new(fill) };
        self.tensors.push(tensor);
        self
    }

    /// Writes the file: under a temporary name beside it, synced, then renamed; `path` is whole or untouched.
    pub fn write(self, path: &Path) -> Result<(), WriteError> {
        let fail = |source| WriteError::Io { path: path.to_owned(), source };
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(format!(".{}.part", std::process::id()));
        let temporary = PathBuf::from(temporary);
        let written = self.write_synced(&temporary, path).and_then(|()| fs::rename(&temporary, path).map_err(fail));
        if written.is_err() {
            // The error that is reported is the first one; a left-over part file is harmless.
            let _ = fs::remove_file(&temporary);
        }
        written
    }

    fn write_synced(self, temporary: &Path, path: &Path) -> Result<(), WriteError> {
        let fail = |source| WriteError::Io { path: path.to_owned(), source };
        let mut out = BufWriter::with_capacity(1 << 20, File::create(temporary).map_err(fail)?);
        self.write_to(&mut out, path)?;
        let file = out.into_inner().map_err(|error| fail(error.into_error()))?;
        file.sync_all().map_err(fail)
    }

    /// Writes the file to memory.
    pub fn to_bytes(self) -> Result<Vec<u8>, WriteError> {
        let mut bytes = Vec::new();
        self.write_to(&mut bytes, Path::new("memory"))?;
        Ok(bytes)
    }

    fn write_to(self, out: &mut dyn Write, path: &Path) -> Result<(), WriteError> {
        let fail = |source| WriteError::Io { path: path.to_owned(), source };
        let header = self.header()?;
        let data = (header.len() as u64).next_multiple_of(ALIGNMENT);
        out.write_all(&header).and_then(|()| pad(out, header.len() as u64, data)).map_err(fail)?;
        for tensor in self.tensors {
            let wanted = tensor.bytes()?;
            let mut counted = Counted { out: &mut *out, bytes: 0 };
            (tensor.fill)(&mut counted).map_err(fail)?;
            let found = counted.bytes;
            if found != wanted {
                return Err(WriteError::Size { name: tensor.name, dtype: tensor.dtype, shape: tensor.shape, found });
            }
            pad(out, wanted, wanted.next_multiple_of(ALIGNMENT)).map_err(fail)?;
        }
        Ok(())
    }

    fn header(&self) -> Result<Vec<u8>, WriteError> {
        let mut out = Vec::new();
        out.extend(b"GGUF");
        out.extend(VERSION.to_le_bytes());
        out.extend((self.tensors.len() as u64).to_le_bytes());
        out.extend((self.entries.len() as u64).to_le_bytes());
        for (key, value) in &self.entries {
            put_string(&mut out, key);
            out.extend(value.type_number().to_le_bytes());
            put_value(&mut out, value);
        }
        let mut offset = 0u64;
        for tensor in &self.tensors {
            put_string(&mut out, &tensor.name);
            out.extend((tensor.shape.len() as u32).to_le_bytes());
            tensor.shape.iter().for_each(|&n| out.extend((n as u64).to_le_bytes()));
            out.extend(tensor.dtype.number().to_le_bytes());
            out.extend(offset.to_le_bytes());
            offset += tensor.bytes()?.next_multiple_of(ALIGNMENT);
        }
        Ok(out)
    }
}

impl Tensor<'_> {
    fn bytes(&self) -> Result<u64, WriteError> {
        let row = self.shape.first().and_then(|&row| self.dtype.bytes_of(row));
        let rows = self.shape.iter().skip(1).product::<usize>();
        let wrong =
            || WriteError::Size { name: self.name.clone(), dtype: self.dtype, shape: self.shape.clone(), found: 0 };
        row.and_then(|row| row.checked_mul(rows)).map(|bytes| bytes as u64).ok_or_else(wrong)
    }
}

/// Counts what a tensor's source writes.
struct Counted<'a> {
    out: &'a mut dyn Write,
    bytes: u64,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn pad(out: &mut dyn Write, from: u64, to: u64) -> io::Result<()> {
    let zeros = [0; ALIGNMENT as usize];
    out.write_all(&zeros[..(to - from) as usize])
}

fn put_string(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

fn put_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::U8(v) => out.push(*v),
        Value::I8(v) => out.extend(v.to_le_bytes()),
        Value::U16(v) => out.extend(v.to_le_bytes()),
        Value::I16(v) => out.extend(v.to_le_bytes()),
        Value::U32(v) => out.extend(v.to_le_bytes()),
        Value::I32(v) => out.extend(v.to_le_bytes()),
        Value::U64(v) => out.extend(v.to_le_bytes()),
        Value::I64(v) => out.extend(v.to_le_bytes()),
        Value::F32(v) => out.extend(v.to_le_bytes()),
        Value::F64(v) => out.extend(v.to_le_bytes()),
        Value::Bool(v) => out.push(u8::from(*v)),
        Value::String(v) => put_string(out, v),
        Value::Array(v) => put_array(out, v),
    }
}

fn put_array(out: &mut Vec<u8>, array: &Array) {
    out.extend(array.element_type().to_le_bytes());
    out.extend((array.len() as u64).to_le_bytes());
    match array {
        Array::U8(v) => out.extend(v),
        Array::I8(v) => v.iter().for_each(|v| out.extend(v.to_le_bytes())),
        Array::U16(v) => v.iter().for_each(|v| out.extend(v.to_le_bytes())),
        Array::I16(v) => v.iter().for_each(|v| out.extend(v.to_le_bytes())),
        Array::U32(v) => v.iter().for_each(|v| out.extend(v.to_le_bytes())),
        Array::I32(v) => v.iter().for_each(|v| out.extend(v.to_le_bytes())),
        Array::U64(v) => v.iter().for_each(|v| out.extend(v.to_le_bytes())),
        Array::I64(v) => v.iter().for_each(|v| out.extend(v.to_le_bytes())),
        Array::F32(v) => v.iter().for_each(|v| out.extend(v.to_le_bytes())),
        Array::F64(v) => v.iter().for_each(|v| out.extend(v.to_le_bytes())),
        Array::Bool(v) => out.extend(v.iter().map(|&v| u8::from(v))),
        Array::String(v) => v.iter().for_each(|v| put_string(out, v)),
        Array::Array(v) => v.iter().for_each(|v| put_array(out, v)),
    }
}

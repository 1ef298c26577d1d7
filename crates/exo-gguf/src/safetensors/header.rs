//! The header, every field checked.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::element::Element;
use super::error::SafetensorsProblem;

/// Bytes of the header's length.
const LENGTH_BYTES: u64 = 8;
/// The format's limit: 100 MB.
const LONGEST_HEADER: u64 = 100_000_000;
/// Not a tensor but remarks.
const REMARKS: &str = "__metadata__";

/// A tensor's place in the file.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) element: Element,
    /// The slowest dimension first; a single number has none.
    pub(super) shape: Vec<usize>,
    /// Bytes of the file.
    pub(super) bytes: Range<usize>,
}

/// Reads the header of a file.
pub(super) fn read(file: &[u8]) -> Result<BTreeMap<String, Place>, SafetensorsProblem> {
    let size = file.len() as u64;
    let Some((length, rest)) = file.split_first_chunk() else { return Err(SafetensorsProblem::Short { size }) };
    let length = u64::from_le_bytes(*length);
    let limit = (size - LENGTH_BYTES).min(LONGEST_HEADER);
    let header = usize::try_from(length).ok().filter(|_| length <= limit).and_then(|length| rest.get(..length));
    let header = header.ok_or(SafetensorsProblem::HeaderLength { length, limit })?;
    let entries = serde_json::from_slice::<Entries>(header)?.0;
    check_neighbours(&entries, size - LENGTH_BYTES - length)?;
    let mut places = BTreeMap::new();
    for (name, entry) in entries {
        let place = entry.place(&name, LENGTH_BYTES + length)?;
        if places.insert(name.clone(), place).is_some() {
            return Err(SafetensorsProblem::Duplicate { name });
        }
    }
    Ok(places)
}

/// Every byte of numbers belongs to exactly one tensor.
fn check_neighbours(entries: &[(String, Entry)], size: u64) -> Result<(), SafetensorsProblem> {
    let mut by_place: Vec<_> = entries.iter().collect();
    by_place.sort_by_key(|(_, entry)| entry.data_offsets);
    let mut end = 0;
    for (name, Entry { data_offsets: [start, next], .. }) in by_place {
        if *start != end || next < start {
            return Err(SafetensorsProblem::NotAdjacent { tensor: name.clone(), start: *start, end });
        }
        end = *next;
    }
    if end == size { Ok(()) } else { Err(SafetensorsProblem::End { end, size }) }
}

/// A tensor as the header tells it.
#[derive(Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: [u64; 2],
}

impl Entry {
    /// Checks type and size; that it lies inside the file was checked before. `data` is where the numbers begin.
    fn place(self, name: &str, data: u64) -> Result<Place, SafetensorsProblem> {
        let Self { dtype, shape, data_offsets: [start, end] } = self;
        let tensor = || name.to_owned();
        let element = Element::of_name(&dtype)
            .ok_or_else(|| SafetensorsProblem::Element { tensor: tensor(), found: dtype.chars().take(32).collect() })?;
        let elements = shape.iter().try_fold(1u64, |product, &n| product.checked_mul(n));
        let needed = elements.and_then(|elements| elements.checked_mul(element.bytes()));
        let sizes: Option<Vec<usize>> = shape.iter().map(|&n| usize::try_from(n).ok()).collect();
        let (Some(needed), Some(sizes)) = (needed, sizes) else {
            return Err(SafetensorsProblem::SizeOverflow { tensor: tensor(), shape });
        };
        if end - start != needed {
            return Err(SafetensorsProblem::Size { tensor: tensor(), start, end, needed });
        }
        let at = |offset: u64| usize::try_from(data + offset).expect("it lies inside the file");
        Ok(Place { element, shape: sizes, bytes: at(start)..at(end) })
    }
}

/// All tensors, in the order of the header: two of one name are seen.
struct Entries(Vec<(String, Entry)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EntriesVisitor)
    }
}

struct EntriesVisitor;

impl<'de> Visitor<'de> for EntriesVisitor {
    type Value = Entries;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
        let mut entries = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            if name == REMARKS {
                map.next_value::<IgnoredAny>()?;
            } else {
                entries.push((name, map.next_value()?));
            }
        }
        Ok(Entries(entries))
    }
}

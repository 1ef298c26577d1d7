//! A value of any shape, but not of any depth.

use crate::unpack::DEEPEST_EVENT;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;

/// Reads a [`Value`] in which so many lists and maps may still stand inside each other: reading, comparing and dropping it
/// takes stack for each, and readers of JSON, which an event becomes on its way to clients, give up at 128.
///
/// serde_json's own reader takes a map with a certain key for JSON to be read: what it makes is not what came.
#[derive(Clone, Copy)]
pub(super) struct Shallow(usize);

impl Shallow {
    /// Reads a whole value.
    pub(super) fn whole() -> Self {
        Self(DEEPEST_EVENT)
    }

    /// Whether a map from a name to the value is read.
    pub(super) fn has_room_for_named(self, value: &Value) -> bool {
        self.0.checked_sub(1).is_some_and(|left| has_room(left, value))
    }

    fn inner<E: Error>(self) -> Result<Self, E> {
        let left = self.0.checked_sub(1);
        left.map(Self)
            .ok_or_else(|| E::custom(format_args!("more than {DEEPEST_EVENT} lists and maps inside each other")))
    }
}

/// Looks no deeper than there is room.
fn has_room(left: usize, value: &Value) -> bool {
    let fits = |inner: &Value| left.checked_sub(1).is_some_and(|left| has_room(left, inner));
    match value {
        Value::Array(values) => left > 0 && values.iter().all(fits),
        Value::Object(map) => left > 0 && map.values().all(fits),
        _ => true,
    }
}

impl<'de> DeserializeSeed<'de> for Shallow {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Shallow {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value that JSON can say")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_none<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(inner)? {
            values.push(value);
        }
        Ok(values.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut values = Map::new();
        while let Some(key) = map.next_key()? {
            values.insert(key, map.next_value_seed(inner)?);
        }
        Ok(values.into())
    }
}

//! JSON as others write it: Go writes `null` for what is empty, and what is not known has to survive.

use std::fmt;

use serde::Serialize;
use serde::de::{DeserializeOwned, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::{Error, Result};

/// Understands a document. Keys that stand twice are refused.
///
/// # Errors
/// [`Error::Json`].
pub fn parse<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T> {
    let first = match serde_json::from_slice(bytes) {
        Ok(document) => return Ok(document),
        Err(first) => first,
    };
    let mut value = parse_value(what, bytes)?;
    strip_nulls(&mut value);
    serde_json::from_value(value).map_err(|_| error(what, first))
}

/// Reads a document whole, to be changed. Keys that stand twice are refused.
///
/// # Errors
/// [`Error::Json`].
pub fn parse_value(what: &str, bytes: &[u8]) -> Result<Value> {
    serde_json::from_slice(bytes)
        .map(|Strict(value)| value)
        .map_err(|source| error(what, source))
}

/// Writes a document in the one form that forger gives it: keys in order, no white space.
///
/// # Panics
/// Never for documents of this crate, whose keys are all texts.
#[must_use]
pub fn canonical(document: &impl Serialize) -> Vec<u8> {
    // A `Value` has its keys in order; the specification's maps are in none.
    let value = serde_json::to_value(document).expect("keys are texts");
    serde_json::to_vec(&value).expect("keys are texts")
}

fn error(what: &str, source: serde_json::Error) -> Error {
    Error::Json {
        what: what.to_owned(),
        source,
    }
}

/// Lets `null` mean what an absent key means, and absent lists be empty: so do the programs written in Go.
fn strip_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(strip_nulls);
            if map.get("type").and_then(Value::as_str) == Some("layers") {
                map.entry("diff_ids")
                    .or_insert_with(|| Value::Array(Vec::new()));
            }
            if map.contains_key("schemaVersion") {
                let list = if map.contains_key("config") {
                    "layers"
                } else {
                    "manifests"
                };
                map.entry(list).or_insert_with(|| Value::Array(Vec::new()));
            }
        }
        Value::Array(values) => values.iter_mut().for_each(strip_nulls),
        _ => {}
    }
}

/// A value in which no key stands twice.
struct Strict(Value);

impl<'de> serde::Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Builder).map(Self)
    }
}

struct Builder;

impl<'de> Visitor<'de> for Builder {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Strict(value)) = seq.next_element()? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut values = Map::new();
        while let Some((key, Strict(value))) = map.next_entry::<String, _>()? {
            if values.contains_key(&key) {
                return Err(A::Error::custom(format_args!(
                    "the key {key:?} stands twice"
                )));
            }
            values.insert(key, value);
        }
        Ok(Value::Object(values))
    }
}

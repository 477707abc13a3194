//! A content block as the API sent it, completed by its deltas and otherwise untouched.

use std::fmt;

use pullwright_protocol::RawJson;
use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};

/// A JSON object whose keys keep their order and whose values keep their bytes.
#[derive(Clone, Debug, Default)]
pub(super) struct NativeBlock {
    fields: Vec<(String, Box<RawValue>)>,
}

impl NativeBlock {
    /// The string under `key`; empty if there is none.
    pub(super) fn text(&self, key: &str) -> String {
        self.get(key)
            .and_then(|value| serde_json::from_str(value.get()).ok())
            .unwrap_or_default()
    }

    pub(super) fn get(&self, key: &str) -> Option<&RawValue> {
        let field = self.fields.iter().find(|(name, _)| name == key);
        field.map(|(_, value)| &**value)
    }

    /// Replaces the value under `key`, in its place, or appends it.
    pub(super) fn set_raw(&mut self, key: &str, value: Box<RawValue>) {
        match self.fields.iter_mut().find(|(name, _)| name == key) {
            Some((_, old)) => *old = value,
            None => self.fields.push((key.to_owned(), value)),
        }
    }

    /// The same with a value of ours.
    pub(super) fn set(&mut self, key: &str, value: &impl Serialize) {
        if let Ok(value) = to_raw_value(value) {
            self.set_raw(key, value);
        }
    }

    pub(super) fn to_json(&self) -> Option<RawJson> {
        to_raw_value(self).ok().map(RawJson::from)
    }
}

impl Serialize for NativeBlock {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.fields.len()))?;
        for (key, value) in &self.fields {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for NativeBlock {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = NativeBlock;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a content block")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<NativeBlock, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry::<String, Box<RawValue>>()? {
                    fields.push(field);
                }
                Ok(NativeBlock { fields })
            }
        }

        deserializer.deserialize_map(Fields)
    }
}

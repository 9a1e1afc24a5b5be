//! What the loader decodes at a place of the configuration, as seen by a deserializer that records what serde requests.

use crate::config::load::ConfigFile;
use serde::de::value::Error;
use serde::de::{
    Deserialize as _, DeserializeSeed, Deserializer, Error as _, IntoDeserializer as _, MapAccess, SeqAccess, Visitor,
};
use serde::forward_to_deserialize_any;
use std::cell::RefCell;

/// The step from a list to its entries.
pub(super) const ENTRY: &str = "[]";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// A section with these keys.
    Section(&'static [&'static str]),
    /// A map with any keys.
    Map,
    List,
    Text,
    Flag,
    Number,
    /// A type with a `Deserialize` of its own.
    Custom,
}

/// Returns the shape at a path of keys and [`ENTRY`].
pub(super) fn shape_at(path: &[&str]) -> Shape {
    let found = RefCell::new(None);
    // Fails at the place, because the recorder has no value.
    let _ = ConfigFile::deserialize(Recorder { path, found: &found });
    found.into_inner().unwrap_or_else(|| panic!("{path:?} is not decoded"))
}

struct Recorder<'a> {
    path: &'a [&'a str],
    found: &'a RefCell<Option<Shape>>,
}

impl<'a> Recorder<'a> {
    /// Records the shape if this is the place. Otherwise returns the next step and the recorder after it.
    fn step(self, shape: Shape) -> Result<(&'a str, Self), Error> {
        match self.path.split_first() {
            None => {
                self.found.replace(Some(shape));
                Err(Error::custom("found"))
            }
            Some((first, path)) => Ok((first, Self { path, ..self })),
        }
    }
}

impl<'de> Deserializer<'de> for Recorder<'_> {
    type Error = Error;

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        keys: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let (key, rest) = self.step(Shape::Section(keys))?;
        visitor.visit_map(One(key, Some(rest)))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let (key, rest) = self.step(Shape::List)?;
        visitor.visit_seq(One(key, Some(rest)))
    }

    fn deserialize_map<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        self.step(Shape::Map).and(Err(Error::custom("no place in a map")))
    }

    fn deserialize_string<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        self.step(Shape::Text).and(Err(Error::custom("no place in a text")))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        self.step(Shape::Flag).and(Err(Error::custom("no place in a flag")))
    }

    fn deserialize_u64<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        self.step(Shape::Number).and(Err(Error::custom("no place in a number")))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        self.step(Shape::Custom).and(Err(Error::custom("no place in a custom type")))
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u128 f32 f64 char str bytes byte_buf unit unit_struct newtype_struct tuple
        tuple_struct enum identifier ignored_any
    }
}

/// A map with one key, or a list with one entry.
struct One<'a>(&'a str, Option<Recorder<'a>>);

impl<'de> MapAccess<'de> for One<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        self.1.as_ref().map(|_| seed.deserialize(self.0.into_deserializer())).transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        seed.deserialize(self.1.take().ok_or_else(|| Error::custom("no value"))?)
    }
}

impl<'de> SeqAccess<'de> for One<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        self.1.take().map(|entry| seed.deserialize(entry)).transpose()
    }
}

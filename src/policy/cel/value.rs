//! Values during evaluation. Inputs are borrowed.

use super::failure::Failure;
use jiff::Timestamp;
use serde_json::{Map, Value as Json};
use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// A value.
#[derive(Debug, Clone)]
pub(super) enum Value<'a> {
    Bool(bool),
    Int(i64),
    Double(f64),
    String(Cow<'a, str>),
    Timestamp(Timestamp),
    Null,
    /// Lists, by source.
    Strings(&'a [String]),
    Array(&'a [Json]),
    List(Vec<Value<'a>>),
    /// Maps, by source.
    StringMap(&'a BTreeMap<String, String>),
    Params(&'a BTreeMap<String, Json>),
    Object(&'a Map<String, Json>),
}

impl<'a> Value<'a> {
    /// Converts a JSON value. A number that is neither an `i64` nor a fraction has no exact value and is an error.
    pub(super) fn of_json(json: &'a Json) -> Result<Self, Failure> {
        Ok(match json {
            Json::Null => Self::Null,
            Json::Bool(is_true) => Self::Bool(*is_true),
            Json::String(text) => Self::String(Cow::Borrowed(text)),
            Json::Array(elements) => Self::Array(elements),
            Json::Object(entries) => Self::Object(entries),
            Json::Number(number) => match (number.as_i64(), number.is_f64()) {
                (Some(whole), _) => Self::Int(whole),
                (None, true) => Self::Double(number.as_f64().ok_or(Failure::Arithmetic)?),
                (None, false) => return Err(Failure::Arithmetic),
            },
        })
    }

    /// The number of elements of a list.
    pub(super) fn elements(&self) -> Option<usize> {
        match self {
            Self::Strings(elements) => Some(elements.len()),
            Self::Array(elements) => Some(elements.len()),
            Self::List(elements) => Some(elements.len()),
            _ => None,
        }
    }

    /// An element of a list.
    pub(super) fn element(&self, at: usize) -> Result<Self, Failure> {
        match self {
            Self::Strings(elements) => elements.get(at).map(|text| Self::String(Cow::Borrowed(text))),
            Self::Array(elements) => elements.get(at).map(Self::of_json).transpose()?,
            Self::List(elements) => elements.get(at).cloned(),
            _ => return Err(Failure::WrongType),
        }
        .ok_or(Failure::Absent)
    }

    /// The number of keys of a map.
    pub(super) fn entries(&self) -> Option<usize> {
        match self {
            Self::StringMap(map) => Some(map.len()),
            Self::Params(map) => Some(map.len()),
            Self::Object(map) => Some(map.len()),
            _ => None,
        }
    }

    /// The keys of a map, in its order.
    pub(super) fn keys(&self) -> Option<Vec<Self>> {
        let key = |key: &'a String| Self::String(Cow::Borrowed(key));
        match self {
            Self::StringMap(map) => Some(map.keys().map(key).collect()),
            Self::Params(map) => Some(map.keys().map(key).collect()),
            Self::Object(map) => Some(map.keys().map(key).collect()),
            _ => None,
        }
    }

    /// The value of a key, if the map contains it.
    pub(super) fn entry(&self, key: &str) -> Result<Option<Self>, Failure> {
        match self {
            Self::StringMap(map) => Ok(map.get(key).map(|text| Self::String(Cow::Borrowed(text)))),
            Self::Params(map) => map.get(key).map(Self::of_json).transpose(),
            Self::Object(map) => map.get(key).map(Self::of_json).transpose(),
            _ => Err(Failure::WrongType),
        }
    }

    /// The steps that a copy costs.
    pub(super) fn weight(&self) -> usize {
        match self {
            Self::String(Cow::Owned(text)) => text.len() / 8,
            Self::List(elements) => elements.iter().map(|element| 1 + element.weight()).sum(),
            _ => 0,
        }
    }

    /// The order of two numbers, strings or timestamps. Numbers of different types are compared by value.
    pub(super) fn order(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Int(one), Self::Int(other)) => Some(one.cmp(other)),
            (Self::String(one), Self::String(other)) => Some(one.cmp(other)),
            (Self::Timestamp(one), Self::Timestamp(other)) => Some(one.cmp(other)),
            (Self::Int(_) | Self::Double(_), Self::Int(_) | Self::Double(_)) => {
                self.as_double()?.partial_cmp(&other.as_double()?)
            }
            _ => None,
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "only to be compared with a fraction, as CEL does")]
    fn as_double(&self) -> Option<f64> {
        match self {
            Self::Int(whole) => Some(*whole as f64),
            Self::Double(number) => Some(*number),
            _ => None,
        }
    }
}

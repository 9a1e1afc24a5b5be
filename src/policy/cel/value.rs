//! The values of an evaluation. Those of the inputs are borrowed.

use super::evaluation_error::EvaluationError;
use jiff::Timestamp;
use serde_json::{Map, Value as Json};
use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeMap;

#[derive(Debug, Clone)]
pub(super) enum Value<'a> {
    Bool(bool),
    Int(i64),
    Double(f64),
    String(Cow<'a, str>),
    Timestamp(Timestamp),
    Null,
    /// A list of strings of the inputs.
    Strings(&'a [String]),
    /// A JSON array of the inputs.
    Array(&'a [Json]),
    /// A list that the expression built.
    List(Vec<Value<'a>>),
    /// Labels or annotations.
    StringMap(&'a BTreeMap<String, String>),
    /// Params of a run.
    Params(&'a BTreeMap<String, Json>),
    /// A JSON object of the inputs.
    Object(&'a Map<String, Json>),
}

impl<'a> Value<'a> {
    /// Converts a JSON value. An integer that does not fit `i64` is an error.
    pub(super) fn from_json(json: &'a Json) -> Result<Self, EvaluationError> {
        Ok(match json {
            Json::Null => Self::Null,
            Json::Bool(is_true) => Self::Bool(*is_true),
            Json::String(text) => Self::String(Cow::Borrowed(text)),
            Json::Array(elements) => Self::Array(elements),
            Json::Object(entries) => Self::Object(entries),
            Json::Number(number) => match (number.as_i64(), number.is_f64()) {
                (Some(integer), _) => Self::Int(integer),
                (None, true) => Self::Double(number.as_f64().ok_or(EvaluationError::InvalidArgument)?),
                (None, false) => return Err(EvaluationError::InvalidArgument),
            },
        })
    }

    /// The number of elements; `None` if it is not a list.
    pub(super) fn list_len(&self) -> Option<usize> {
        match self {
            Self::Strings(elements) => Some(elements.len()),
            Self::Array(elements) => Some(elements.len()),
            Self::List(elements) => Some(elements.len()),
            _ => None,
        }
    }

    /// An element of a list, by index. `WrongType` if it is not a list, `Absent` if the list is shorter.
    pub(super) fn list_element(&self, index: usize) -> Result<Self, EvaluationError> {
        match self {
            Self::Strings(elements) => elements.get(index).map(|text| Self::String(Cow::Borrowed(text))),
            Self::Array(elements) => elements.get(index).map(Self::from_json).transpose()?,
            Self::List(elements) => elements.get(index).cloned(),
            _ => return Err(EvaluationError::WrongType),
        }
        .ok_or(EvaluationError::Absent)
    }

    /// The number of keys; `None` if it is not a map.
    pub(super) fn map_len(&self) -> Option<usize> {
        match self {
            Self::StringMap(map) => Some(map.len()),
            Self::Params(map) => Some(map.len()),
            Self::Object(map) => Some(map.len()),
            _ => None,
        }
    }

    /// The keys, in the order of the map; `None` if it is not a map.
    pub(super) fn map_keys(&self) -> Option<Vec<Self>> {
        let key = |key: &'a String| Self::String(Cow::Borrowed(key));
        match self {
            Self::StringMap(map) => Some(map.keys().map(key).collect()),
            Self::Params(map) => Some(map.keys().map(key).collect()),
            Self::Object(map) => Some(map.keys().map(key).collect()),
            _ => None,
        }
    }

    /// The value of a key; `None` if the map does not have it. `WrongType` if it is not a map.
    pub(super) fn map_entry(&self, key: &str) -> Result<Option<Self>, EvaluationError> {
        match self {
            Self::StringMap(map) => Ok(map.get(key).map(|text| Self::String(Cow::Borrowed(text)))),
            Self::Params(map) => map.get(key).map(Self::from_json).transpose(),
            Self::Object(map) => map.get(key).map(Self::from_json).transpose(),
            _ => Err(EvaluationError::WrongType),
        }
    }

    /// The number of steps that a copy costs.
    pub(super) fn copy_steps(&self) -> usize {
        match self {
            Self::String(Cow::Owned(text)) => text.len() / 8,
            Self::List(elements) => elements.iter().map(|element| 1 + element.copy_steps()).sum(),
            _ => 0,
        }
    }

    /// The order of two numbers, strings or timestamps; `None` for other values and for NaN. Integers and doubles are
    /// compared by value.
    pub(super) fn compare(&self, other: &Self) -> Option<Ordering> {
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

    #[expect(clippy::cast_precision_loss, reason = "the value is only compared with a double, as in CEL")]
    fn as_double(&self) -> Option<f64> {
        match self {
            Self::Int(integer) => Some(*integer as f64),
            Self::Double(number) => Some(*number),
            _ => None,
        }
    }
}

//! Evaluates function calls.

use super::evaluate::Evaluation;
use super::failure::Failure;
use super::function::{Calendar, Function};
use super::node::Node;
use super::value::Value;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::borrow::Cow;

impl<'a> Evaluation<'_, 'a> {
    pub(super) fn call(&mut self, function: Function, arguments: &'a [Node]) -> Result<Value<'a>, Failure> {
        let [first, others @ ..] = arguments else { return Err(Failure::WrongType) };
        let first = self.value(first)?;
        match function {
            Function::Size => self.size(&first),
            Function::StartsWith => self.compare(first, others, |text, part| text.starts_with(part)),
            Function::EndsWith => self.compare(first, others, |text, part| text.ends_with(part)),
            Function::Contains => self.compare(first, others, |text, part| text.contains(part)),
            Function::Substring => self.substring(first, others),
            Function::Split => self.split(first, others),
            Function::LowerAscii => {
                let text = string(first)?;
                self.charge_writing(text.len())?;
                Ok(Value::String(Cow::Owned(text.to_ascii_lowercase())))
            }
            Function::String => match first {
                Value::String(text) => Ok(Value::String(text)),
                Value::Int(number) => Ok(Value::String(Cow::Owned(number.to_string()))),
                Value::Bool(is_true) => Ok(Value::String(Cow::Borrowed(if is_true { "true" } else { "false" }))),
                Value::Timestamp(time) => Ok(Value::String(Cow::Owned(time.to_string()))),
                _ => Err(Failure::WrongType),
            },
            Function::Int => match first {
                Value::Int(number) => Ok(Value::Int(number)),
                Value::String(text) => text.parse().map(Value::Int).map_err(|_| Failure::Arithmetic),
                _ => Err(Failure::WrongType),
            },
            Function::Timestamp => {
                string(first)?.parse().map(Value::Timestamp).map_err(|_: jiff::Error| Failure::Arithmetic)
            }
            Function::Calendar(part) => match first {
                Value::Timestamp(time) => Ok(Value::Int(calendar(time, part))),
                _ => Err(Failure::WrongType),
            },
        }
    }

    /// The size of a string is its number of code points.
    fn size(&mut self, value: &Value<'a>) -> Result<Value<'a>, Failure> {
        let size = match value {
            Value::String(text) => {
                self.charge_reading(text.len())?;
                text.chars().count()
            }
            other => other.elements().or(other.entries()).ok_or(Failure::WrongType)?,
        };
        i64::try_from(size).map(Value::Int).map_err(|_| Failure::Arithmetic)
    }

    fn compare(
        &mut self,
        text: Value<'a>,
        others: &'a [Node],
        compare: impl FnOnce(&str, &str) -> bool,
    ) -> Result<Value<'a>, Failure> {
        let text = string(text)?;
        let part = self.argument(others, 0).and_then(string)?;
        self.charge_reading(text.len() + part.len())?;
        Ok(Value::Bool(compare(&text, &part)))
    }

    fn substring(&mut self, text: Value<'a>, others: &'a [Node]) -> Result<Value<'a>, Failure> {
        let text = string(text)?;
        let from = position(&self.argument(others, 0)?)?;
        let to = if others.len() > 1 { Some(position(&self.argument(others, 1)?)?) } else { None };
        self.charge_writing(text.len())?;
        // The byte position of a character; the position after the last one is allowed.
        let place = |at: usize| {
            let places = text.char_indices().map(|(place, _)| place).chain([text.len()]);
            places.into_iter().nth(at).ok_or(Failure::Arithmetic)
        };
        let (from, to) = (place(from)?, to.map_or(Ok(text.len()), place)?);
        if from > to {
            return Err(Failure::Arithmetic);
        }
        Ok(Value::String(match &text {
            Cow::Borrowed(text) => Cow::Borrowed(&text[from..to]),
            Cow::Owned(text) => Cow::Owned(text[from..to].to_owned()),
        }))
    }

    fn split(&mut self, text: Value<'a>, others: &'a [Node]) -> Result<Value<'a>, Failure> {
        let text = string(text)?;
        let separator = self.argument(others, 0).and_then(string)?;
        if separator.is_empty() {
            return Err(Failure::Arithmetic);
        }
        self.charge_reading(text.len() + separator.len())?;
        let mut parts = Vec::new();
        match &text {
            Cow::Borrowed(text) => {
                for part in text.split(&*separator) {
                    self.charge(1)?;
                    parts.push(Value::String(Cow::Borrowed(part)));
                }
            }
            Cow::Owned(text) => {
                for part in text.split(&*separator) {
                    self.charge_writing(part.len())?;
                    parts.push(Value::String(Cow::Owned(part.to_owned())));
                }
            }
        }
        Ok(Value::List(parts))
    }

    fn argument(&mut self, arguments: &'a [Node], at: usize) -> Result<Value<'a>, Failure> {
        self.value(arguments.get(at).ok_or(Failure::WrongType)?)
    }
}

fn string(value: Value<'_>) -> Result<Cow<'_, str>, Failure> {
    match value {
        Value::String(text) => Ok(text),
        _ => Err(Failure::WrongType),
    }
}

fn position(value: &Value<'_>) -> Result<usize, Failure> {
    match value {
        Value::Int(at) => usize::try_from(*at).map_err(|_| Failure::Arithmetic),
        _ => Err(Failure::WrongType),
    }
}

fn calendar(time: Timestamp, part: Calendar) -> i64 {
    let time = time.to_zoned(TimeZone::UTC);
    match part {
        Calendar::Year => time.year().into(),
        Calendar::Month => i64::from(time.month()) - 1,
        Calendar::Date => time.day().into(),
        Calendar::DayOfMonth => i64::from(time.day()) - 1,
        Calendar::DayOfWeek => time.weekday().to_sunday_zero_offset().into(),
        Calendar::Hours => time.hour().into(),
        Calendar::Minutes => time.minute().into(),
    }
}

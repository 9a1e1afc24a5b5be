//! Evaluates function calls.

use super::evaluate::Evaluator;
use super::evaluation_error::EvaluationError;
use super::function::{CalendarComponent, Function};
use super::node::Node;
use super::value::Value;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::borrow::Cow;

impl<'a> Evaluator<'_, 'a> {
    pub(super) fn evaluate_call(
        &mut self,
        function: Function,
        arguments: &'a [Node],
    ) -> Result<Value<'a>, EvaluationError> {
        let [first, rest @ ..] = arguments else { return Err(EvaluationError::WrongType) };
        let first = self.evaluate(first)?;
        match function {
            Function::Size => self.size(&first),
            Function::StartsWith => self.test_strings(first, rest, |text, part| text.starts_with(part)),
            Function::EndsWith => self.test_strings(first, rest, |text, part| text.ends_with(part)),
            Function::Contains => self.test_strings(first, rest, |text, part| text.contains(part)),
            Function::Substring => self.substring(first, rest),
            Function::Split => self.split(first, rest),
            Function::LowerAscii => {
                let text = into_string(first)?;
                self.charge_written(text.len())?;
                Ok(Value::String(Cow::Owned(text.to_ascii_lowercase())))
            }
            Function::String => match first {
                Value::String(text) => Ok(Value::String(text)),
                Value::Int(number) => Ok(Value::String(Cow::Owned(number.to_string()))),
                Value::Bool(is_true) => Ok(Value::String(Cow::Borrowed(if is_true { "true" } else { "false" }))),
                Value::Timestamp(time) => Ok(Value::String(Cow::Owned(time.to_string()))),
                _ => Err(EvaluationError::WrongType),
            },
            Function::Int => match first {
                Value::Int(number) => Ok(Value::Int(number)),
                Value::String(text) => text.parse().map(Value::Int).map_err(|_| EvaluationError::InvalidArgument),
                _ => Err(EvaluationError::WrongType),
            },
            Function::Timestamp => into_string(first)?
                .parse()
                .map(Value::Timestamp)
                .map_err(|_: jiff::Error| EvaluationError::InvalidArgument),
            Function::Calendar(part) => match first {
                Value::Timestamp(time) => Ok(Value::Int(calendar_component(time, part))),
                _ => Err(EvaluationError::WrongType),
            },
        }
    }

    /// The size of a string is its number of code points.
    fn size(&mut self, value: &Value<'a>) -> Result<Value<'a>, EvaluationError> {
        let size = match value {
            Value::String(text) => {
                self.charge_read(text.len())?;
                text.chars().count()
            }
            other => other.list_len().or(other.map_len()).ok_or(EvaluationError::WrongType)?,
        };
        i64::try_from(size).map(Value::Int).map_err(|_| EvaluationError::InvalidArgument)
    }

    fn test_strings(
        &mut self,
        text: Value<'a>,
        rest: &'a [Node],
        test: impl FnOnce(&str, &str) -> bool,
    ) -> Result<Value<'a>, EvaluationError> {
        let text = into_string(text)?;
        let part = self.argument(rest, 0).and_then(into_string)?;
        self.charge_read(text.len() + part.len())?;
        Ok(Value::Bool(test(&text, &part)))
    }

    fn substring(&mut self, text: Value<'a>, rest: &'a [Node]) -> Result<Value<'a>, EvaluationError> {
        let text = into_string(text)?;
        let from = char_index(&self.argument(rest, 0)?)?;
        let to = if rest.len() > 1 { Some(char_index(&self.argument(rest, 1)?)?) } else { None };
        self.charge_written(text.len())?;
        // The byte index of a character; the index after the last character is allowed.
        let byte_index = |char_index: usize| {
            let byte_indices = text.char_indices().map(|(byte_index, _)| byte_index).chain([text.len()]);
            byte_indices.into_iter().nth(char_index).ok_or(EvaluationError::InvalidArgument)
        };
        let (from, to) = (byte_index(from)?, to.map_or(Ok(text.len()), byte_index)?);
        if from > to {
            return Err(EvaluationError::InvalidArgument);
        }
        Ok(Value::String(match &text {
            Cow::Borrowed(text) => Cow::Borrowed(&text[from..to]),
            Cow::Owned(text) => Cow::Owned(text[from..to].to_owned()),
        }))
    }

    fn split(&mut self, text: Value<'a>, rest: &'a [Node]) -> Result<Value<'a>, EvaluationError> {
        let text = into_string(text)?;
        let separator = self.argument(rest, 0).and_then(into_string)?;
        if separator.is_empty() {
            return Err(EvaluationError::InvalidArgument);
        }
        self.charge_read(text.len() + separator.len())?;
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
                    self.charge_written(part.len())?;
                    parts.push(Value::String(Cow::Owned(part.to_owned())));
                }
            }
        }
        Ok(Value::List(parts))
    }

    fn argument(&mut self, arguments: &'a [Node], index: usize) -> Result<Value<'a>, EvaluationError> {
        self.evaluate(arguments.get(index).ok_or(EvaluationError::WrongType)?)
    }
}

fn into_string(value: Value<'_>) -> Result<Cow<'_, str>, EvaluationError> {
    match value {
        Value::String(text) => Ok(text),
        _ => Err(EvaluationError::WrongType),
    }
}

fn char_index(value: &Value<'_>) -> Result<usize, EvaluationError> {
    match value {
        Value::Int(index) => usize::try_from(*index).map_err(|_| EvaluationError::InvalidArgument),
        _ => Err(EvaluationError::WrongType),
    }
}

fn calendar_component(time: Timestamp, part: CalendarComponent) -> i64 {
    let time = time.to_zoned(TimeZone::UTC);
    match part {
        CalendarComponent::Year => time.year().into(),
        CalendarComponent::Month => i64::from(time.month()) - 1,
        CalendarComponent::Date => time.day().into(),
        CalendarComponent::DayOfMonth => i64::from(time.day()) - 1,
        CalendarComponent::DayOfWeek => time.weekday().to_sunday_zero_offset().into(),
        CalendarComponent::Hours => time.hour().into(),
        CalendarComponent::Minutes => time.minute().into(),
    }
}

//! CEL, as far as policies speak it: an expression is checked when it is written and bounded when it is evaluated.
//!
//! The `cel` crate reads the text. Its interpreter knows neither static types nor a bound of steps or memory, so its
//! tree is checked and rewritten (`lower`) into one of our own (`node`), and that is evaluated (`evaluate`). The tests
//! hold the two evaluators against each other.
//!
//! In reading order: `scan` refuses what a recursive parser should not see, `parse` reads the text, `lower` checks
//! types (`kind`), names (`field`) and functions (`function`); `scene` is what an expression may look at, `value` what
//! it computes with, `evaluate` computes it (with `call` and `macros`).

mod call;
mod evaluate;
mod failure;
mod field;
mod function;
mod kind;
mod lower;
mod macros;
mod node;
mod parse;
mod scan;
mod scene;
mod value;

#[cfg(test)]
mod tests;

use crate::model::facts::Needs;
use evaluate::Evaluation;
use kind::Kind;
use lower::Names;
use node::Node;
use std::borrow::Cow;
use value::Value;

pub(super) use failure::Failure;
pub(super) use scene::Scene;

/// A checked expression.
#[derive(Debug)]
pub(super) struct Expression {
    root: Node,
    names: Names,
}

/// The text is not an expression of the language; the reason says which rule it breaks and never repeats the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct InvalidExpression(Cow<'static, str>);

impl InvalidExpression {
    pub(super) fn new(reason: impl Into<Cow<'static, str>>) -> Self {
        Self(reason.into())
    }
}

impl Expression {
    /// Compiles an expression that yields a string.
    ///
    /// # Errors
    /// See [`InvalidExpression`].
    pub(super) fn text(source: &str) -> Result<Self, InvalidExpression> {
        Self::compile(source, Kind::String, "must yield a string")
    }

    /// Compiles an expression that is true or false.
    ///
    /// # Errors
    /// See [`InvalidExpression`].
    pub(super) fn condition(source: &str) -> Result<Self, InvalidExpression> {
        Self::compile(source, Kind::Bool, "must be true or false")
    }

    fn compile(source: &str, wanted: Kind, otherwise: &'static str) -> Result<Self, InvalidExpression> {
        let (root, kind, names) = lower::lower(&parse::parse(source)?)?;
        if kind.fits(wanted) { Ok(Self { root, names }) } else { Err(InvalidExpression::new(otherwise)) }
    }

    /// The facts it names.
    pub(super) const fn needs(&self) -> Needs {
        self.names.needs
    }

    /// Whether it names the repo or the branch that the caller says.
    pub(super) const fn echoes(&self) -> bool {
        self.names.echoes
    }

    /// The string it yields.
    ///
    /// # Errors
    /// See [`Failure`]; another type is one.
    pub(super) fn evaluate_text<'a>(&'a self, scene: &Scene<'a>) -> Result<Cow<'a, str>, Failure> {
        match Evaluation::new(scene).value(&self.root)? {
            Value::String(text) => Ok(text),
            _ => Err(Failure::WrongType),
        }
    }

    /// Whether it is true.
    ///
    /// # Errors
    /// See [`Failure`]; another type is one.
    pub(super) fn evaluate_condition(&self, scene: &Scene<'_>) -> Result<bool, Failure> {
        match Evaluation::new(scene).value(&self.root)? {
            Value::Bool(is_true) => Ok(is_true),
            _ => Err(Failure::WrongType),
        }
    }
}

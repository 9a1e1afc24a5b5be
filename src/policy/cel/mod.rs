//! The subset of CEL that policies use: an expression is checked at compile time and bounded at evaluation.
//!
//! The `cel` crate parses the text. Its interpreter has neither static types nor a limit of steps or memory.
//! Therefore its tree is checked and converted (`lower`) into our own (`node`), which is evaluated (`evaluate`).
//! The tests compare the two evaluators.
//!
//! In reading order: `scan` refuses texts that are dangerous for a recursive parser, `parse` parses the text,
//! `lower` checks types (`kind`), names (`field`) and functions (`function`); `scene` holds the inputs of an
//! expression, `value` its values, `evaluate` computes it (with `call` and `macros`).

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

/// The text is not a supported expression. The reason names the broken rule and never repeats the text.
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

    /// Compiles a boolean expression.
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

    /// The facts that it needs.
    pub(super) const fn needs(&self) -> Needs {
        self.names.needs
    }

    /// Whether it uses the repo or branch of the request.
    pub(super) const fn reads_request(&self) -> bool {
        self.names.reads_request
    }

    /// Whether it can be evaluated with what the audit log holds of a request: it names no facts, groups or claims.
    pub(super) fn is_of_the_log(&self) -> bool {
        self.names.needs == Needs::NOTHING && !self.names.identifies
    }

    /// Its result, which must be a string.
    ///
    /// # Errors
    /// See [`Failure`]; a result of another type is one.
    pub(super) fn evaluate_text<'a>(&'a self, scene: &Scene<'a>) -> Result<Cow<'a, str>, Failure> {
        match Evaluation::new(scene).value(&self.root)? {
            Value::String(text) => Ok(text),
            _ => Err(Failure::WrongType),
        }
    }

    /// Its result, which must be a boolean.
    ///
    /// # Errors
    /// See [`Failure`]; a result of another type is one.
    pub(super) fn evaluate_condition(&self, scene: &Scene<'_>) -> Result<bool, Failure> {
        match Evaluation::new(scene).value(&self.root)? {
            Value::Bool(is_true) => Ok(is_true),
            _ => Err(Failure::WrongType),
        }
    }
}

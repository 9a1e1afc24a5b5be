//! The subset of CEL that policies use: types are checked at compile time, steps and memory are limited at evaluation.
//!
//! The `cel` crate parses the text. Its interpreter has neither static types nor a limit of steps or memory, so the
//! parser's tree is converted (`lower`) into nodes of this module (`node`), which `evaluate` evaluates. The tests compare the
//! results with those of the crate's interpreter.
//!
//! In reading order: `scan` refuses texts that could overflow the stack of the parser, `parse` parses the text, `lower`
//! checks types (`kind`), names (`field`) and functions (`function`); `inputs` has the inputs of an evaluation, `value`
//! its values; `evaluate` evaluates, with `call` and `macros`.

mod call;
mod evaluate;
mod evaluation_error;
mod field;
mod function;
mod inputs;
mod kind;
mod lower;
mod macros;
mod node;
mod parse;
mod scan;
mod value;

#[cfg(test)]
mod tests;

use crate::model::facts::Needs;
use evaluate::Evaluator;
use kind::Kind;
use lower::UsedNames;
use node::Node;
use std::borrow::Cow;
use value::Value;

pub(super) use evaluation_error::EvaluationError;
pub(super) use inputs::Inputs;

/// A checked expression.
#[derive(Debug)]
pub(super) struct Expression {
    root: Node,
    used_names: UsedNames,
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
    pub(super) fn compile_text(source: &str) -> Result<Self, InvalidExpression> {
        Self::compile(source, Kind::String, "must yield a string")
    }

    /// Compiles a boolean expression.
    ///
    /// # Errors
    /// See [`InvalidExpression`].
    pub(super) fn compile_condition(source: &str) -> Result<Self, InvalidExpression> {
        Self::compile(source, Kind::Bool, "must be true or false")
    }

    fn compile(source: &str, wanted: Kind, reason: &'static str) -> Result<Self, InvalidExpression> {
        let (root, kind, used_names) = lower::lower(&parse::parse(source)?)?;
        if kind.fits(wanted) { Ok(Self { root, used_names }) } else { Err(InvalidExpression::new(reason)) }
    }

    /// The facts that its evaluation needs.
    pub(super) const fn needs(&self) -> Needs {
        self.used_names.needs
    }

    /// Whether it uses the repo or branch of the request.
    pub(super) const fn reads_request(&self) -> bool {
        self.used_names.reads_request
    }

    /// Whether it uses only what the audit log records of a request: no facts, groups or claims.
    pub(super) fn uses_only_logged_values(&self) -> bool {
        self.used_names.needs == Needs::NOTHING && !self.used_names.reads_groups_or_claims
    }

    /// Evaluates it to a string.
    ///
    /// # Errors
    /// See [`EvaluationError`]; `WrongType` if the result is not a string.
    pub(super) fn evaluate_text<'a>(&'a self, inputs: &Inputs<'a>) -> Result<Cow<'a, str>, EvaluationError> {
        match Evaluator::new(inputs).evaluate(&self.root)? {
            Value::String(text) => Ok(text),
            _ => Err(EvaluationError::WrongType),
        }
    }

    /// Evaluates it to a boolean.
    ///
    /// # Errors
    /// See [`EvaluationError`]; `WrongType` if the result is not a boolean.
    pub(super) fn evaluate_condition(&self, inputs: &Inputs<'_>) -> Result<bool, EvaluationError> {
        match Evaluator::new(inputs).evaluate(&self.root)? {
            Value::Bool(is_true) => Ok(is_true),
            _ => Err(EvaluationError::WrongType),
        }
    }
}

//! The `attest` section of a policy: expressions that derive repo and branch from facts or claims.

use super::cel::{Expression, Inputs};
use crate::model::facts::Needs;

/// The expressions of an `attest` section; both are `None` if the policy has no such section.
#[derive(Debug, Default)]
pub(super) struct AttestSection {
    pub(super) repo: Option<Expression>,
    pub(super) branch: Option<Expression>,
}

/// The result of one expression.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum AttestedValue<T> {
    /// The policy has no such expression.
    NotConfigured,
    /// The expression yields no valid value, for this reason.
    Absent(&'static str),
    Value(T),
}

impl AttestSection {
    /// Whether the policy has an `attest` section.
    pub(super) const fn is_configured(&self) -> bool {
        self.repo.is_some() || self.branch.is_some()
    }

    /// The facts that the expressions need.
    pub(super) fn needs(&self) -> Needs {
        [&self.repo, &self.branch]
            .into_iter()
            .flatten()
            .fold(Needs::NOTHING, |needs, expression| needs.union(expression.needs()))
    }
}

impl<T> AttestedValue<T> {
    /// Evaluates the expression and parses its result.
    pub(super) fn evaluate<'p>(
        expression: Option<&'p Expression>,
        inputs: &Inputs<'p>,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Self {
        let Some(expression) = expression else { return Self::NotConfigured };
        match expression.evaluate_text(inputs) {
            Ok(text) => parse(&text).map_or(Self::Absent("it is not a valid name"), Self::Value),
            Err(error) => Self::Absent(error.as_str()),
        }
    }

    pub(super) const fn value(&self) -> Option<&T> {
        if let Self::Value(value) = self { Some(value) } else { None }
    }

    pub(super) const fn is_absent(&self) -> bool {
        matches!(self, Self::Absent(_))
    }
}

impl<T: PartialEq> AttestedValue<T> {
    /// Whether the attested value differs from `value`; false if there is no attested value.
    pub(super) fn differs_from(&self, value: &T) -> bool {
        self.value().is_some_and(|attested| attested != value)
    }
}

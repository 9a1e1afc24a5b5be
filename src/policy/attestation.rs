//! The `attest` section of a policy: expressions that yield repo and branch from facts or claims.

use super::cel::{Expression, Scene};
use crate::model::facts::Needs;

#[derive(Debug, Default)]
pub(super) struct Attest {
    pub(super) repo: Option<Expression>,
    pub(super) branch: Option<Expression>,
}

/// The result of one expression.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Attested<T> {
    /// The policy has no such expression.
    NotConfigured,
    /// It yields nothing; the text says why.
    Absent(&'static str),
    Value(T),
}

impl Attest {
    pub(super) const fn is_some(&self) -> bool {
        self.repo.is_some() || self.branch.is_some()
    }

    /// The facts that its expressions name.
    pub(super) fn needs(&self) -> Needs {
        [&self.repo, &self.branch].into_iter().flatten().fold(Needs::NOTHING, |needs, one| needs.and(one.needs()))
    }
}

impl<T> Attested<T> {
    /// Evaluates the expression, and checks the result.
    pub(super) fn evaluate<'p>(
        expression: Option<&'p Expression>,
        scene: &Scene<'p>,
        checked: impl Fn(&str) -> Option<T>,
    ) -> Self {
        let Some(expression) = expression else { return Self::NotConfigured };
        match expression.evaluate_text(scene) {
            Ok(text) => checked(&text).map_or(Self::Absent("it is not a valid name"), Self::Value),
            Err(failure) => Self::Absent(failure.as_str()),
        }
    }

    pub(super) const fn value(&self) -> Option<&T> {
        if let Self::Value(value) = self { Some(value) } else { None }
    }

    pub(super) const fn is_absent(&self) -> bool {
        matches!(self, Self::Absent(_))
    }
}

impl<T: PartialEq> Attested<T> {
    /// Whether a different value is attested.
    pub(super) fn differs_from(&self, value: &T) -> bool {
        self.value().is_some_and(|attested| attested != value)
    }
}

//! What policies make the cluster or the issuer say of repo and branch.

use super::cel::{Expression, Scene};
use crate::model::facts::Needs;

/// The attestations a policy asks for.
#[derive(Debug, Default)]
pub(super) struct Attest {
    pub(super) repo: Option<Expression>,
    pub(super) branch: Option<Expression>,
}

/// What came of an attestation.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Attested<T> {
    /// The policy does not ask for it.
    Unasked,
    /// It yields nothing, and this is why.
    Absent(&'static str),
    /// It yields this.
    Value(T),
}

impl Attest {
    /// Whether it asks for anything.
    pub(super) const fn is_some(&self) -> bool {
        self.repo.is_some() || self.branch.is_some()
    }

    /// The facts that its expressions name.
    pub(super) fn needs(&self) -> Needs {
        [&self.repo, &self.branch].into_iter().flatten().fold(Needs::NOTHING, |needs, one| needs.and(one.needs()))
    }
}

impl<T> Attested<T> {
    /// Evaluates the expression, and checks what it yields.
    pub(super) fn evaluate<'p>(
        expression: Option<&'p Expression>,
        scene: &Scene<'p>,
        checked: impl Fn(&str) -> Option<T>,
    ) -> Self {
        let Some(expression) = expression else { return Self::Unasked };
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
    /// Whether it speaks against this value.
    pub(super) fn differs_from(&self, value: &T) -> bool {
        self.value().is_some_and(|attested| attested != value)
    }
}

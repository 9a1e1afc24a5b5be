//! Entry points for fuzz targets: the small languages that policies use.

use super::cel::{Expression, Inputs};
use super::glob::{Glob, reference};
use super::placeholder::PlainClaims;
use super::template::Template;
use crate::model::caller::Caller;
use crate::model::facts::{Facts, Needs};
use crate::model::request::{Request, UnverifiedRequest};

/// Whether a pattern matches; `None` if the pattern is invalid.
#[must_use]
pub fn glob(pattern: &str, text: &str) -> Option<bool> {
    Glob::parse(pattern).ok().map(|glob| glob.matches(text))
}

/// Whether a valid pattern matches according to the reference matcher. It takes exponential time: for short texts only.
#[must_use]
pub fn reference_glob(pattern: &str, text: &str) -> bool {
    reference::matches(pattern, text)
}

/// The path that a template expands to. `None` if the template is invalid, `Some(None)` if it cannot be expanded.
#[must_use]
#[expect(clippy::option_option, reason = "the outer option is the template, the inner one the path")]
pub fn expand_template(template: &str, caller: &Caller, request: &Request) -> Option<Option<String>> {
    Template::parse(template, PlainClaims::AsStored).ok().map(|template| template.expand(caller, request))
}

/// The facts that an expression needs, and its result or error as text; `None` if the expression is invalid.
#[must_use]
pub fn cel(
    source: &str,
    caller: &Caller,
    facts: &Facts,
    unverified_request: &UnverifiedRequest,
) -> Option<(Needs, Result<String, String>)> {
    let [repo, branch] = [
        unverified_request.repo.as_ref().map(|repo| repo.as_str()),
        unverified_request.branch.as_ref().map(|branch| branch.as_str()),
    ];
    let inputs = Inputs { caller, facts, unverified_request, repo, branch };
    let shown = |error| format!("{error:?}");
    if let Ok(expression) = Expression::compile_text(source) {
        let text = expression.evaluate_text(&inputs).map(std::borrow::Cow::into_owned).map_err(shown);
        return Some((expression.needs(), text));
    }
    let expression = Expression::compile_condition(source).ok()?;
    Some((expression.needs(), expression.evaluate_condition(&inputs).map(|truth| truth.to_string()).map_err(shown)))
}

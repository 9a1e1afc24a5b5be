//! Entry points for fuzz targets: the small languages that policies use.

use super::cel::{Expression, Scene};
use super::glob::{Glob, reference};
use super::template::Template;
use crate::model::caller::Caller;
use crate::model::facts::{Facts, Needs};
use crate::model::request::{Request, UnverifiedRequest};

/// Whether a pattern matches; `None` if it is invalid.
#[must_use]
pub fn glob(pattern: &str, text: &str) -> Option<bool> {
    Glob::parse(pattern).ok().map(|glob| glob.matches(text))
}

/// Whether a valid pattern matches according to the reference matcher. Takes exponential time: for short texts
/// only.
#[must_use]
pub fn plain_glob(pattern: &str, text: &str) -> bool {
    reference::matches(pattern, text)
}

/// The path from a template; the outer `None` if the template is invalid.
#[must_use]
#[expect(clippy::option_option, reason = "no template is not the same as no path")]
pub fn fill(template: &str, caller: &Caller, request: &Request) -> Option<Option<String>> {
    Template::parse(template).ok().map(|template| template.fill(caller, request))
}

/// The facts that an expression needs, and its string or boolean result; `None` if the expression is invalid.
#[must_use]
pub fn cel(
    source: &str,
    caller: &Caller,
    facts: &Facts,
    asked: &UnverifiedRequest,
) -> Option<(Needs, Result<String, String>)> {
    let [repo, branch] = [asked.repo.as_ref().map(|repo| repo.as_str()), asked.branch.as_ref().map(|one| one.as_str())];
    let scene = Scene { caller, facts, asked, repo, branch };
    let said = |failure| format!("{failure:?}");
    if let Ok(expression) = Expression::text(source) {
        let text = expression.evaluate_text(&scene).map(std::borrow::Cow::into_owned).map_err(said);
        return Some((expression.needs(), text));
    }
    let expression = Expression::condition(source).ok()?;
    Some((expression.needs(), expression.evaluate_condition(&scene).map(|truth| truth.to_string()).map_err(said)))
}

//! The paths that a policy needs, as narrow as an ACL can express them: values that literal patterns determine are written out, and
//! what lies outside the ceiling is left out.
//!
//! The result contains every path that the policy can grant. It may contain others, for example where a pattern has a wildcard.

use super::ceiling::Ceiling;
use super::compiled_policy::{Effect, Policy, SecretTemplate};
use super::paths::{GrantedPath, PathPart, access_of};
use super::placeholder::{Placeholder, Variable};
use super::subject::Subject;
use super::template::{Segment, Template};
use crate::model::path_encoding;
use std::collections::BTreeSet;

/// Maximum number of paths for one template. Where there would be more, wildcards stay.
const MAX_PATHS: usize = 64;

/// A path, part by part.
type Parts = Vec<PathPart>;

/// All values that variables can have in a request that a policy allows. `None` if they are not known, because a pattern has a
/// wildcard.
#[derive(Default, Clone)]
struct KnownValues<'p> {
    repos: Option<Vec<&'p str>>,
    branches: Option<Vec<&'p str>>,
    namespaces: Option<Vec<&'p str>>,
    service_accounts: Option<Vec<&'p str>>,
}

impl<'p> KnownValues<'p> {
    /// Adds the namespaces and `ServiceAccounts` of the callers that a subject includes.
    fn with_callers_of(self, subject: &'p Subject) -> Self {
        let (namespaces, service_accounts) = match subject {
            Subject::Kubernetes { namespaces, service_accounts, .. } => {
                (namespaces.all_literals(), service_accounts.all_literals())
            }
            // Such a caller has neither, so a template with one of them gives no path.
            Subject::Oidc { .. } => (Some(Vec::new()), Some(Vec::new())),
        };
        Self { namespaces, service_accounts, ..self }
    }

    fn of(&self, variable: &Variable) -> Option<&[&str]> {
        match variable {
            Variable::Repo => self.repos.as_deref(),
            Variable::Branch => self.branches.as_deref(),
            Variable::Namespace => self.namespaces.as_deref(),
            Variable::ServiceAccount => self.service_accounts.as_deref(),
            Variable::Claim(_) => None,
        }
    }
}

impl Policy {
    /// The paths that it needs; none if it is a deny policy or in shadow mode.
    #[must_use]
    pub fn needed_paths(&self) -> Vec<GrantedPath> {
        let Effect::Allow(terms) = &self.effect else { return Vec::new() };
        if self.is_shadow() {
            return Vec::new();
        }
        let request = KnownValues {
            repos: self.repos.all_literals(),
            branches: self.branches.all_literals(),
            ..KnownValues::default()
        };
        let subjects: Vec<KnownValues<'_>> =
            self.subjects.iter().map(|subject| request.clone().with_callers_of(subject)).collect();
        let needed_paths = |secret: &SecretTemplate| {
            let mut paths: BTreeSet<Parts> =
                subjects.iter().flat_map(|values| write_out(&secret.path, values)).collect();
            if paths.len() > MAX_PATHS {
                paths = write_out(&secret.path, &request);
            }
            let (store, access) = (secret.store.clone(), access_of(secret));
            narrow_all(&terms.ceiling, &secret.store, paths).into_iter().map(move |parts| GrantedPath {
                store: store.clone(),
                parts,
                access,
            })
        };
        terms.secrets.iter().flat_map(needed_paths).collect()
    }
}

/// The paths of a template for all combinations of the known values. Variables with the most values stay wildcards if there would be
/// more than [`MAX_PATHS`].
fn write_out(template: &Template, values: &KnownValues<'_>) -> BTreeSet<Parts> {
    let mut known: Vec<(&Variable, &[&str])> = Vec::new();
    for segment in template.segments() {
        let Segment::Placeholder(Placeholder::Segment(variable) | Placeholder::Path(variable)) = segment else {
            continue;
        };
        if let Some(texts) = values.of(variable)
            && known.iter().all(|(other, _)| *other != variable)
        {
            known.push((variable, texts));
        }
    }
    known.sort_by_key(|(_, texts)| texts.len());
    let mut assignments: Vec<Vec<(&Variable, &str)>> = vec![Vec::new()];
    for (variable, texts) in known {
        if assignments.len() * texts.len() > MAX_PATHS {
            break;
        }
        let with_text = |assignment: &Vec<_>, text| assignment.iter().copied().chain([(variable, text)]).collect();
        assignments = assignments
            .iter()
            .flat_map(|assignment| texts.iter().map(move |text| with_text(assignment, *text)))
            .collect();
    }
    assignments.iter().filter_map(|assignment| fill_in(template, assignment)).collect()
}

/// The path of a template with these values. `None` if a value cannot be encoded; the policy then matches no request with it.
fn fill_in(template: &Template, assignment: &[(&Variable, &str)]) -> Option<Parts> {
    let value_of = |variable: &Variable| assignment.iter().find(|(known, _)| *known == variable).map(|(_, text)| *text);
    let mut parts = Vec::new();
    for segment in template.segments() {
        match segment {
            Segment::Literal(literal) => parts.push(PathPart::Literal(literal.clone())),
            Segment::Placeholder(Placeholder::Segment(variable)) => parts.push(match value_of(variable) {
                Some(text) => encode(text)?,
                None => PathPart::AnySegment,
            }),
            Segment::Placeholder(Placeholder::Path(variable)) => match value_of(variable) {
                Some(text) => {
                    for part in text.split('/') {
                        parts.push(encode(part)?);
                    }
                }
                None => parts.push(PathPart::AnySegments),
            },
        }
    }
    Some(parts)
}

fn encode(text: &str) -> Option<PathPart> {
    let mut segment = String::new();
    path_encoding::append(&mut segment, text)?;
    Some(PathPart::Literal(segment.into()))
}

/// The parts of these paths that lie within the ceiling. If there would be more than [`MAX_PATHS`], paths that are partly outside stay
/// whole.
fn narrow_all(ceiling: &Ceiling, store: &str, mut paths: BTreeSet<Parts>) -> BTreeSet<Parts> {
    for prefixes in ceiling.prefixes(store) {
        let narrow = |parts: &Parts| prefixes.iter().flat_map(|prefix| narrow(parts, prefix)).collect::<Vec<_>>();
        let narrowed: BTreeSet<Parts> = paths.iter().flat_map(narrow).collect();
        if narrowed.len() > MAX_PATHS {
            paths.retain(|parts| !narrow(parts).is_empty());
        } else {
            paths = narrowed;
        }
    }
    paths
}

/// The part of a path that lies within a prefix: no path if it is outside, two if a prefix ends within `AnySegments`.
fn narrow(parts: &[PathPart], prefix: &str) -> Vec<Parts> {
    if prefix.is_empty() {
        return vec![parts.to_vec()];
    }
    let prefix: Vec<&str> = prefix.split('/').collect();
    let mut narrowed = Vec::with_capacity(parts.len());
    for (index, segment) in prefix.iter().enumerate() {
        match parts.get(index) {
            Some(PathPart::Literal(literal)) if **literal == **segment => narrowed.push(parts[index].clone()),
            Some(PathPart::AnySegment) if is_encoded(segment) => narrowed.push(PathPart::Literal((*segment).into())),
            Some(PathPart::AnySegments) => {
                return narrow_any_segments(&narrowed, &prefix[index..], &parts[index + 1..]);
            }
            Some(PathPart::Literal(_) | PathPart::AnySegment) | None => return Vec::new(),
        }
    }
    narrowed.extend_from_slice(&parts[prefix.len()..]);
    vec![narrowed]
}

/// Narrows `before/**/after` to the paths whose segments after `before` begin with `prefix`.
fn narrow_any_segments(before: &[PathPart], prefix: &[&str], after: &[PathPart]) -> Vec<Parts> {
    let whole = |middle: &[PathPart], end: &[PathPart]| [before, middle, end].concat();
    if !prefix.iter().all(|segment| is_encoded(segment)) {
        return vec![whole(&[PathPart::AnySegments], after)];
    }
    let literals: Parts = prefix.iter().map(|segment| PathPart::Literal((*segment).into())).collect();
    // What follows may overlap with the prefix, so any rest is allowed.
    let mut narrowed = vec![whole(&literals, &[PathPart::AnySegments])];
    let matches = |(part, segment): (&PathPart, &&str)| match part {
        PathPart::Literal(literal) => **literal == **segment,
        PathPart::AnySegment | PathPart::AnySegments => true,
    };
    if prefix.len() > after.len() && after.iter().zip(&prefix[prefix.len() - after.len()..]).all(matches) {
        narrowed.push(whole(&literals, &[]));
    }
    narrowed
}

/// Whether a placeholder can have this segment as its value.
fn is_encoded(segment: &str) -> bool {
    path_encoding::decode(segment).is_some()
}

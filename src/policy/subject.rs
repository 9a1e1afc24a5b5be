//! Subjects: the callers that a policy applies to.

use super::bounds::{AuthenticatorKind, Bounds};
use super::claim_value::{self, AmbiguousPatternAction};
use super::claims::claim_to_texts;
use super::glob::Glob;
use super::patterns::{MAX_ENTRIES, Patterns};
use crate::document::{Fault, escape_pointer_token};
use crate::model::caller::Caller;
use crate::wire::policy as raw;
use std::sync::Arc;

/// A set of callers.
#[derive(Debug, Clone)]
pub(super) enum Subject {
    /// `ServiceAccounts`. `cluster` is the name of a `kubernetes` authenticator; `None` stands for all of them.
    Kubernetes { cluster: Option<Arc<str>>, namespaces: Patterns, service_accounts: Patterns, bound: TokenBinding },
    /// Callers with tokens of one issuer. All claims must match. Without claims, which only the broadest deny policy of an invalid
    /// spec has, all callers of the issuer match.
    Oidc { issuer: Arc<str>, claims: Box<[(Box<str>, Glob)]> },
}

/// Which tokens of a ServiceAccount match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenBinding {
    /// Tokens that are bound to a pod.
    Pod,
    /// Tokens that are not bound to a pod.
    None,
    /// All tokens.
    Any,
}

impl TokenBinding {
    /// Parses `bound`. If it is unset, the default is `any` in a deny policy and `pod` in an allow policy. `None` if it is
    /// invalid.
    fn parse(word: Option<&str>, denies: bool) -> Option<Self> {
        Some(match word {
            None if denies => Self::Any,
            None | Some("pod") => Self::Pod,
            Some("none") => Self::None,
            Some("any") => Self::Any,
            Some(_) => return None,
        })
    }

    const fn matches(self, caller: &Caller) -> bool {
        match self {
            Self::Pod => caller.workload.is_some(),
            Self::None => caller.workload.is_none(),
            Self::Any => true,
        }
    }
}

impl Subject {
    /// Compiles a subject. If it is invalid, records all faults and returns `None`.
    pub(super) fn compile(
        subject: &raw::Subject,
        pointer: &str,
        bounds: &Bounds,
        denies: bool,
        on_ambiguous: AmbiguousPatternAction,
        faults: &mut Vec<Fault>,
    ) -> Option<Self> {
        match (&subject.kubernetes, &subject.oidc) {
            (Some(subject), None) => compile_kubernetes(subject, &format!("{pointer}/kubernetes"), denies, faults),
            (None, Some(subject)) => compile_oidc(subject, &format!("{pointer}/oidc"), bounds, on_ambiguous, faults),
            _ => Fault::record_none(faults, pointer, "must have exactly one of kubernetes and oidc"),
        }
    }

    /// Whether the subject includes the caller.
    pub(super) fn matches(&self, caller: &Caller) -> bool {
        match self {
            Self::Kubernetes { bound, .. } => bound.matches(caller) && self.matches_service_account(caller),
            Self::Oidc { issuer, claims } => {
                *issuer == caller.issuer
                    && claims.iter().all(|(name, glob)| {
                        caller
                            .claims
                            .get(&**name)
                            .is_some_and(|value| claim_to_texts(value).any(|text| glob.matches(&text)))
                    })
            }
        }
    }

    /// Whether the cluster, namespace and ServiceAccount of the caller match, regardless of `bound`.
    pub(super) fn matches_service_account(&self, caller: &Caller) -> bool {
        let Self::Kubernetes { cluster, namespaces, service_accounts, .. } = self else { return false };
        cluster.as_ref().is_none_or(|cluster| *cluster == caller.issuer)
            && caller.service_account().is_some_and(|(namespace, service_account)| {
                namespaces.matches(namespace) && service_accounts.matches(service_account)
            })
    }
}

fn compile_kubernetes(
    subject: &raw::KubernetesSubject,
    pointer: &str,
    denies: bool,
    faults: &mut Vec<Fault>,
) -> Option<Subject> {
    let namespaces = Patterns::compile(&subject.namespaces, &format!("{pointer}/namespaces"), faults);
    let service_accounts = Patterns::compile(&subject.service_accounts, &format!("{pointer}/serviceAccounts"), faults);
    let bound = TokenBinding::parse(subject.bound.as_deref(), denies);
    if bound.is_none() {
        faults.push(Fault::new(format!("{pointer}/bound"), "must be pod, none or any"));
    }
    Some(Subject::Kubernetes {
        cluster: None,
        namespaces: namespaces?,
        service_accounts: service_accounts?,
        bound: bound?,
    })
}

fn compile_oidc(
    subject: &raw::OidcSubject,
    pointer: &str,
    bounds: &Bounds,
    on_ambiguous: AmbiguousPatternAction,
    faults: &mut Vec<Fault>,
) -> Option<Subject> {
    let before = faults.len();
    let issuer = subject.issuer.as_deref().and_then(|name| bounds.authenticators.get_key_value(name));
    let issuer = match (&subject.issuer, issuer) {
        (_, Some((name, AuthenticatorKind::Oidc))) => Some(name.clone()),
        (given, _) => {
            let detail =
                if given.is_none() { "is missing" } else { "must be the name of a configured oidc authenticator" };
            Fault::record_none(faults, format!("{pointer}/issuer"), detail)
        }
    };
    if subject.claims.is_empty() {
        faults.push(Fault::new(format!("{pointer}/claims"), "must have at least one claim"));
    }
    if subject.claims.len() > MAX_ENTRIES {
        return Fault::record_none(faults, format!("{pointer}/claims"), "must have at most 1000 claims");
    }
    let mut claims = Vec::with_capacity(subject.claims.len());
    for (name, value) in &subject.claims {
        let pointer = || format!("{pointer}/claims/{}", escape_pointer_token(name));
        if let Some(glob) = claim_value::compile(value.as_ref(), on_ambiguous, pointer, faults) {
            claims.push((name.as_str().into(), glob));
        }
    }
    (faults.len() == before).then_some(Subject::Oidc { issuer: issuer?, claims: claims.into() })
}

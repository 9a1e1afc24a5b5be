//! `administrators`: who may administer.

use super::check::Check;
use crate::document::escape;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The checked section.
#[derive(Debug, Clone)]
pub struct Administrators {
    /// Whether Kubernetes callers are asked about by SubjectAccessReview.
    pub subject_access_review: bool,
    /// OIDC callers, of whom every claim must match.
    pub fixed: Vec<Static>,
}

/// One entry of `static`.
#[derive(Debug, Clone)]
pub struct Static {
    /// The authenticator that must have vouched.
    pub authenticator: Arc<str>,
    /// Claims and the values they must have; at least one.
    pub claims: BTreeMap<String, serde_json::Value>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RawAdministrators {
    subject_access_review: Option<bool>,
    #[serde(rename = "static")]
    fixed: Option<Vec<Option<RawStatic>>>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct RawStatic {
    authenticator: Option<String>,
    claims: Option<BTreeMap<String, Value>>,
}

impl RawAdministrators {
    /// `issuers` are the names of the OIDC authenticators, good or not.
    pub(super) fn check(self, issuers: &[String], check: &mut Check) -> Option<Administrators> {
        let subject_access_review = check.required("/administrators/subjectAccessReview", self.subject_access_review);
        let mut fixed = Vec::new();
        for (index, raw) in self.fixed.into_iter().flatten().enumerate() {
            let at = format!("/administrators/static/{index}");
            fixed.extend(check.required(&at, raw).and_then(|raw| raw.check(&at, issuers, check)));
        }
        Some(Administrators { subject_access_review: subject_access_review?, fixed })
    }
}

impl RawStatic {
    fn check(self, at: &str, issuers: &[String], check: &mut Check) -> Option<Static> {
        let authenticator_at = format!("{at}/authenticator");
        let authenticator = check.required(&authenticator_at, self.authenticator);
        if authenticator.as_ref().is_some_and(|name| !issuers.contains(name)) {
            check.fault(authenticator_at, "must be the name of an oidc authenticator");
        }
        let claims = self.claims.unwrap_or_default();
        if claims.is_empty() {
            check.fault(format!("{at}/claims"), "must have at least one claim: everybody would be an administrator");
        }
        for (claim, value) in &claims {
            if !(value.is_string() || value.is_number() || value.is_boolean()) {
                check.fault(format!("{at}/claims/{}", escape(claim)), "must be a text, a number, true or false");
            }
        }
        Some(Static { authenticator: authenticator?.into(), claims })
    }
}

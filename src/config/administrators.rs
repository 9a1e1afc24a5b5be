//! `administrators`: who may administer.

use super::fault_collector::FaultCollector;
use crate::document::escape_pointer_token;
use serde::{Deserialize, Deserializer, de};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

const SUBJECT_ACCESS_REVIEW_POINTER: &str = "/administrators/subjectAccessReview";

/// The validated section.
#[derive(Debug, Clone)]
pub struct Administrators {
    /// The Kubernetes authenticators whose users may be administrators. A `SubjectAccessReview` at the API server of the authenticator
    /// decides.
    pub subject_access_review: Vec<Arc<str>>,
    /// OIDC callers that are administrators.
    pub static_administrators: Vec<StaticAdministrator>,
}

/// An entry of `static`. All its claims must match.
#[derive(Debug, Clone)]
pub struct StaticAdministrator {
    /// The authenticator of the caller.
    pub authenticator: Arc<str>,
    /// Claims and their required values; at least one.
    pub claims: BTreeMap<String, Value>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RawAdministrators {
    subject_access_review: Option<SubjectAccessReviewSetting>,
    #[serde(rename = "static")]
    static_administrators: Option<Vec<Option<RawStaticAdministrator>>>,
}

/// The value of `subjectAccessReview`.
enum SubjectAccessReviewSetting {
    /// `true`: all kubernetes authenticators. `false`: none.
    All(bool),
    /// The names of kubernetes authenticators.
    Listed(Vec<Option<String>>),
}

impl<'de> Deserialize<'de> for SubjectAccessReviewSetting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = SubjectAccessReviewSetting;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("true or false, or a list of the names of kubernetes authenticators")
            }

            fn visit_bool<E>(self, all: bool) -> Result<SubjectAccessReviewSetting, E> {
                Ok(SubjectAccessReviewSetting::All(all))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut names: A) -> Result<SubjectAccessReviewSetting, A::Error> {
                let mut listed = Vec::new();
                while let Some(name) = names.next_element()? {
                    listed.push(name);
                }
                Ok(SubjectAccessReviewSetting::Listed(listed))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// The names of the authenticators by kind, including the names of entries with faults.
pub(super) struct AuthenticatorNames {
    pub(super) kubernetes: Vec<String>,
    pub(super) oidc: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct RawStaticAdministrator {
    authenticator: Option<String>,
    claims: Option<BTreeMap<String, Value>>,
}

impl RawAdministrators {
    pub(super) fn validate(self, names: &AuthenticatorNames, faults: &mut FaultCollector) -> Option<Administrators> {
        let reviewed = faults.require(SUBJECT_ACCESS_REVIEW_POINTER, self.subject_access_review);
        let subject_access_review = reviewed.and_then(|reviewed| reviewed.validate(&names.kubernetes, faults));
        let static_administrators = faults.validate_each(
            "/administrators/static",
            self.static_administrators,
            |raw: RawStaticAdministrator, pointer, faults| raw.validate(pointer, &names.oidc, faults),
        );
        Some(Administrators { subject_access_review: subject_access_review?, static_administrators })
    }
}

impl SubjectAccessReviewSetting {
    fn validate(self, clusters: &[String], faults: &mut FaultCollector) -> Option<Vec<Arc<str>>> {
        match self {
            Self::All(false) => Some(Vec::new()),
            Self::All(true) if clusters.len() > 1 => faults.record_none(SUBJECT_ACCESS_REVIEW_POINTER,
                    "must not be true where there is more than one kubernetes authenticator, because administrators of any of these \
                     clusters could then administer Claviger. Write false, or a list of the authenticators whose users may: [name, ...]"),
            Self::All(true) => Some(clusters.iter().map(|name| name.as_str().into()).collect()),
            Self::Listed(listed) => {
                let duplicate = "is in the list twice";
                Some(faults.validate_cluster_names(SUBJECT_ACCESS_REVIEW_POINTER, Some(listed), clusters, duplicate))
            }
        }
    }
}

impl RawStaticAdministrator {
    fn validate(self, pointer: &str, issuers: &[String], faults: &mut FaultCollector) -> Option<StaticAdministrator> {
        let authenticator_pointer = format!("{pointer}/authenticator");
        let authenticator = faults.require(&authenticator_pointer, self.authenticator);
        if authenticator.as_ref().is_some_and(|name| !issuers.contains(name)) {
            faults.record(authenticator_pointer, "must be the name of an oidc authenticator");
        }
        let claims = self.claims.unwrap_or_default();
        if claims.is_empty() {
            faults.record(
                format!("{pointer}/claims"),
                "must have at least one claim: without one, every caller of the authenticator would be an \
                 administrator",
            );
        }
        for (claim, value) in &claims {
            if !(value.is_string() || value.is_number() || value.is_boolean()) {
                faults.record(
                    format!("{pointer}/claims/{}", escape_pointer_token(claim)),
                    "must be a text, a number, true or false",
                );
            }
        }
        Some(StaticAdministrator { authenticator: authenticator?.into(), claims })
    }
}
